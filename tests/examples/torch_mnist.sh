#!/usr/bin/env bash
# torch_mnist PROGRAM: eight steps, and four and four more after a resumption, end with the same weights.
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

whole=$("$program" --steps 8 --batch 8 2>/dev/null | tail -n 1)
"$program" --steps 4 --batch 8 --checkpoints "$folder" >/dev/null 2>&1
resumed=$("$program" --steps 8 --batch 8 --checkpoints "$folder" --resume 2>"$folder/progress" | tail -n 1)
echo "$whole"
echo "$resumed"
[[ $whole == "test accuracy "* && $whole == "$resumed" ]] || { echo "they differ"; exit 1; }
grep -q '\] 8/8  loss ' "$folder/progress" || { echo "no progress:"; cat "$folder/progress"; exit 1; }
