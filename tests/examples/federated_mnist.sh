#!/usr/bin/env bash
# federated_mnist.sh PROGRAM: fewer images than clients.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. tests/cmake/expect.sh
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/mnist"
export TUTTI_DATA=$scratch

# Three black images, all of class 0.
for part in train t10k; do
  { printf '\0\0\x08\x03\0\0\0\x03\0\0\0\x1c\0\0\0\x1c'; head -c $((3 * 784)) /dev/zero; } \
    >"$scratch/mnist/$part-images-idx3-ubyte"
  printf '\0\0\x08\x01\0\0\0\x03\0\0\0' >"$scratch/mnist/$part-labels-idx1-ubyte"
done

if timeout 50 "$program" --rounds 30 --seed 1 --json "$scratch/json" >"$scratch/out" 2>"$scratch/err"; then
  expect "three images, a hundred clients: accuracy" "$(field "$scratch/json" accuracy)" at-least 1
  if grep -qE "^round [0-9]+ was skipped: none of its 10 clients counts: 10 without examples" "$scratch/out"; then
    ok "a round of clients without images is skipped, and says so"
  else
    not_ok "no round was skipped: $(tail -c 300 "$scratch/out")"
  fi
else
  not_ok "three images, a hundred clients: $(tail -c 300 "$scratch/out" "$scratch/err")"
fi
((failures == 0))
