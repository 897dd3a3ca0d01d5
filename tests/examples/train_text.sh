#!/usr/bin/env bash
# train_text.sh PROGRAM MPIEXEC: what train_text says and writes, and what it refuses untrained.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. tests/cmake/expect.sh
program=$1 mpiexec=$2
export LC_ALL=C # a model that has learnt little writes any bytes
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# run NAME COMMAND...: standard output and error go to $scratch/NAME.out and NAME.err.
run() {
  local name=$1
  shift
  "$@" >"$scratch/$name.out" 2>"$scratch/$name.err" && return
  not_ok "$name ended with status $?:"$'\n'"$(cat "$scratch/$name".???)"
}

# says TEXT FILE EXPRESSION: a line of the file matches.
says() {
  local said
  said=$(tr -d '\0' <"$2")
  if grep -qaE -e "$3" <<<"$said"; then ok "$1"; else not_ok "$1: no '$3' in:"$'\n'"$said"; fi
}

small=(--data README.md --steps 6 --batch 2)

# The same run on threads and on MPI.
sample="A rank is "
for transport in threads mpi; do
  run $transport "$program" "${small[@]}" --transport $transport --sample "$sample" \
    --json "$scratch/$transport.json" --plot "$scratch/$transport.svg"
  out=$scratch/$transport.out err=$scratch/$transport.err json=$scratch/$transport.json

  says "$transport: the first line names the text and its length" <(head -n 1 "$out") \
    "README[.]md, $(wc -c <README.md) bytes$"
  says "$transport: the bar shows loss, tokens/s, bytes and time communicating" "$err" \
    "[[]#+[]] 6/6  loss [0-9.]+  [0-9]+ tokens/s  [0-9.]+ [kMG]?B sent  [0-9]+ % communicating  "
  says "$transport: the sample continues what it was given" \
    <(grep -aA 1 '^--- sample ---$' "$out") "^$sample"
  expect "$transport: bytes of the sample" \
    "$(sed -n '/^--- sample ---$/,/^-----*$/p' "$out" | wc -c)" at-least 300

  # A byte costs ln 256 = 5.545 nats where nothing is known.
  expect "$transport: held_out_loss" "$(field "$json" held_out_loss)" at-most 5.6
  expect "$transport: held_out_loss" "$(field "$json" held_out_loss)" at-least 1
  expect "$transport: bytes_sent" "$(field "$json" bytes_sent)" at-least 1
  expect "$transport: largest_burst" "$(field "$json" largest_burst)" at-least 1
  expect "$transport: seconds" "$(field "$json" seconds)" at-least 0.001
  expect "$transport: seconds" "$(field "$json" seconds)" at-most 60
  expect "$transport: tokens_per_second" "$(field "$json" tokens_per_second)" at-least 1
  says "$transport: the plot begins as an SVG" <(head -n 1 "$scratch/$transport.svg") "^<svg "
  says "$transport: the plot has a line" "$scratch/$transport.svg" '<polyline .* points="[0-9., ]+"'
  says "$transport: the plot ends as an SVG" <(tail -n 1 "$scratch/$transport.svg") "^</svg>$"
done
expect_equal_hashes "hashes of two ranks on threads and two on MPI" 4 "$scratch"/{threads,mpi}.json

# What ranks did, of all of them in one file.
for transport in threads mpi; do
  run trace-$transport "$program" "${small[@]}" --transport $transport --trace "$scratch/trace-$transport.json"
  expect "$transport: ranks in the trace" \
    "$(grep -o '"process_name"' "$scratch/trace-$transport.json" | wc -l)" at-least 2
  says "$transport: the trace has spans" "$scratch/trace-$transport.json" '"ph":"X"'
  says "$transport: the trace is a whole object" <(tr -d '\n' <"$scratch/trace-$transport.json") '^[{]"displayTimeUnit".*[}]$'
  expect "$transport: parts that are left over" "$(find "$scratch" -name 'trace-*.json.*' | wc -l)" at-most 0
done

