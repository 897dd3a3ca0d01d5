#!/usr/bin/env bash
# A child that a rank has forked, with collectives in flight, throws or returns out of the rank's program: the
# child ends, with its own status, and the ranks go on as if nothing had been.
# shellcheck source=job.bash
. "$(dirname "$0")/job.bash"

for mode in child-throws child-unwinds child-returns; do
  for rank in 0 1; do
    timeout 90 "$MPIEXEC" -n 3 "$FAULT_PROGRAM" "$mode" "$rank" >"$scratch/out" 2>"$scratch/err"
    status=$?
    ((status == 0)) || not_ok "mode $mode, rank $rank: the job ended with status $status"
    [[ $mode != child-throws ]] || expect_said "^rank $rank, in a child process: the disk is full"
    ((failures)) && echo "mode $mode" && conclude
  done
done
conclude
