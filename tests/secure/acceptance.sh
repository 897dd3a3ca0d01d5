# shellcheck shell=bash
# Sourced by tests/acceptance.sh: a secure sum of full size, and ten minutes of messages that are almost right.

# secure_sum_of_many TEST_SECURE
secure_sum_of_many() {
  run_case "secure sum: exact over 100 clients of a million values, three in ten dropped" "$1" secure_large '^$' \
    --clients 100 --values 1000000 --neighbours 32 --threshold 12
}

# fuzz_messages TEST_SECURE SECONDS
fuzz_messages() {
  local seed
  seed=$(seed_of_today)
  run_case "secure sum, seed $seed, $2 s: " "$1" secure_fuzz '[0-9]+ messages.*taken' --seconds "$2" --seed "$seed"
}