# Half of a run, and the other half: the same bits as in one.
for sync in synchronous sharded diloco; do
  run "$sync-whole" "$program" "${small[@]}" --transport threads --sync $sync --period 2 \
    --save "$scratch/$sync" --save-every 4 --json "$scratch/$sync-whole.json"
  rm -rf "$scratch/$sync/step-6"
  run "$sync-resumed" "$program" "${small[@]}" --transport threads --sync $sync --period 2 \
    --resume "$scratch/$sync" --json "$scratch/$sync-resumed.json"
  says "$sync: where it goes on is said" "$scratch/$sync-resumed.out" \
    "^resumed +$scratch/$sync/step-4, goes on at step 5 of 6$"
  expect_equal_hashes "$sync: hashes of two ranks in one run and in two halves" 4 \
    "$scratch/$sync"-{whole,resumed}.json
done

# Rounds as well.
rounds=("$program" --data README.md --batch 1 --ranks 2 --transport threads --sync federated --steps 200)
run rounds-whole "${rounds[@]}" --save "$scratch/rounds" --save-every 100 --json "$scratch/rounds-whole.json"
rm -rf "$scratch/rounds/step-200"
run rounds-resumed "${rounds[@]}" --resume "$scratch/rounds" --json "$scratch/rounds-resumed.json"
says "federated: where it goes on is said" "$scratch/rounds-resumed.out" \
  "^resumed +$scratch/rounds/step-100, goes on at step 101 of 200$"
expect_equal_hashes "federated: hashes of two ranks in one run and in two halves" 4 \
  "$scratch"/rounds-{whole,resumed}.json

# Where servers answer, the order of pushes is another one; training goes on where it was, and all end alike.
run servers-whole "$program" "${small[@]}" --transport threads --sync asynchronous \
  --save "$scratch/servers" --save-every 4
rm -rf "$scratch/servers/step-6"
run servers-resumed "$program" "${small[@]}" --transport threads --sync asynchronous \
  --resume "$scratch/servers" --json "$scratch/servers.json"
says "servers: where it goes on is said" "$scratch/servers-resumed.out" \
  "^resumed +$scratch/servers/step-4, goes on at step 5 of 6$"
expect_equal_hashes "servers: hashes of two ranks" 2 "$scratch/servers.json"

# What codecs send: all of them in a list, and a table of runs.
run list "$program" --data README.md --ranks 2 --transport threads --codec list
says "a codec that is twice shorter is listed so" "$scratch/list.out" '^bfloat16 +[0-9]+ +2[.]0  cast<bfloat16>$'
says "sparse codecs are listed" "$scratch/list.out" '^chunked_two_bit +[0-9]+ +[0-9]{2}[.][0-9]  error_feedback[{]basic_chunked'
run table env CODECS="identity two_bit" bash examples/train_text/codec_table.sh "$program" "${small[@]}" --ranks 2 \
  --transport threads --score 4096
says "the table of codecs begins with what others are compared to" "$scratch/table.out" \
  '^[|] `identity` [|] [0-9]+ [|] 1[.]0 [|] [0-9.]+ [|]$'
says "the table of codecs has a row for each" "$scratch/table.out" '^[|] `two_bit` [|] [0-9]+ [|] [0-9]+[.][0-9] [|] [0-9.]+ [|]$'
for codec in sign chunked_two_bit dgc one_bit_adam; do
  run "$codec-whole" "$program" "${small[@]}" --transport threads --codec $codec \
    --save "$scratch/$codec" --save-every 4 --json "$scratch/$codec-whole.json"
  rm -rf "$scratch/$codec/step-6"
  run "$codec-resumed" "$program" "${small[@]}" --transport threads --codec $codec \
    --resume "$scratch/$codec" --json "$scratch/$codec-resumed.json"
  expect_equal_hashes "$codec: hashes of two ranks in one run and in two halves" 4 "$scratch/$codec"-{whole,resumed}.json
done

# Chosen by price, and why.
run automatic "$program" "${small[@]}" --transport threads --topology automatic --explain
says "the automatic topology is explained" "$scratch/automatic.out" \
  "^all_reduce of [0-9]+ bytes on 2 ranks:$"
