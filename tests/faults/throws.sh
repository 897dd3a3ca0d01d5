#!/usr/bin/env bash
# A rank throws, is unwound, or returns while the others wait for it: within 30 s they end with
# peer_lost naming it, and so does the job.
# shellcheck source=job.bash
. "$(dirname "$0")/job.bash"

for mode in throws throws-long unwinds returns throws-shared unwinds-shared returns-shared; do
  start_job 4 "$mode" 2
  expect_end 30
  for rank in 0 1 3; do
    expect_said "^rank $rank: tutti: all_reduce: peer_lost on rank $rank \(peer 2\)"
  done
  [[ $mode == returns* ]] || expect_said "^rank 2: the disk is full$"
  expect_nothing_left
  ((failures)) && echo "mode $mode" && conclude
done
conclude
