#!/usr/bin/env bash
# codec_table.sh PROGRAM [ARGUMENTS...]: trains with every codec in turn and prints a table of what each has sent and
# learnt. PROGRAM is train_text, ARGUMENTS are its own. CODECS, where it is set, are the only ones.
set -euo pipefail
program=$1
shift
results=$(mktemp)
trap 'rm -f "$results"' EXIT

number() { sed -nE "s/.*\"$1\": *([-+0-9.e]+).*/\1/p" "$results"; }

read -ra codecs <<<"${CODECS:-$("$program" "$@" --codec list | awk 'NR > 1 { printf "%s ", $1 }')}"
echo "| codec | bytes a step, all ranks | fewer | held-out loss |"
echo "|---|---|---|---|"
plain=
for codec in "${codecs[@]}"; do
  "$program" "$@" --codec "$codec" --json "$results" >/dev/null 2>&1 || { echo "$codec failed" >&2; exit 1; }
  bytes=$(number bytes_sent)
  : "${plain:=$bytes}"
  awk -v codec="$codec" -v bytes="$bytes" -v steps="$(number steps)" -v plain="$plain" -v loss="$(number held_out_loss)" \
    'BEGIN { printf "| `%s` | %.0f | %.1f | %.4f |\n", codec, bytes / steps, plain / bytes, loss }'
done
