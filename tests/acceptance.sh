#!/usr/bin/env bash
# The long runs on real data, which lies under TUTTI_DATA: text/tiny_shakespeare.txt, mnist/*-ubyte.gz
# and libsvm/a9a.gz, a9a.t.gz (see README.md for where to get them). And others' programs, from Python's
# package index: mpi4py's suite, with the interposer and without; PyTorch's DistributedDataParallel.
#
#   tests/acceptance.sh [PART]...
#
# All parts: training tensors fuzz secure sync privacy onnx torch servers mpi4py. What is fuzzed is so for ten minutes
# each, beside the parts that follow, and said at the end.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. tests/cmake/packages.sh
. tests/cmake/expect.sh
for file in training/exchange training/checkpoint codecs/fuzz/decoders secure/acceptance privacy/peer onnx/peers \
  torch/acceptance interpose/suite; do
  # shellcheck source=/dev/null
  . "tests/$file.sh"
done

all="training tensors fuzz secure sync privacy onnx torch servers mpi4py"
parts=("$@")
((${#parts[@]})) || read -ra parts <<<"$all"
for part in "${parts[@]}"; do
  [[ " $all " == *" $part "* ]] || { echo "tests/acceptance.sh takes some of: $all" >&2; exit 2; }
done

[ -n "${TUTTI_DATA-}" ] || { echo "not ok acceptance: TUTTI_DATA is not set"; exit 1; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

build=build/release
out=build/acceptance
mkdir -p "$out"

# make_ready PRESET TARGET...: builds; a failure counts.
make_ready() {
  local preset=$1 log=$out/build-$1-$2.log
  shift
  { cmake --preset "$preset" && cmake --build "build/$preset" -j "$jobs" --target "$@"; } >"$log" 2>&1 && return
  tail -n 40 "$log"
  not_ok "$* of build/$preset cannot be built, see $log"
  return 1
}

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

train() {
  local name=$1
  shift
  run "$name" train_text --data "$TUTTI_DATA/text/tiny_shakespeare.txt" --ranks 2 --seed 1 "$@"
}

# The main job: three strategies on the same text, and the same bits in every run that promises them.
part_training() {
  local sync
  make_ready release train_text federated_mnist || return
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
  run federated_mnist_buffer federated_mnist --seed 1 --rule fed_buff --ranks 3 --rounds 100
  expect "federated_mnist, buffered: accuracy" "$(field $out/federated_mnist_buffer.json accuracy)" at-least 0.96
}

# Files of tensors, to Python and back; checkpoints there, and of programs that are killed.
part_tensors() {
  make_ready release test_training || return
  exchange_with_python build/release/tests/test_training
  checkpoint_in_python build/release/tests/test_training
  kill_savers build/release/tests/test_training 200
}

# Ten minutes each of files and messages that are almost right, and of whatever bytes for every decoder of messages:
# beside what follows. What they say is in $out/fuzz-*.said until it is asked for.
part_fuzz() {
  make_ready asan test_training test_secure || return
  rm -f "$out"/fuzz-*.said
  { fuzz_reader build/asan/tests/test_training 600; fuzz_messages build/asan/tests/test_secure 600; } \
    >"$out/fuzz-files.said" 2>&1 &
  fuzz_decoders 600 >"$out/fuzz-decoders.said" 2>&1 &
}
say_what_was_found() {
  local said
  wait
  for said in "$out"/fuzz-*.said; do
    [[ -f $said ]] || continue
    cat "$said"
    failures=$((failures + $(grep -c '^not ok ' "$said")))
  done
}

# A secure sum of full size.
part_secure() {
  make_ready release test_secure && secure_sum_of_many build/release/tests/test_secure
}

# A million steps of workers of unlike speed, and ten thousand orders in which they arrive, in virtual time.
part_sync() {
  make_ready release test_sync || return
  run_case "stragglers: a million steps, ten thousand orders of arrival" "$build/tests/test_sync" stragglers '^$' \
    --steps 1000000 --orders 10000
}

# A million canaries, and epsilons beside those of another accountant.
part_privacy() {
  make_ready release test_privacy test_federated || return
  many_canaries "$build/tests/test_privacy" 1000000
  account_in_python "$build/tests/test_federated"
}

# Modules of LibTorch in ONNX Runtime and TensorRT, 200 random nestings among them; and models as examples leave them.
part_onnx() {
  make_ready release test_onnx torch_mnist federated_mnist || return
  run_onnx "$build/tests/test_onnx" 200
  [[ -f $out/federated_mnist.onnx ]] ||
    run federated_mnist federated_mnist --seed 1 --until 0.97 --onnx $out/federated_mnist.onnx
  digits_in_onnx federated_mnist $out/federated_mnist.onnx "$(field $out/federated_mnist.json accuracy)"
  "$build/examples/torch_mnist" --onnx $out/torch_mnist.onnx >$out/torch_mnist.log 2>&1 ||
    not_ok "torch_mnist --onnx, see $out/torch_mnist.log"
  digits_in_onnx torch_mnist $out/torch_mnist.onnx "$(sed -n 's/^test accuracy \([0-9.]*\),.*/\1/p' $out/torch_mnist.log)"
}

# Modules of the newest LibTorch, beside PyTorch's own DistributedDataParallel.
part_torch() { compare_with_ddp; }

# A parameter server under three bounds on staleness; three ranks, one of them only a server.
part_servers() {
  local staleness
  make_ready release parameter_server || return
  for staleness in 0 4 unbounded; do
    run "parameter_server-$staleness" parameter_server --ranks 3 --staleness "$staleness"
    expect "parameter_server --staleness $staleness: accuracy" \
      "$(field "$out/parameter_server-$staleness.json" accuracy)" at-least 0.845
  done
}

part_mpi4py() {
  make_ready release tutti_interpose && compare_suites "$PWD/$build/examples/interpose/libtutti_interpose.so"
}

rm -f "$out"/fuzz-*.said
for part in "${parts[@]}"; do "part_$part"; done
say_what_was_found
((failures == 0))
