# shellcheck shell=bash disable=SC2034
# Sourced by tests/fresh.sh and tests/acceptance.sh: checks that print "ok ..." or "not ok ...", as
# tests/run.sh counts them.

failures=0
ok() { echo "ok $*"; }
not_ok() { echo "not ok $*"; failures=$((failures + 1)); }

# field FILE NAME: a field of a JSON file; the elements of an array one a line.
field() { cmake -DFILE="$1" -DFIELD="$2" -P tests/cmake/field.cmake 2>&1; }

# expect TEXT VALUE at-most|at-least BOUND
expect() {
  local number='^-?[0-9]+([.][0-9]*)?([eE][-+]?[0-9]+)?$'
  if [[ $2 =~ $number ]] && awk -v value="$2" -v bound="$4" -v how="$3" \
    'BEGIN { exit !(how == "at-most" ? value + 0 <= bound + 0 : value + 0 >= bound + 0) }'; then
    ok "$1: $2 (${3/-/ } $4)"
  else
    not_ok "$1: $2 (${3/-/ } $4)"
  fi
}

# expect_equal_hashes TEXT COUNT FILE...: the weight_hashes of all ranks of all runs are one hash,
# and there are COUNT of them.
expect_equal_hashes() {
  local text=$1 count=$2 file hashes
  shift 2
  hashes=$(for file in "$@"; do field "$file" weight_hashes; done)
  if [[ $(grep -cE '^[0-9a-f]{64}$' <<<"$hashes") == "$count" && $(wc -l <<<"$hashes") == "$count" &&
    $(sort -u <<<"$hashes" | wc -l) == 1 ]]; then
    ok "$text: $count times ${hashes:0:16}..."
  else
    not_ok "$text: expected $count equal hashes, got:"$'\n'"$hashes"
  fi
}

# run_case TEXT RUNNER CASE PATTERN ARGUMENT...: a test case of a runner with arguments of its own; its log is $out/CASE.log,
# and what of it matches PATTERN stands behind TEXT.
run_case() {
  local text=$1 runner=$2 case=$3 pattern=$4 log=$out/$3.log
  shift 4
  if "$runner" --run_test="$case" --log_level=message -- "$@" >"$log" 2>&1; then
    ok "$text$(grep -oE "$pattern" "$log" | head -n 1)"
  else
    tail -n 20 "$log"
    not_ok "$text: see $log"
  fi
}

# python_with NAME PACKAGE...: packages of Python's index in an environment of their own, $out/NAME/venv; set is
# python=... An index that cannot be reached is a failure.
python_with() {
  local name=$1 folder=$out/$1
  shift
  python=$folder/venv/bin/python
  mkdir -p "$folder"
  (install_packages acceptance && { [[ -f $folder/venv/ready ]] ||
    { rm -rf "$folder/venv" && python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q "$@" &&
      touch "$folder/venv/ready"; }; }) >"$folder/venv.log" 2>&1 && return
  tail -n 5 "$folder/venv.log"
  not_ok "$name: it could not be had from the package index, see $folder/venv.log"
  return 1
}

# seed_of_today: fuzzers begin elsewhere each day.
seed_of_today() { date +%Y%m%d; }
