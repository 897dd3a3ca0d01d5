# shellcheck shell=bash disable=SC2154
# Sourced by tests/acceptance.sh: what is exported goes through ONNX's checker, ONNX Runtime and TensorRT for RTX, from
# Python's package index.

# run_onnx TEST_ONNX COUNT: every case of the tests, and so many random nestings.
run_onnx() {
  local runner=$1 count=$2 folder=$out/onnx venv=$out/onnx/venv seed
  mkdir -p "$folder"
  (install_packages acceptance && { [[ -f $venv/ready ]] ||
    { rm -rf "$venv" && python3 -m venv "$venv" &&
      "$venv/bin/pip" install -q onnxruntime onnx numpy tensorrt-rtx-cu13 && touch "$venv/ready"; }; }) \
    >"$folder/venv.log" 2>&1 || {
    tail -n 5 "$folder/venv.log"
    not_ok "onnx: the runtimes could not be had from the package index, see $folder/venv.log"
    return
  }
  seed=$(date +%Y%m%d)
  rm -rf "$folder/cases"
  "$runner" -- --keep "$folder/cases" --count "$count" --seed "$seed" >"$folder/export.log" 2>&1 || {
    tail -n 20 "$folder/export.log"
    not_ok "onnx: not everything is exported, seed $seed, see $folder/export.log"
  }
  local peer
  for peer in run tensorrt; do
    if "$venv/bin/python" "tests/onnx/$peer.py" "$folder/cases" >"$folder/$peer.log" 2>&1; then
      ok "onnx: $(tail -n 1 "$folder/$peer.log"), seed $seed"
    else
      tail -n 20 "$folder/$peer.log"
      not_ok "onnx: seed $seed, see $folder/$peer.log"
    fi
  done
}
