#!/usr/bin/env bash
# The long runs on real data, which lies under TUTTI_DATA: text/tiny_shakespeare.txt, mnist/*-ubyte.gz
# and libsvm/a9a.gz, a9a.t.gz (see README.md for where to get them). And others' programs, from Python's
# package index: mpi4py's suite, with the interposer and without; PyTorch's DistributedDataParallel.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. tests/cmake/packages.sh
. tests/cmake/expect.sh
. tests/interpose/suite.sh

[ -n "${TUTTI_DATA-}" ] || { echo "not ok acceptance: TUTTI_DATA is not set"; exit 1; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

build=build/release
out=build/acceptance
mkdir -p "$out"
{ cmake --preset release && cmake --build "$build" -j "$jobs" \
    --target train_text federated_mnist parameter_server tutti_interpose; } >"$out/build.log" 2>&1 ||
  { tail -n 40 "$out/build.log"; echo "not ok acceptance: the examples do not build"; exit 1; }

# run NAME PROGRAM ARGS...: its JSON is $out/NAME.json; a failure counts, and its fields are empty.
run() {
  local name=$1 program=$2
  shift 2
  echo "== $name: $program $*"
  rm -f "$out/$name.json"
  "$build/examples/$program" "$@" --json "$out/$name.json" >"$out/$name.log" 2>&1 && return
  tail -n 20 "$out/$name.log"
  not_ok "$name: $program ended with an error"
}

# The main job: three strategies on the same text, and the same bits in every run that promises them.
train() {
  local name=$1
  shift
  run "$name" train_text --data "$TUTTI_DATA/text/tiny_shakespeare.txt" --ranks 2 --seed 1 "$@"
}

train synchronous
expect "synchronous: held_out_loss" "$(field $out/synchronous.json held_out_loss)" at-most 2.0
expect "synchronous: seconds" "$(field $out/synchronous.json seconds)" at-most 300
for sync in asynchronous federated; do
  train "$sync" --sync "$sync"
  expect "$sync: held_out_loss" "$(field "$out/$sync.json" held_out_loss)" at-most 2.3
done

for sync in synchronous federated; do
  train "$sync-again" --sync "$sync"
  train "$sync-threads" --sync "$sync" --transport threads
  train "$sync-threads-again" --sync "$sync" --transport threads
  expect_equal_hashes "$sync: hashes of two ranks in two runs on MPI and two on threads" 8 \
    "$out/$sync.json" "$out/$sync-again.json" "$out/$sync-threads.json" "$out/$sync-threads-again.json"
done

# Federated averaging, 2NN of McMahan et al. 2017: 87 rounds there, 35 % more allowed.
run federated_mnist federated_mnist --seed 1 --until 0.97 --onnx $out/federated_mnist.onnx
expect "federated_mnist: rounds" "$(field $out/federated_mnist.json rounds)" at-most 117
expect "federated_mnist: accuracy" "$(field $out/federated_mnist.json accuracy)" at-least 0.97

# Files of tensors, to Python and back; checkpoints there, and of programs that are killed; and ten minutes
# of files that are almost right.
. tests/training/exchange.sh
. tests/training/checkpoint.sh
for preset in release asan; do
  { cmake --preset $preset && cmake --build build/$preset -j "$jobs" --target test_training; } \
    >"$out/training-$preset.log" 2>&1 || not_ok "test_training does not build, see $out/training-$preset.log"
done
exchange_with_python build/release/tests/test_training
checkpoint_in_python build/release/tests/test_training
kill_savers build/release/tests/test_training 200
fuzz_reader build/asan/tests/test_training 600

# Ten minutes of messages of whatever bytes for every decoder.
. tests/codecs/fuzz/decoders.sh
fuzz_decoders 600

# A secure sum of full size; and ten minutes of messages that are almost right.
. tests/secure/acceptance.sh
for preset in release asan; do
  { cmake --build build/$preset -j "$jobs" --target test_secure; } >"$out/secure-$preset.log" 2>&1 ||
    not_ok "test_secure does not build, see $out/secure-$preset.log"
done
secure_sum_of_many build/release/tests/test_secure
fuzz_messages build/asan/tests/test_secure 600

# A million steps of workers of unlike speed, and ten thousand orders in which they arrive, in virtual time.
{ cmake --build "$build" -j "$jobs" --target test_sync; } >"$out/sync.log" 2>&1 ||
  not_ok "test_sync does not build, see $out/sync.log"
run_case "stragglers: a million steps, ten thousand orders of arrival" "$build/tests/test_sync" stragglers '^$' \
  --steps 1000000 --orders 10000

# A million canaries, and epsilons beside those of another accountant.
. tests/privacy/peer.sh
{ cmake --build "$build" -j "$jobs" --target test_privacy test_federated; } >"$out/privacy.log" 2>&1 ||
  not_ok "test_privacy does not build, see $out/privacy.log"
many_canaries "$build/tests/test_privacy" 1000000
account_in_python "$build/tests/test_federated"

# Modules of LibTorch in ONNX Runtime and TensorRT, 200 random nestings among them; and models as examples leave them.
. tests/onnx/peers.sh
{ cmake --build "$build" -j "$jobs" --target test_onnx torch_mnist; } >"$out/onnx.log" 2>&1 ||
  not_ok "test_onnx does not build, see $out/onnx.log"
run_onnx "$build/tests/test_onnx" 200
digits_in_onnx federated_mnist $out/federated_mnist.onnx "$(field $out/federated_mnist.json accuracy)"
"$build/examples/torch_mnist" --onnx $out/torch_mnist.onnx >$out/torch_mnist.log 2>&1 ||
  not_ok "torch_mnist --onnx, see $out/torch_mnist.log"
digits_in_onnx torch_mnist $out/torch_mnist.onnx "$(sed -n 's/^test accuracy \([0-9.]*\),.*/\1/p' $out/torch_mnist.log)"
# Modules of the newest LibTorch, beside PyTorch's own DistributedDataParallel.
. tests/torch/acceptance.sh
compare_with_ddp

# A parameter server under three bounds on staleness; three ranks, one of them only a server.
for staleness in 0 4 unbounded; do
  run "parameter_server-$staleness" parameter_server --ranks 3 --staleness "$staleness"
  expect "parameter_server --staleness $staleness: accuracy" \
    "$(field "$out/parameter_server-$staleness.json" accuracy)" at-least 0.845
done

compare_suites "$PWD/$build/examples/interpose/libtutti_interpose.so"

((failures == 0))
