#!/usr/bin/env bash
# report.sh MPIEXEC LIBRARY PROGRAM OTHER_COMPILER OTHER_MPIEXEC: what TUTTI_INTERPOSE makes the interposer say, and that it is true.
set -uo pipefail
mpiexec=$1 library=$2 program=$3 other_compiler=$4 other_mpiexec=$5
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
tutti interposer: MPI_Allgather: 3 served, 65 passed
tutti interposer: MPI_Allgatherv: 1 served, 0 passed
tutti interposer: MPI_Reduce_scatter: 2 served, 1 passed
tutti interposer: MPI_Reduce_scatter_block: 2 served, 1 passed
tutti interposer: MPI_Iallreduce: 2 served, 1 passed
tutti interposer: MPI_Barrier: 4 served, 1 passed'
passed=$(sed -E 's/: ([0-9]+) served, ([0-9]+) passed/ \1 \2/' <<<"$served" |
  awk '{ printf "%s %s %s: 0 served, %d passed\n", $1, $2, $3, $4 + $5 }')

is "report on two ranks" "$(said report 2)" "$served"
is "report on one rank" "$(said report 1)" "$passed"
is "off" "$(said off 2)" ""
is "nothing" "$(said "" 2)" ""
is "an unknown value" "$(said of 2)" \
  "tutti interposer: TUTTI_INTERPOSE=of is ignored - say off, report, or nothing"

# Ranks that do not carry it, first, last and in between, and ranks of which one does not want it.
# Nobody but those that do carry it can say so.
carry=(env "LD_PRELOAD=$library")
others='tutti interposer: not every rank of this job carries it, so MPI serves all calls - preload it on every rank'
calls=("$program" 3 --only doors)
# in_three TEXT WANTED FIRST SECOND THIRD: a job of three ranks, each started by its own command.
in_three() {
  local text=$1 wanted=$2 got status
  # shellcheck disable=SC2086 # lists of words
  got=$(timeout 60 "$mpiexec" -n 1 $3 "${calls[@]}" : -n 1 $4 "${calls[@]}" : -n 1 $5 "${calls[@]}" 2>&1 >/dev/null)
  status=$?
  is "$text" "$(grep -a '^tutti interposer' <<<"$got" | sort -u)" "$wanted"
  is "$text, its status" "$status" 0
}
with=${carry[*]}
in_three "all ranks carry it" "" "$with" "$with" "$with"
in_three "rank 0 does not carry it" "$others" "" "$with" "$with"
in_three "rank 2 does not carry it" "$others" "$with" "$with" ""
in_three "rank 0 does not want it" "" "$with TUTTI_INTERPOSE=off" "$with" "$with"
in_three "rank 1 does not want it" "" "$with" "$with TUTTI_INTERPOSE=off" "$with"

# Where memory cannot be shared, that is said once.
is "no memory" "$("$mpiexec" -n 2 "${carry[@]}" "$program" 2 --only no_memory 2>&1 | cut -c1-30 | sort | uniq -c | sed 's/^ *//')" \
  '1 1 checks, all right
1 tutti: no shared memory, so ra'

# The program by the other MPI's compiler and launcher, where that is installed.
if [[ -x $(command -v "$other_compiler") && -x $(command -v "$other_mpiexec") ]]; then
  folder=$(mktemp -d)
  printf '#include <mpi.h>\nint main(int n, char** a) { return MPI_Init(&n, &a) + MPI_Finalize(); }\n' >"$folder/other.cpp"
  "$other_compiler" "$folder/other.cpp" -o "$folder/other" || failures=$((failures + 1))
  got=$(timeout 60 "$other_mpiexec" -n 2 "${carry[@]}" "$folder/other" 2>&1)
  status=$?
  is "under the other MPI" "$(grep -a '^tutti interposer' <<<"$got" | sort -u | sed -E 's/Open MPI|MPICH/MPI/g')" \
    "tutti interposer: it was built for MPI, and this program runs with MPI - preload the one that was built for that"
  ((status == 1)) || is "under the other MPI, its status" "$status" 1
  rm -r "$folder"
fi

# Every name of a call leads to one place.
names() { nm -D --defined-only "$library" | sed -nE "s/ T $1(MPI_)/ \1/p" | sort; }
is "PMPI_X is MPI_X" "$(names P)" "$(names '')"
exit $((failures > 0))