says "the chosen one stands first" <(grep -aA 1 '^all_reduce of' "$scratch/automatic.out") '<- chosen$'
says "its numbers are there to be kept" "$scratch/automatic.out" 'measured: (0x[0-9a-fp.+-]+ ?){9}$'
run explained "$program" "${small[@]}" --transport threads --explain
says "the default topology is explained" "$scratch/explained.out" \
  "^the default topology: direct up to 8 ranks"

# Without --data.
run default "$program" --transport threads --ranks 2 --batch 1 --steps 1
says "the default text is the repository's own" "$scratch/default.out" \
  "README.md, docs and include of $PWD, [0-9]{6,} bytes$"

# Federated rounds are whole: 101 steps are two of a hundred.
run federated "$program" --data README.md --batch 1 --ranks 1 --transport threads --sync federated \
  --steps 101 --json "$scratch/federated.json"
expect "federated: steps" "$(field "$scratch/federated.json" steps)" at-least 200
expect "federated: steps" "$(field "$scratch/federated.json" steps)" at-most 200

# Every client has a row of its own, or nobody trains.
head -c 1100 README.md >"$scratch/short.txt"
for launch in "" "$mpiexec -n 2"; do
  if $launch "$program" --data "$scratch/short.txt" --ranks 2 --sync federated \
    >"$scratch/out" 2>"$scratch/err"; then
    not_ok "a text that is too short for its clients was not refused"
  else
    says "a text that is too short for its clients is refused" "$scratch/err" \
      "^train_text: the text has 1100 bytes, too few for a context of 64 and 16 clients - give at least 1156, or"
  fi
done

# Under mpiexec the number of ranks is mpiexec's: another --ranks is named once.
run launched "$mpiexec" -n 2 "$program" "${small[@]}" --ranks 3 --json "$scratch/launched.json"
expect "another --ranks under mpiexec: warnings" \
  "$(grep -c -e "--ranks 3 is not used: mpiexec started 2" "$scratch/launched.err")" at-least 1
expect "another --ranks under mpiexec: warnings" \
  "$(grep -c -e "--ranks 3" "$scratch/launched.err")" at-most 1
expect_equal_hashes "hashes of two ranks that mpiexec started, and of two on threads" 4 \
  "$scratch"/{launched,threads}.json

# What is wrong is said once, also where mpiexec started the ranks, and before they train. Files
# that are looked at for that are neither emptied nor left behind.
echo kept >"$scratch/kept.json"
refused() { # NAME COMMAND...
  local name=$1
  shift
  if "$@" "${small[@]}" --plot /no/such/folder/out >"$scratch/out" 2>"$scratch/err"; then
    not_ok "$name was not refused"
  elif grep -q "tokens/s" "$scratch"/{out,err}; then
    not_ok "$name was refused after training"
  elif [[ $(grep -c -e "--plot /no/such/folder/out: No such file" "$scratch/err") != 1 ]]; then
    not_ok "$name was not refused in one line:"$'\n'"$(cat "$scratch/err")"
  else
    ok "$name is refused in one line, and nothing is trained"
  fi
}
refused "a plot that cannot be written" "$program" --json "$scratch/new.json"
if [[ -e $scratch/new.json ]]; then not_ok "a file is left"; else ok "no file is left"; fi
refused "a plot that cannot be written, under mpiexec," "$mpiexec" -n 2 "$program" \
  --json "$scratch/kept.json"
says "the results of an earlier run are kept" "$scratch/kept.json" "^kept$"

# The numbers are written even when the plot fails.
if "$program" "${small[@]}" --transport threads --json "$scratch/first.json" --plot /dev/full \
  >"$scratch/out" 2>"$scratch/err"; then
  not_ok "a plot on a full disk went unnoticed"
else
  says "a plot on a full disk is an error" "$scratch/err" "cannot write /dev/full"
  expect_equal_hashes "the results are written before the plot" 2 "$scratch/first.json"
fi
if "$program" "${small[@]}" --transport threads --json /dev/full \
  >"$scratch/out" 2>"$scratch/err"; then
  not_ok "a --json on a full disk went unnoticed"
else
  says "a --json on a full disk is an error" "$scratch/err" \
    "cannot write /dev/full: No space left on device - make room or give another file"
fi
((failures == 0))
