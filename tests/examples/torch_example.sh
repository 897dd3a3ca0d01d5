#!/usr/bin/env bash
# torch_example.sh PROGRAM ARGS...: eight steps, and four and four more after a resumption, end with the same weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

whole=$("$@" --steps 8 2>/dev/null | tail -n 1)
"$@" --steps 4 --checkpoints "$folder" >/dev/null 2>&1
resumed=$("$@" --steps 8 --checkpoints "$folder" --resume 2>"$folder/progress" | tail -n 1)
echo "$whole"
echo "$resumed"
[[ $whole == *", weights of length "[0-9]* && $whole == "$resumed" ]] || { echo "they differ"; exit 1; }
grep -q '\] 8/8  loss ' "$folder/progress" || { echo "no progress:"; cat "$folder/progress"; exit 1; }
