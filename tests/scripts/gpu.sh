#!/usr/bin/env bash
# gpu.sh: what tests/cuda/gpu.sh makes of a machine without a GPU, of tests that fail, and of a compute-sanitizer that finds
# something, finds nothing, or is not let in. Programs are stubs.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/cmake/expect.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

stub() { # NAME TEXT
  printf '#!/bin/sh\n%s\n' "$2" >"$scratch/$1"
  chmod +x "$scratch/$1"
}
# a_case TEXT STATUS GOOD BAD SAID PROGRAM SANITIZER
a_case() {
  local said status wrong=""
  stub program "$6"
  stub compute-sanitizer "$7"
  said=$(PATH=$scratch:$PATH "$BASH" "$root/tests/cuda/gpu.sh" "$scratch/program" 2>&1)
  status=$?
  ((status == $2)) || wrong="the status is $status, not $2"
  (($(grep -c '^ok ' <<<"$said") == $3)) || wrong="it does not say $3 times ok"
  (($(grep -c '^not ok ' <<<"$said") == $4)) || wrong="it does not say $4 times not ok"
  [[ $said == *"$5"* ]] || wrong="it does not say: $5"
  if [[ -z $wrong ]]; then ok "$1"; else not_ok "$1: $wrong"$'\n'"$said"; fi
}

clean='echo "========= ERROR SUMMARY: 0 errors"'
a_case "all is well" 0 5 0 "ok racecheck" "exit 0" "$clean"
a_case "there is no GPU" 1 0 1 "there is none here" "echo skipped: there is no GPU here" "$clean"
a_case "a test fails" 1 4 1 "this is why" "echo this is why; exit 201" "$clean"
a_case "a tool finds something" 1 4 1 "Invalid __global__ read" "exit 0" \
  '[ "$2" = memcheck ] && echo "Invalid __global__ read" && echo "ERROR SUMMARY: 1 error" && exit 9; '"$clean"
a_case "it is not let in" 0 1 0 "initcheck does not work here: Device not supported" "exit 0" \
  'echo "Device not supported"; exit 1'

((failures == 0))
