#!/usr/bin/env bash
# length.sh MOST FILE...: no file has more than MOST lines.
set -uo pipefail
. "$(dirname "$0")/../cmake/expect.sh"

most=$1
shift
for file in "$@"; do
  expect "$file: lines" "$(awk 'END { print NR }' "$file")" at-most "$most"
done
((failures == 0))
