#!/usr/bin/env bash
# run_ctest.sh CTEST: what tests/run.sh makes of tests that pass, fail, skip themselves, cannot be
# started, or leave no results. A copy of it runs in a folder of its own, where `cmake` only writes
# down the tests of the case, and `ctest` is the real one unless the case says otherwise.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/cmake/expect.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir -p "$scratch/bin" "$scratch/tests/cmake"
cp "$root/tests/run.sh" "$scratch/tests"
cp "$root/tests/cmake/packages.sh" "$scratch/tests/cmake"

# stub NAME: a program that is found first; its text is read from the input.
stub() {
  { echo "#!/bin/sh" && cat; } >"$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}
stub cmake <<<'[ "$1" != --preset ] || cp tests/case.cmake "build/$2/CTestTestfile.cmake"'
stub nvcc <<<'exit 1'

real="exec '$1' \"\$@\""
results='for last; do :; done; printf "%s\n" "<testsuite" "$(printf "\ttests=\"2\"")" \
  "$(printf "\tfailures=\"0\"")" "$(printf "\tskipped=\"0\"")" ">" >"$last"'

# a_case TEXT LABEL STATUS COUNTS NOTE [CTEST]: tests/run.sh --only LABEL ends with STATUS, says
# COUNTS at the end, and NOTE in the label's row. The tests are read from the input, a line each:
#   NAME COMMAND [PROPERTY VALUE]
a_case() {
  local said status wrong="" name command properties
  stub ctest <<<"${6-$real}"
  while read -r name command properties; do
    [[ -z $name ]] && continue
    echo "add_test($name $command)"
    echo "set_tests_properties($name PROPERTIES LABELS $2 $properties)"
  done >"$scratch/tests/case.cmake"
  said=$(PATH=$scratch/bin:$PATH TUTTI_PACKAGES=present \
    "$BASH" "$scratch/tests/run.sh" --only "$2" 2>&1)
  status=$?
  ((status == $3)) || wrong="the status is $status, not $3"
  [[ $(tail -n 1 <<<"$said") == "$4" ]] || wrong="the last line is not: $4"
  grep -qE "^$2 +([0-9]+ +){4}$5\$" <<<"$said" || wrong="no row of $2 ends with: $5"
  if [[ -z $wrong ]]; then ok "$1"; else not_ok "$1: $wrong"$'\n'"$said"; fi
}

a_case "all pass" unit 0 "2 passed, 0 failed, 0 skipped" "" <<END
first true
second true
END
a_case "one fails" unit 1 "1 passed, 1 failed, 0 skipped" "" <<END
first true
second false
END
a_case "one cannot be started" unit 1 "1 passed, 1 failed, 0 skipped" "" <<END
first true
second /nowhere/program
END
a_case "none can be started" unit 1 "0 passed, 1 failed, 0 skipped" "" <<END
first /nowhere/program
END
a_case "one of each" unit 1 "1 passed, 2 failed, 3 skipped" "" <<END
first true
second false
third /nowhere/program
fourth false SKIP_RETURN_CODE 1
fifth true DISABLED ON
sixth [[echo]] SKIP_REGULAR_EXPRESSION .
END
a_case "some skip themselves" unit 0 "1 passed, 0 failed, 1 skipped" "" <<END
first true
second false SKIP_RETURN_CODE 1
END
a_case "all skip themselves" unit 1 "0 passed, 1 failed, 1 skipped" \
  "every test skipped itself" <<END
first false SKIP_RETURN_CODE 1
END
a_case "all skip themselves for want of a GPU" cuda 0 "0 passed, 0 failed, 1 skipped" "" <<END
first false SKIP_RETURN_CODE 1
END
a_case "those of cuda cannot be started" cuda 1 "0 passed, 1 failed, 0 skipped" "" <<END
first /nowhere/program
END
a_case "there are none" unit 1 "0 passed, 1 failed, 0 skipped" "ran no test" </dev/null
a_case "no results" unit 1 "0 passed, 1 failed, 0 skipped" "ran no test" "exit 0" </dev/null
a_case "no results of cuda" cuda 1 "0 passed, 1 failed, 0 skipped" "ran no test" "exit 0" </dev/null
a_case "no results, and an error" unit 1 "0 passed, 1 failed, 0 skipped" "ran no test" "exit 8" \
  </dev/null
a_case "an error that the results do not tell" unit 1 "2 passed, 1 failed, 0 skipped" \
  "ctest ended with status 7" "$results"$'\n'"exit 7" </dev/null

((failures == 0))
