#!/usr/bin/env bash
# report.sh MPIEXEC LIBRARY PROGRAM: what TUTTI_INTERPOSE makes the interposer say, and that it is true.
set -uo pipefail
mpiexec=$1 library=$2 program=$3
failures=0

# said VALUE RANKS: what the interposer says of the counted calls.
said() {
  "$mpiexec" -n "$2" env LD_PRELOAD="$library" TUTTI_INTERPOSE="$1" \
    "$program" "$2" --only counted 2>&1 >/dev/null | grep -a '^tutti interposer'
}

# is TEXT GOT WANTED
is() {
  [[ $2 == "$3" ]] && return
  echo "$1: expected"$'\n'"$3"$'\n'"but it said"$'\n'"$2"
  failures=$((failures + 1))
}

served='tutti interposer: MPI_Allreduce: 2 served, 1 passed
tutti interposer: MPI_Reduce: 2 served, 1 passed
tutti interposer: MPI_Bcast: 1 served, 1 passed
tutti interposer: MPI_Allgather: 1 served, 0 passed
tutti interposer: MPI_Allgatherv: 1 served, 0 passed
tutti interposer: MPI_Reduce_scatter: 2 served, 1 passed
tutti interposer: MPI_Reduce_scatter_block: 2 served, 1 passed
tutti interposer: MPI_Iallreduce: 2 served, 1 passed
tutti interposer: MPI_Barrier: 4 served, 1 passed'
passed=$(sed -E 's/: ([0-9]) served, ([0-9]) passed/ \1 \2/' <<<"$served" |
  awk '{ printf "%s %s %s: 0 served, %d passed\n", $1, $2, $3, $4 + $5 }')

is "report on two ranks" "$(said report 2)" "$served"
is "report on one rank" "$(said report 1)" "$passed"
is "off" "$(said off 2)" ""
is "nothing" "$(said "" 2)" ""
is "an unknown value" "$(said of 2)" \
  "tutti interposer: TUTTI_INTERPOSE=of is ignored - say off, report, or nothing"
exit $((failures > 0))
