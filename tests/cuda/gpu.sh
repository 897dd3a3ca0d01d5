#!/usr/bin/env bash
# gpu.sh PROGRAM: the tests that need a GPU, then the same under the tools of compute-sanitizer, where that works. A line
# "ok ..." or "not ok ..." for each; without a GPU it fails, as it was asked for.
set -uo pipefail
program=$1
tests=--run_test=cuda_device
status=0
not_ok() {
  echo "not ok $1"
  status=1
}

said=$("$program" "$tests" 2>&1)
ended=$?
if grep -q "skipped: there is no GPU" <<<"$said"; then
  not_ok "tests on the GPU: there is none here"
  exit 1
elif ((ended != 0)); then
  echo "$said"
  not_ok "tests on the GPU"
else
  echo "ok tests on the GPU"
fi

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [[ -z $sanitizer ]]; then
  echo "   compute-sanitizer is not installed: its tools were not run"
  exit $status
fi
for tool in memcheck racecheck synccheck initcheck; do
  said=$("$sanitizer" --tool "$tool" --error-exitcode 9 "$program" "$tests" 2>&1)
  ended=$?
  if ! grep -qE "(ERROR|RACECHECK) SUMMARY" <<<"$said"; then # a driver or a container that does not let it in
    echo "   $tool does not work here: $(tail -n 1 <<<"$said")"
  elif ((ended != 0)); then
    echo "$said"
    not_ok "$tool"
  else
    echo "ok $tool"
  fi
done
exit $status
