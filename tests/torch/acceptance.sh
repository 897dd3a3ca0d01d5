# shellcheck shell=bash
# Sourced by tests/acceptance.sh: the newest LibTorch, out of a wheel of Python's package index, passes the tests
# of modules; and PyTorch's own DistributedDataParallel comes to the same weights and losses.
. tests/torch/wheel.sh

# compare_with_ddp
compare_with_ddp() {
  local folder=$out/torch build=build/torch python wheel torch_options
  torch_wheel || return
  { cmake --preset release -B "$build" "${torch_options[@]}" -DTUTTI_BUILD_EXAMPLES=OFF &&
      cmake --build "$build" -j "$jobs" --target test_torch; } >"$folder/build.log" 2>&1 || {
    tail -n 40 "$folder/build.log"
    not_ok "torch: the tests of modules do not build with the LibTorch in $wheel"
    return
  }
  run_case "torch: the tests of modules pass with the LibTorch in $wheel" "$build/tests/test_torch" 'torch_*' '^$' \
    --write "$folder"
  "$python" tests/torch/ddp.py "$folder" || failures=$((failures + 1))
}
