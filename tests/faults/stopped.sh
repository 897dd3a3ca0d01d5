#!/usr/bin/env bash
# A rank is stopped, as by SIGSTOP: its partner gets a timeout naming it, and the job ends.
#
#   stopped.sh [MODE]    without one, both at the same time, as both wait most of the time
if (($# == 0)); then
  bash "$0" stops & messages=$!
  bash "$0" stops-shared & shared=$!
  wait "$messages"
  failed=$?
  wait "$shared" && exit "$failed"
  exit 1
fi
# shellcheck source=job.bash
. "$(dirname "$0")/job.bash"

start_job 3 "$1" 1
expect_end 60
expect_said "^rank 2: tutti: all_reduce: timeout on rank 2 \(peer 1\)" # on a ring, 2 receives from 1
expect_nothing_left
conclude
