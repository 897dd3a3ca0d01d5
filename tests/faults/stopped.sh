#!/usr/bin/env bash
# A rank is stopped, as by SIGSTOP: its partner gets a timeout naming it, and the job ends.
# shellcheck source=job.bash
. "$(dirname "$0")/job.bash"

for mode in stops stops-shared; do
  start_job 3 "$mode" 1
  expect_end 60
  expect_said "^rank 2: tutti: all_reduce: timeout on rank 2 \(peer 1\)" # on a ring, 2 receives from 1
  expect_nothing_left
done
conclude
