# shellcheck shell=bash disable=SC2034
# Sourced by tests/acceptance.sh and bench/run.sh: the newest LibTorch, out of a wheel of Python's package index.

# torch_wheel: the wheel is in $out/torch/venv (python_with of tests/cmake/expect.sh); set are python=..., wheel=..., the
# folder that it was unpacked into, and torch_options=(...), by which CMake takes the LibTorch in it.
torch_wheel() {
  python_with torch torch numpy || return
  wheel=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__path__[0]))') || return
  torch_options=(-DTUTTI_TORCH=ON "-DTorch_DIR=$PWD/tests/torch/wheel" "-DTUTTI_TORCH_WHEEL=$wheel")
}
