#!/usr/bin/env bash
# check.sh SPIN CC: explores every interleaving of signals.pml for 2 and 3 ranks, and then without each of
# the things that it rests on: each of these must be found.
set -uo pipefail
model=$(cd "$(dirname "$0")" && pwd)/signals.pml
spin=$1 cc=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 2
mistakes=0

# explore FLAGS...: the line of spin's verdict.
explore() {
  rm -f pan*
  "$spin" -a "$@" "$model" >spin.log 2>&1 && "$cc" -O2 -w -DSAFETY -o pan pan.c >cc.log 2>&1 ||
    { cat spin.log cc.log; echo "it does not build"; return; }
  ./pan -m1000000 >pan.log 2>&1
  grep -q 'max search depth too small\|out of memory' pan.log && { echo "not exhaustive"; return; }
  grep -oE 'errors: [0-9]+' pan.log
}
holds() {
  local verdict
  verdict=$(explore "$@")
  echo "$*: $verdict, $(grep -oE '[0-9]+ states, stored' pan.log)"
  [[ $verdict == "errors: 0" ]] || { mistakes=$((mistakes + 1)); cat pan.log; }
}
is_found() {
  local verdict
  verdict=$(explore "$@")
  echo "$*: $verdict, $(grep -oE 'assertion violated [^)]*\)' pan.log | head -n 1)"
  [[ $verdict == "errors: 1" ]] && grep -q 'assertion violated' pan.log || mistakes=$((mistakes + 1))
}

for windows in 1 2 3; do holds -DN=2 -DOPERATIONS=3 -DWINDOWS=$windows; done
holds -DN=3 -DOPERATIONS=3 -DWINDOWS=1
holds -DN=3 -DOPERATIONS=2 -DWINDOWS=3

for ranks in 2 3; do
  for missing in NO_RELEASE NO_ACQUIRE NO_FREE ONE_LINE NO_READY NO_DONE; do
    is_found -DN=$ranks -D$missing
  done
  is_found -DN=$ranks -DONE_HALF -DWINDOWS=3
  is_found -DN=$ranks -DNUMBER_ANEW -DWINDOWS=1
done
echo "$mistakes mistakes"
((mistakes == 0))
