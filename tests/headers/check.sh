#!/usr/bin/env bash
# The checks of public headers; tests/headers/CMakeLists.txt calls them, one ctest case each.
#
#   check.sh alone   HEADER    -- COMPILER FLAGS...   compiles on its own, and included twice
#   check.sh hostile HEADER... -- COMPILER FLAGS...   compiles under macros that other libraries define
#   check.sh linked  HEADER... -- COMPILER FLAGS...   two translation units with all of them link
#   check.sh no_exceptions HEADER -- COMPILER FLAGS... without exceptions one #error says so
#   check.sh graph   INCLUDE_DIR                      includes point one way only
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
check=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

headers=()
while (($#)) && [[ $1 != -- ]]; do
  headers+=("$1")
  shift
done
shift || true # the two dashes; what is left is the compiler

includes() { printf '#include <%s>\n' "$@"; }

# -fsyntax-only, where the compiler has it.
compile_only() {
  if [[ $1 == *nvcc ]]; then "$@" -c "$source" -o "$scratch/object.o"; else "$@" -fsyntax-only "$source"; fi
}

# The headers of others that ours include, each where it exists, mpi.h ahead of its extensions. They come before the
# hostile macros.
includes_of_others() {
  local include_dir=$here/../../include
  (cd "$include_dir" && cat "${headers[@]}") |
    sed -nE 's/^[ \t]*#[ \t]*include[ \t]*<([^>]+)>.*/\1/p' | grep -v '^tutti/' | sed 's/^mpi\.h$/ &/' | LC_ALL=C sort -u | sed 's/^ //' |
    sed -E 's/.*/#if __has_include(<&>)\n#include <&>\n#endif/'
}

case $check in
  alone)
    source=$scratch/alone.cpp
    includes "${headers[0]}" "${headers[0]}" >"$source"
    compile_only "$@"
    ;;

  no_exceptions)
    source=$scratch/alone.cpp
    includes "${headers[0]}" >"$source"
    if said=$(compile_only "$@" -fno-exceptions 2>&1); then
      echo "it compiles without exceptions"
      exit 1
    fi
    # The #error, and the end: no such file.
    sentence='error: .*tutti: every failure is an exception, they are off - compile without -fno-exceptions'
    if ! grep -m 1 'error: ' <<<"$said" | grep -q "$sentence" || (($(grep -c 'error: ' <<<"$said") != 2)); then
      echo "$said"
      exit 1
    fi
    ;;

  hostile)
    source=$scratch/hostile.cpp
    { includes_of_others; cat "$here/hostile.hpp"; includes "${headers[@]}"; } >"$source"
    compile_only "$@"
    ;;

  linked)
    for unit in one two; do
      { includes "${headers[@]}"; echo "int $unit() { return 0; }"; } >"$scratch/$unit.cpp"
      "$@" -c "$scratch/$unit.cpp" -o "$scratch/$unit.o"
    done
    echo 'int one(); int two(); int main() { return one() + two(); }' >"$scratch/main.cpp"
    "$@" -c "$scratch/main.cpp" -o "$scratch/main.o"
    # Whatever they declare of MPI or CUDA stays undefined on purpose: only duplicates matter here.
    "$1" "$scratch"/{main,one,two}.o -pthread -Wl,--unresolved-symbols=ignore-all -o "$scratch/program"
    ;;

  graph)
    cd "${headers[0]}"
    find tutti -type f \( -name '*.hpp' -o -name '*.cuh' \) | sort |
      xargs awk -f "$here/include_graph.awk"
    ;;

  *)
    echo "check.sh: no such check: $check" >&2
    exit 2
    ;;
esac
