#!/usr/bin/env bash
# check.sh NVCC INCLUDE_DIR
#
# Two files of one program, compiled for unlike GPUs - the oldest that nvcc knows, and a newer one - with unlike ideas of
# the default stream, and without the operators of short floats: they link, and neither takes a kernel or a facade of the
# other for its own. Kernels are for what was asked for and no other. A CUB that is not nvcc's own stops the build with
# a sentence. Two files that use the same kernels link as well, also where one is compiled for a linker of devices. And
# the build of tutti says nothing of architectures, which are the user's.
set -uo pipefail
nvcc=$1 include=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
complain() {
  echo "not ok: $1"
  failures=$((failures + 1))
}

compile() { # NAME FLAGS...
  local name=$1
  shift
  "$nvcc" -std=c++20 -I"$include" -DTUTTI_TEST_NAME="$name" -Xptxas=--warn-on-local-memory-usage,-Werror \
    -Werror=all-warnings "$@" -c "$here/one.cu" -o "$scratch/$name.o"
}
compile first -arch=sm_75 --default-stream=legacy || complain "does not compile for sm_75"
compile second -arch=sm_100 --default-stream=per-thread -D__CUDA_NO_HALF_OPERATORS__ -D__CUDA_NO_BFLOAT16_OPERATORS__ \
  -D__CUDA_NO_HALF_CONVERSIONS__ -D__CUDA_NO_BFLOAT16_CONVERSIONS__ || complain "does not compile for sm_100"
"$nvcc" "$scratch/first.o" "$scratch/second.o" "$here/main.cpp" -o "$scratch/program" || complain "does not link"

# What both define weakly must not be, or start, a kernel: names that say for which GPUs they are built are unlike.
for name in first second; do
  nm -C --defined-only "$scratch/$name.o" | grep -E ' [WVTD] ' | grep -E '_kernel|reduce_weighted|judge_norm' |
    sed 's/^[0-9a-f]* . //' | sort -u >"$scratch/$name.names"
  [[ -s $scratch/$name.names ]] || complain "$name.o defines no facade"
done
both=$(comm -12 "$scratch/first.names" "$scratch/second.names")
[[ -z $both ]] || complain "both files define $both"

mkdir -p "$scratch/decoy/cub"
printf '#pragma once\n#define CUB_VERSION 200000\n#define CUB_MAJOR_VERSION 2\n' >"$scratch/decoy/cub/version.cuh"
said=$("$nvcc" -std=c++20 -I"$scratch/decoy" -I"$include" -DTUTTI_TEST_NAME=third -arch=sm_90 -cuda "$here/one.cu" \
  -o /dev/null 2>&1) && complain "another CUB is taken"
grep -m 1 'error' <<<"$said" | grep -q 'tutti: this is not the CUB that nvcc brings' ||
  complain "another CUB is refused by: $(head -n 3 <<<"$said")"

for name in third fourth; do
  rdc=false
  [[ $name == fourth ]] && rdc=true
  "$nvcc" -std=c++20 -I"$include" -DTUTTI_TEST_NAME="$name" -arch=sm_90 -rdc=$rdc -Werror=all-warnings \
    -c "$here/light.cu" -o "$scratch/$name.o" || complain "$name does not compile with -rdc=$rdc"
done
"$nvcc" -arch=sm_90 "$scratch/third.o" "$scratch/fourth.o" "$here/main.cpp" -o "$scratch/both" ||
  complain "two files with the same kernels do not link"

held=$(cat "$scratch"/{first,second}.names | grep -oE 'architectures<[^>]*>' | sort -u | xargs)
[[ $held == "architectures<1000> architectures<750>" ]] || complain "the kernels are for $held"
grep -nE 'CUDA_ARCHITECTURES|-arch|-gencode' "$include/../CMakeLists.txt" && complain "architectures are the user's"

echo "$failures complaints"
((failures == 0))
