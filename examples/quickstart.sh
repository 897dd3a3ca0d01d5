#!/usr/bin/env bash
# From a bare machine to a trained language model: installs what is missing, builds train_text, and
# runs it with the arguments given here (try --help). The second run only trains.
set -euo pipefail
cd "$(dirname "$0")/.." || exit
. tests/cmake/packages.sh

install_packages programs

echo "== building train_text"
build=build/quickstart
mkdir -p "$build"
cmake --preset release -B "$build" -DTUTTI_BUILD_TESTS=OFF -DTUTTI_BUILD_BENCH=OFF \
  >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" --target train_text -j "$jobs"

echo "== running train_text $*"
exec "$build/examples/train_text" "$@"
