#!/usr/bin/env bash
# The one way to run a benchmark:
#
#   bench/run.sh NAME [--json FILE]
#
# Installs what is missing, builds a release in build/bench, runs bench/NAME.cpp (or bench/NAME.sh),
# prints a table with the machine, and writes
#   {"benchmark", "machine", "rows": [...], "claims": [{"claim", "measured", "bar", "holds"}]}
# Ends with 1 when a claim does not hold.
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")/.."
. tests/cmake/packages.sh

names() { find bench -maxdepth 1 \( -name '*.cpp' -o -name '*.sh' \) ! -name run.sh -printf '%f\n' | sed 's/\.[a-z]*$//' | sort -u | xargs; }
name=${1-}
if [[ -z $name || $name == -* ]] || [[ ! -f bench/$name.cpp && ! -f bench/$name.sh ]]; then
  echo "bench/run.sh NAME [--json FILE], where NAME is one of: $(names)" >&2
  exit 2
fi
shift
arguments=()
while (($#)); do
  case $1 in
    --json)
      [[ -n ${2-} ]] || { echo "bench/run.sh: --json needs a file" >&2; exit 2; }
      arguments+=(--json "$(cd "$invoked_from" && realpath -m "$2")")
      shift 2
      ;;
    *) echo "bench/run.sh: unknown argument $1 (there is --json FILE)" >&2; exit 2 ;;
  esac
done

install_packages programs bench

# Kernels are compiled by nvcc, and are right before they are fast.
if [[ $name == cuda ]]; then
  PATH=$PATH:/usr/local/cuda/bin
  command -v nvcc >/dev/null || { echo "bench/run.sh: nvcc is not installed, and cuda needs it" >&2; exit 2; }
  echo "== building in build/bench-cuda" >&2
  mkdir -p build/bench-cuda
  { cmake --preset cuda -B build/bench-cuda -DTUTTI_BUILD_EXAMPLES=OFF &&
      cmake --build build/bench-cuda -j "$jobs" --target label_bench_cuda test_cuda; } >build/bench-cuda/log 2>&1 || {
    cat build/bench-cuda/log >&2
    exit 1
  }
  build/bench-cuda/tests/test_cuda --run_test=cuda_device >&2
  export TUTTI_TORCH_PEERS=$PWD/build/bench-cuda/torch_peers
  python3 bench/cuda/torch_peers.py >"$TUTTI_TORCH_PEERS" 2>build/bench-cuda/torch_log || : >"$TUTTI_TORCH_PEERS"
  exec build/bench-cuda/bench/bench_cuda "${arguments[@]}"
fi

# What is compared with PyTorch takes the LibTorch of the same wheel, which acceptance has as well.
build=build/bench options=()
if [[ $name == data_parallel ]]; then
  . tests/cmake/expect.sh
  . tests/torch/wheel.sh
  out=build/acceptance
  torch_wheel >&2 || exit 1
  export TUTTI_PYTHON=$PWD/$python
  build=build/bench-torch options=("${torch_options[@]}")
fi

echo "== building in $build" >&2
mkdir -p "$build"
{ cmake --preset release -B "$build" -DTUTTI_BUILD_TESTS=OFF -DTUTTI_BUILD_EXAMPLES=OFF "${options[@]}" &&
    cmake --build "$build" -j "$jobs" --target "label_bench_$name"; } >"$build/log" 2>&1 || {
  cat "$build/log" >&2
  exit 1
}

# The collectives are compared with MPICH's as well.
case $name in
  all_reduce | reduce_scatter | all_gather | broadcast)
    mkdir -p build/bench-mpich
    { cmake --preset mpich -B build/bench-mpich -DTUTTI_BUILD_TESTS=OFF -DTUTTI_BUILD_EXAMPLES=OFF &&
        cmake --build build/bench-mpich -j "$jobs" --target bench_collectives_rank; } \
      >build/bench-mpich/log 2>&1 || { cat build/bench-mpich/log >&2; exit 1; }
    ;;
esac

# As root and with more ranks than cores, Open MPI has to be told that this is meant.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
echo "== running $name" >&2
if [[ -f bench/$name.sh ]]; then
  exec bash "bench/$name.sh" "$build/bench" "${arguments[@]}"
fi
exec "$build/bench/bench_$name" "${arguments[@]}"
