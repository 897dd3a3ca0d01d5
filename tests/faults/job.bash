# shellcheck shell=bash
# Sourced by the scripts beside it: starts fault_program under the MPI that it was built with, and says
# what became of it. Needs FAULT_PROGRAM and MPIEXEC; ends only processes that it has started.

failures=0
scratch=$(mktemp -d)
job=""
not_ok() { echo "not ok: $*"; failures=$((failures + 1)); }

segments() { find /dev/shm -mindepth 1 -printf '%P\n' 2>/dev/null | sort; }

# ranks: process ids of the ranks, as they have told themselves.
ranks() { sed -n 's/^rank [0-9]* is process \([0-9]*\)$/\1/p' "$scratch/out"; }

# lives PID: it is there, is no zombie, and is ours.
lives() {
  [[ -r /proc/$1/stat && $(readlink "/proc/$1/exe") == "$(readlink -f "$FAULT_PROGRAM")" ]] &&
    [[ $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) != Z ]]
}

end_leftovers() {
  local pid
  for pid in $(ranks); do
    lives "$pid" && kill -9 "$pid"
  done
  [[ -n $job ]] && kill -9 "$job" 2>/dev/null
  rm -rf "$scratch"
}
trap end_leftovers EXIT

# start_job RANKS MODE [RANK]
start_job() {
  segments >"$scratch/segments"
  begun=$SECONDS
  "$MPIEXEC" -n "$1" "$FAULT_PROGRAM" "${@:2}" >"$scratch/out" 2>"$scratch/err" &
  job=$!
}

# await_ranks COUNT: until that many have said who they are.
await_ranks() {
  local turn
  for ((turn = 0; turn < 300; ++turn)); do
    (($(ranks | wc -l) == $1)) && return
    sleep .1
  done
  not_ok "$1 ranks did not start"
}

# expect_end SECONDS: the job ends with an error within them, counted from since.
expect_end() {
  local since=${since:-$begun}
  while kill -0 "$job" 2>/dev/null && ((SECONDS - since < $1 + 15)); do sleep .1; done
  if kill -0 "$job" 2>/dev/null; then
    not_ok "the job did not end"
    return
  fi
  wait "$job"
  local status=$?
  job=""
  ((SECONDS - since <= $1)) || not_ok "the job took $((SECONDS - since)) s to end, not $1"
  ((status != 0)) || not_ok "the job ended with status 0"
}

# expect_said TEXT: a line of some rank holds the regular expression.
expect_said() { grep -qE "$1" "$scratch/err" || not_ok "nobody said: $1"; }

# foreign FILE: another program still uses it.
foreign() {
  grep -lF "$1" /proc/[0-9]*/maps 2>/dev/null | grep -q . ||
    find /proc/[0-9]*/fd -lname "$1" 2>/dev/null | grep -q .
}

# expect_nothing_left: no process and no shared segment of the job.
expect_nothing_left() {
  local turn pid name left=""
  for ((turn = 0; turn < 50; ++turn)); do
    left=""
    for pid in $(ranks); do lives "$pid" && left+=" process $pid"; done
    for name in $(segments | comm -13 "$scratch/segments" -); do
      foreign "/dev/shm/$name" || left+=" /dev/shm/$name"
    done
    [[ -z $left ]] && return
    sleep .1
  done
  not_ok "left behind:$left"
}

conclude() {
  if ((failures)); then
    echo "--- what the job said"
    cat "$scratch/out" "$scratch/err"
    exit 1
  fi
  exit 0
}
