#!/usr/bin/env bash
# parameter_server.sh PROGRAM: fewer rows than workers, and files that are not what they should be.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. tests/cmake/expect.sh
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/libsvm"
export TUTTI_DATA=$scratch

# learns ROWS TEST: the program trains on these files.
learns() {
  printf '%b' "$1" >"$scratch/libsvm/a9a"
  printf '%b' "$2" >"$scratch/libsvm/a9a.t"
  timeout 20 "$program" --steps 400 "${options[@]}" --json "$scratch/json" >"$scratch/out" 2>&1
}

for options in "--ranks 6" "--ranks 9 --servers 3 --staleness 0"; do
  read -ra options <<<"$options"
  if learns '2 1:1\n1 2:1\n2 1:1\n' '1 2:1\n2 1:1\n'; then
    expect "three rows, ${options[*]}: accuracy" "$(field "$scratch/json" accuracy)" at-least 1
  else
    not_ok "three rows, ${options[*]}: $(cat "$scratch/out")"
  fi
done

# Labels 1 and 2 are two classes: who calls all rows positive is right in one of four.
options=(--ranks 2)
learns '1 1:1\n1 2:1\n1 3:1\n2 4:1\n' '1 1:1\n1 2:1\n1 3:1\n2 1:1\n' || not_ok "$(cat "$scratch/out")"
expect "labels 1 and 2: accuracy" "$(field "$scratch/json" accuracy)" at-least 0.75
expect "labels 1 and 2: accuracy" "$(field "$scratch/json" accuracy)" at-most 0.75

if learns '1 1:1\n-1 2147483647:1\n' '1 1:1\n'; then
  not_ok "an index of 2147483647 was taken"
elif grep -q "line 2: index 2147483647 is too large" "$scratch/out"; then
  ok "an index of 2147483647 is refused"
else
  not_ok "an index of 2147483647: $(cat "$scratch/out")"
fi
((failures == 0))
