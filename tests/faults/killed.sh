#!/usr/bin/env bash
# kill -9 of one rank: the job ends with an error within 30 s, and nothing of it is left. Whether the
# others can still say why is the launcher's affair: Open MPI's ends them within a second.
# shellcheck source=job.bash
. "$(dirname "$0")/job.bash"

for mode in goes-on goes-on-shared; do
  start_job 3 "$mode"
  await_ranks 3
  sleep 1
  victim=$(ranks | head -n 1)
  lives "$victim" && kill -9 "$victim"
  since=$SECONDS expect_end 30
  expect_nothing_left
done
conclude
