#!/usr/bin/env bash
# refuses.sh TEXT PROGRAM ARGS...: the program refuses these arguments - it ends with an error of its own,
# not by a signal, and says why in one line, which matches the regular expression TEXT.
set -uo pipefail
text=$1
shift
said=$("$@" 2>&1 >/dev/null)
status=$?
wrong() { echo "$1: status $status, it said:"; echo "$said"; exit 1; }
((status > 0 && status < 126)) || wrong "it was to end with an error"
[[ $(wc -l <<<"$said") == 1 ]] || wrong "it was to say one line"
grep -qE -e "$text" <<<"$said" || wrong "it was to say: $text"
