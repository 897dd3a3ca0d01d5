# shellcheck shell=bash
# Sourced by tests/acceptance.sh: files of tensors go to the reference implementation, from Python's
# package index, and back; and the reader is given files that are almost right for as long as is asked.

# exchange_with_python TEST_TRAINING
exchange_with_python() {
  local runner=$1 folder=$out/safetensors python
  python_with safetensors safetensors==0.8.0 numpy || return
  rm -f "$folder"/by_* "$folder/corpus"
  "$runner" --run_test=safetensors_exchange -- --write "$folder/by_tutti" >"$folder/write.log" 2>&1 ||
    not_ok "safetensors: the file for Python could not be written, see $folder/write.log"
  "$runner" --run_test=safetensors_fuzz -- --seed 2 --keep "$folder/corpus" >"$folder/corpus.log" 2>&1 ||
    not_ok "safetensors: see $folder/corpus.log"
  "$python" tests/training/exchange.py "$folder/by_tutti" "$folder/by_python" "$folder/corpus" ||
    failures=$((failures + 1))
  run_case "safetensors: tutti reads what Python has written" "$runner" safetensors_exchange '^$' --read "$folder/by_python"
}

# fuzz_reader TEST_TRAINING SECONDS
fuzz_reader() {
  local seed
  seed=$(seed_of_today)
  run_case "safetensors, seed $seed, $2 s: " "$1" safetensors_fuzz '^[0-9]+ files.*' --seconds "$2" --seed "$seed"
}
