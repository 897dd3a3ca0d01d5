# shellcheck shell=bash
# Sourced by tests/acceptance.sh: files of tensors go to the reference implementation, from Python's
# package index, and back; and the reader is given files that are almost right for as long as is asked.

# exchange_with_python TEST_TRAINING
exchange_with_python() {
  local runner=$1 folder=$out/safetensors venv=$out/safetensors/venv
  mkdir -p "$folder"
  (install_packages acceptance && { [[ -f $venv/ready ]] ||
    { rm -rf "$venv" && python3 -m venv "$venv" &&
      "$venv/bin/pip" install -q safetensors==0.8.0 numpy && touch "$venv/ready"; }; }) \
    >"$folder/venv.log" 2>&1 || {
    tail -n 5 "$folder/venv.log"
    not_ok "safetensors: it could not be had from the package index, see $folder/venv.log"
    return
  }
  rm -f "$folder"/by_* "$folder/corpus"
  "$runner" --run_test=safetensors_exchange -- --write "$folder/by_tutti" >"$folder/write.log" 2>&1 ||
    not_ok "safetensors: the file for Python could not be written, see $folder/write.log"
  "$runner" --run_test=safetensors_fuzz -- --seed 2 --keep "$folder/corpus" >"$folder/corpus.log" 2>&1 ||
    not_ok "safetensors: see $folder/corpus.log"
  "$venv/bin/python" tests/training/exchange.py "$folder/by_tutti" "$folder/by_python" "$folder/corpus" ||
    failures=$((failures + 1))
  if "$runner" --run_test=safetensors_exchange -- --read "$folder/by_python" >"$folder/read.log" 2>&1; then
    ok "safetensors: tutti reads what Python has written"
  else
    not_ok "safetensors: tutti cannot read what Python has written, see $folder/read.log"
  fi
}

# fuzz_reader TEST_TRAINING SECONDS: with another seed each day.
fuzz_reader() {
  local log=$out/fuzz.log seed
  seed=$(date +%Y%m%d)
  if "$1" --run_test=safetensors_fuzz --log_level=message -- --seconds "$2" --seed "$seed" >"$log" 2>&1; then
    ok "safetensors: $(grep -o '^[0-9]* files.*' "$log"), seed $seed, in $2 s"
  else
    tail -n 20 "$log"
    not_ok "safetensors: see $log"
  fi
}
