# shellcheck shell=bash
# Sourced by tests/acceptance.sh: a checkpoint is read by the reference implementation, which
# tests/training/exchange.sh has installed, and programs that save are killed at random moments.

# checkpoint_in_python TEST_TRAINING
checkpoint_in_python() {
  local folder=$out/safetensors
  rm -rf "$folder/checkpoint"
  "$1" --run_test=checkpoint/a_checkpoint_for_other_tools -- --write "$folder/checkpoint" \
    >"$folder/checkpoint.log" 2>&1 || not_ok "checkpoint: it could not be written, see $folder/checkpoint.log"
  "$folder/venv/bin/python" tests/training/checkpoint.py "$folder/checkpoint" || failures=$((failures + 1))
}

# kill_savers TEST_TRAINING TIMES
kill_savers() {
  local seed
  seed=$(seed_of_today)
  run_case "checkpoint: the last complete one was there each time, seed $seed: " "$1" checkpoint_killed '^[0-9]+ kills.*' \
    --kills "$2" --seed "$seed"
}
