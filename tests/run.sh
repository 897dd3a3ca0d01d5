#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   tests/run.sh [--only LABEL]... [--gpu] [--help]
#
# Labels:
#   unit         every folder of tests/ that has a runner, on threads, but for those of asan and tsan
#   proof        schedules at every size to 256, mutants, historical bugs; the protocol of ranks that
#                share memory, model-checked
#   mpi mpich    the same tests under Open MPI and under MPICH, on 1, 2, 3 and 4 ranks
#   asan tsan    the runners of carriers, collectives, communicators, kernels, reducers, shared_memory,
#                strategy, sync and training under the address and undefined-behaviour sanitizers, and
#                under the thread sanitizer
#   cuda         compiled with nvcc where there is one, read from the cubin, and run on a mock of the
#                runtime; what needs a GPU skips itself without
#   rejections   what must not compile, and the sentence that says so
#   headers      each alone, under hostile macros, linked twice; and the graph of their includes
#   consumption  find_package, add_subdirectory, FetchContent
#   examples     each example with the arguments that it names itself
#   faults       ranks that leave, throw, stop or are killed
# and, only when asked for:
#   thorough     the runners of asan and tsan without sanitizers, what must not compile with clang++ and
#                nvcc as well, and the headers of LibTorch's adapters, each alone
#   fresh        the README's two commands on a bare Debian that is built for it (root)
#   gpu          the tests that need a GPU, which must be there, and compute-sanitizer on them where it
#                works; --gpu is --only gpu
#   acceptance   the long runs on real data (TUTTI_DATA), mpi4py's suite under the interposer, and PyTorch beside us
#
# A label that runs no test has failed, and so has one whose tests all skip themselves, but for
# cuda. Logs and results lie under build/.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. tests/cmake/packages.sh

all="unit proof mpi mpich asan tsan cuda rejections headers consumption examples faults"
labels=()
while (($#)); do
  case $1 in
    --only)
      [[ " $all thorough fresh gpu acceptance " == *" ${2-} "* ]] ||
        { echo "--only takes one of: $all thorough fresh gpu acceptance" >&2; exit 2; }
      labels+=("$2")
      shift 2
      ;;
    --gpu) labels+=(gpu) && shift ;;
    --help | -h) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown argument $1 (try --help)" >&2; exit 2 ;;
  esac
done
((${#labels[@]})) || read -ra labels <<<"$all"

install_packages programs tests

rows=""
passed=0 failed=0 skipped=0

# record LABEL PASSED FAILED SKIPPED SECONDS [NOTE]: one line of the table at the end.
record() {
  rows+=$(printf '%-12s %7d %7d %7d %8d  %s' "$1" "$2" "$3" "$4" "$5" "${6-}")$'\n'
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
}

# build PRESET TARGET LOG: configures and builds, quietly unless it fails.
build() {
  mkdir -p "build/$1"
  cmake --preset "$1" -DTUTTI_WERROR="${TUTTI_WERROR:-OFF}" >"$3" 2>&1 &&
    cmake --build "build/$1" --target "$2" -j "$jobs" >>"$3" 2>&1 &&
    { grep '^-- tutti:' "$3" || true; }
}

# run_ctest LABEL PRESET SELECTION: builds what the ctest label SELECTION needs and runs its tests.
run_ctest() {
  local label=$1 preset=$2 selection=$3 start=$SECONDS
  local log=build/$preset/$label.log results=$PWD/build/$preset/$label.xml prefix=()

  echo "== $label: building in build/$preset"
  if ! build "$preset" "label_$selection" "$log"; then
    grep -E 'error|FAILED|CMake Error' -A 3 "$log" | head -n 60
    record "$label" 0 1 0 $((SECONDS - start)) "does not build, see $log"
    return
  fi

  # The thread sanitizer of g++ 12 finds no room for its memory under the address randomisation of
  # recent kernels (vm.mmap_rnd_bits = 32); without randomisation it always does.
  [[ $preset == tsan ]] && setarch -R true 2>/dev/null && prefix=(setarch -R)

  echo "== $label: running"
  rm -f "$results"
  "${prefix[@]}" ctest --test-dir "build/$preset" -L "^$selection\$" -j "$jobs" --no-tests=error \
    --output-on-failure --output-junit "$results" 2>&1 |
    grep -vE '^(Internal ctest changing|Errors while running CTest)'
  local status=${PIPESTATUS[0]}

  # The results count a test that could not be started as skipped, like one that skipped itself;
  # only the reason tells them apart. ctest's own status tells of what the results do not hold.
  count() { sed -n "s/^[ \t]*$1=\"\([0-9]*\)\"\$/\1/p" "$results" 2>/dev/null | head -n 1; }
  local ran bad left_out disabled lost good note=""
  ran=$(count tests) bad=$(count failures) left_out=$(count skipped) disabled=$(count disabled)
  lost=$(grep '<skipped message=' "$results" 2>/dev/null | grep -vc 'message="SKIP_')
  ran=${ran:-0} bad=$((${bad:-0} + lost)) left_out=$((${left_out:-0} - lost + ${disabled:-0}))
  good=$((ran - bad - left_out))
  if ((ran == 0)); then
    note="ran no test"
  elif ((ran == left_out)) && [[ $label != cuda ]]; then
    note="every test skipped itself"
  elif ((status != 0 && bad == 0)); then
    note="ctest ended with status $status"
  fi
  [[ -n $note ]] && ((bad == 0)) && bad=1
  record "$label" "$good" "$bad" "$left_out" $((SECONDS - start)) "$note"
}

# run_script LABEL COMMAND...: a script that prints one line "ok ..." or "not ok ..." for each check.
run_script() {
  local label=$1 start=$SECONDS log=build/$1.log good bad status
  shift
  mkdir -p build
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  good=$(grep -c '^ok ' "$log") bad=$(grep -c '^not ok ' "$log")
  ((status != 0 && bad == 0)) && bad=1
  ((good + bad == 0)) && bad=1
  record "$label" "$good" "$bad" 0 $((SECONDS - start))
}

for label in "${labels[@]}"; do
  case $label in
    mpich) run_ctest mpich mpich mpich ;;
    asan | tsan) run_ctest "$label" "$label" sanitized ;;
    faults)
      run_ctest faults release faults
      run_ctest faults-mpich mpich faults
      ;;
    cuda)
      PATH=$PATH:/usr/local/cuda/bin
      if command -v nvcc >/dev/null; then
        run_ctest cuda cuda cuda
      else
        echo "== cuda: skipped, nvcc is not installed"
        record cuda 0 0 1 0 "nvcc is not installed"
      fi
      ;;
    gpu)
      PATH=$PATH:/usr/local/cuda/bin
      if build cuda test_cuda build/cuda/gpu.log; then
        run_script gpu bash tests/cuda/gpu.sh build/cuda/tests/test_cuda
      else
        record gpu 0 1 0 0 "does not build, see build/cuda/gpu.log"
      fi
      ;;
    fresh) run_script fresh tests/fresh.sh ;;
    acceptance) run_script acceptance tests/acceptance.sh ;;
    *) run_ctest "$label" release "$label" ;;
  esac
done

printf '\n%-12s %7s %7s %7s %8s\n%s\n' label passed failed skipped seconds "$rows"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
