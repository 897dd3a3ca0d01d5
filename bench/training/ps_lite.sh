#!/usr/bin/env bash
# The other side of `parameter_server`: ps-lite, in the version that BytePS carries in its source package on PyPI, by
# its own transport, ZeroMQ. Debian has no package of it.
#
#   ps_lite.sh build FILE   fetches it with pip, and builds ps_lite_rank.cpp with it; needs libzmq3-dev
#   ps_lite.sh run FILE     a job of a scheduler, a server and a worker on this machine; prints the worker's line
#
# TUTTI_PS_LITE=FILE bench/run.sh parameter_server compares with it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
file=${2-}
[[ -n $file ]] || set -- help

case ${1-} in
  build)
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    python3 -m pip download -q --no-deps --no-binary :all: -d "$made" byteps==0.2.5.post15
    tar xzf "$made"/byteps-*.tar.gz -C "$made" --strip-components 1
    cd "$made/3rdparty/ps-lite"
    for part in customer postoffice van; do
      g++ -std=c++14 -O3 -w -Isrc -Iinclude -c "src/$part.cc" -o "$part.o" # as its Makefile does
    done
    g++ -std=c++20 -O2 -w -Isrc -Iinclude -I"$here/../../include" "$here/ps_lite_rank.cpp" ./*.o -o "$made/rank" \
      -lzmq -lrt -pthread
    cd "$here"
    mv "$made/rank" "$file"
    ;;
  run)
    export DMLC_NUM_SERVER=1 DMLC_NUM_WORKER=1 DMLC_PS_ROOT_URI=127.0.0.1 DMLC_PS_ROOT_PORT=$((20000 + $$ % 10000))
    export DMLC_INTERFACE=lo DMLC_NODE_HOST=127.0.0.1
    trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
    DMLC_ROLE=scheduler nice -n 19 "$file" & # it has nothing to do meanwhile, and polls
    DMLC_ROLE=server "$file" &
    DMLC_ROLE=worker timeout 60 "$file"
    ;;
  *)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
