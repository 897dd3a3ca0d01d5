# shellcheck shell=bash disable=SC2154
# Sourced by tests/acceptance.sh: what is exported goes through ONNX's checker, ONNX Runtime and TensorRT for RTX, from
# Python's package index.

# run_onnx TEST_ONNX COUNT: every case of the tests, and so many random nestings.
run_onnx() {
  local runner=$1 count=$2 folder=$out/onnx python peer seed
  python_with onnx onnxruntime onnx numpy tensorrt-rtx-cu13 || return
  seed=$(seed_of_today)
  rm -rf "$folder/cases"
  "$runner" -- --keep "$folder/cases" --count "$count" --seed "$seed" >"$folder/export.log" 2>&1 || {
    tail -n 20 "$folder/export.log"
    not_ok "onnx: not everything is exported, seed $seed, see $folder/export.log"
  }
  for peer in run tensorrt; do
    if "$python" "tests/onnx/$peer.py" "$folder/cases" >"$folder/$peer.log" 2>&1; then
      ok "onnx: $(tail -n 1 "$folder/$peer.log"), seed $seed"
    else
      tail -n 20 "$folder/$peer.log"
      not_ok "onnx: seed $seed, see $folder/$peer.log"
    fi
  done
}

# digits_in_onnx NAME FILE ACCURACY: what the example NAME has written into FILE is as good in ONNX Runtime as it said.
digits_in_onnx() {
  local python log=$out/onnx/$1.log
  python_with onnx onnxruntime onnx numpy tensorrt-rtx-cu13 || return
  if "$python" tests/onnx/digits.py "$2" "$TUTTI_DATA/mnist" "$3" >"$log" 2>&1; then
    ok "$1 --onnx: $(tail -n 1 "$log")"
  else
    not_ok "$1 --onnx: $(tail -n 1 "$log")"
  fi
}
