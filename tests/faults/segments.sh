#!/usr/bin/env bash
# A rank that is killed while memory is made that ranks share: nothing of it is left, or at most a name
# without space, which the next job of the same user removes - and no name that somebody still holds.
# shellcheck source=job.bash
. "$(dirname "$0")/job.bash"

# Of tutti's alone: what MPI leaves of its own is not what is tried.
segments() { find /dev/shm -mindepth 1 -name 'tutti*' -printf '%P\n' 2>/dev/null | sort; }

# names: objects of tutti's that nobody uses but jobs of this test.
names() {
  local name
  for name in $(segments | comm -13 "$scratch/segments" -); do
    ours "/dev/shm/$name" && echo "$name"
  done
}
# ours FILE: no process but those of the job has it open.
ours() {
  local fd pid
  for fd in $(find /proc/[0-9]*/fd -lname "$1" 2>/dev/null); do
    pid=${fd#/proc/} pid=${pid%%/*}
    ranks | grep -qx "$pid" || return 1
  done
}
end_ranks() {
  local pid
  for pid in $(ranks); do
    lives "$pid" && kill -9 "$pid"
  done
}
one_more_job() {
  timeout 60 "$MPIEXEC" -n 2 "$FAULT_PROGRAM" nothing >"$scratch/more" 2>&1 ||
    not_ok "a job in which nothing happens failed: $(cat "$scratch/more")"
}

for mode in reserving splitting; do
  for rank in 0 1; do
    start_job 3 "$mode" "$rank"
    expect_end 30
    expect_nothing_left
  done
done

start_job 3 naming 0
expect_end 30
left=$(names)
[[ $left == tutti.* ]] || not_ok "a name is left when its maker is killed, not: $left"
for name in $left; do
  space=$(stat -c %b "/dev/shm/$name")
  ((space == 0)) || not_ok "$name takes $space blocks"
done
one_more_job
for name in $left; do
  [[ ! -e /dev/shm/$name ]] || not_ok "$name is still there after another job"
done

# For as long as its maker lives, however long it takes, it stays.
# (Names of what the job makes before that come and go: it is the one that is there ten times in a row.)
start_job 3 holding 0
before="" seen=0
for ((turn = 0; turn < 600 && seen < 10; ++turn)); do
  left=$(names)
  if [[ -n $left && $left == "$before" ]]; then seen=$((seen + 1)); else seen=0; fi
  before=$left
  sleep .1
done
[[ -n $left ]] || not_ok "rank 0 makes nothing"
one_more_job
for name in $left; do
  [[ -e /dev/shm/$name ]] || not_ok "$name is gone, and its maker is not"
done
end_ranks
expect_end 60
one_more_job
for name in $left; do
  [[ ! -e /dev/shm/$name ]] || not_ok "$name is still there after its maker has gone"
done
conclude
