# Sourced by tests/acceptance.sh, from the root of the repository.

# fuzz_decoders SECONDS: every decoder for so long under libFuzzer, two at a time for each processor.
fuzz_decoders() {
  local program=$out/fuzz_decoders seed names
  seed=$(seed_of_today)
  "${CLANG:-clang++}" -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Iinclude \
    -Itests tests/codecs/fuzz/decoders.cpp -o "$program" -pthread >"$out/fuzz_decoders.log" 2>&1 ||
    { tail -n 20 "$out/fuzz_decoders.log"; not_ok "decoders: the fuzzer does not build"; return; }
  names=$(TUTTI_DECODER=- "$program") || { not_ok "decoders: the fuzzer has none"; return; }
  # shellcheck disable=SC2016 # for the shell that xargs starts
  echo "$names" | program=$program out=$out seconds=$1 seed=$seed xargs -P $((2 * jobs)) -I{} sh -c \
    'TUTTI_DECODER={} "$program" -max_total_time="$seconds" -seed="$seed" -max_len=4096 -print_final_stats=1 \
       -artifact_prefix="$out/{}-" >"$out/fuzz-{}.log" 2>&1; echo $? >"$out/fuzz-{}.rc"'
  local name
  for name in $names; do
    if [ "$(cat "$out/fuzz-$name.rc")" = 0 ]; then
      ok "decoder $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/fuzz-$name.log") messages, seed $seed, in $1 s"
    else
      tail -n 20 "$out/fuzz-$name.log"
      not_ok "decoder $name: see $out/fuzz-$name.log"
    fi
  done
}
