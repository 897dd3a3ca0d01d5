# shellcheck shell=bash
# Sourced by tests/acceptance.sh: a secure sum of full size, and ten minutes of messages that are almost right.

# secure_sum_of_many TEST_SECURE
secure_sum_of_many() {
  local log=$out/secure_large.log
  if "$1" --run_test=secure_large -- --clients 100 --values 1000000 --neighbours 32 --threshold 12 >"$log" 2>&1; then
    ok "secure sum: exact over 100 clients of a million values, three in ten dropped"
  else
    tail -n 20 "$log"
    not_ok "secure sum: see $log"
  fi
}

# fuzz_messages TEST_SECURE SECONDS: with another seed each day.
fuzz_messages() {
  local log=$out/secure_fuzz.log seed
  seed=$(date +%Y%m%d)
  if "$1" --run_test=secure_fuzz --log_level=message -- --seconds "$2" --seed "$seed" >"$log" 2>&1; then
    ok "secure sum: $(grep -o '[0-9]* messages.*taken' "$log"), seed $seed, in $2 s"
  else
    tail -n 20 "$log"
    not_ok "secure sum: see $log"
  fi
}
