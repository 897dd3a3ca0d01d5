# shellcheck shell=bash disable=SC2154
# Sourced by tests/acceptance.sh: mpi4py's own suite under Open MPI, with the interposer module by
# module the same as without. Its folder is $out/suite.

# suite_on RANKS SIDE PREFIX...: its results are $suite/SIDE-RANKS.RANK.
suite_on() {
  local ranks=$1 side=$2
  shift 2
  rm -f "$suite/$side-$ranks".*
  timeout 600 "$suite_mpirun" -n "$ranks" "$@" "$suite/venv/bin/python" tests/interpose/suite.py \
    "$suite"/mpi4py-*/test "$suite/$side-$ranks" >"$suite/$side-$ranks.log" 2>&1
}

# get_suite: mpi4py with its tests, from the package index, built with Open MPI's compiler. The last
# setuptools that the version builds with.
get_suite() {
  local version=3.1.6
  [[ -f $suite/venv/ready ]] && return
  rm -rf "$suite" && mkdir -p "$suite" && python3 -m venv "$suite/venv" &&
    "$suite/venv/bin/pip" install -q 'setuptools<75' wheel &&
    "$suite/venv/bin/pip" download -q --no-binary mpi4py --no-deps --no-build-isolation \
      -d "$suite" "mpi4py==$version" &&
    tar -xf "$suite/mpi4py-$version.tar.gz" -C "$suite" &&
    MPICC=$suite_mpicc CFLAGS=-O0 "$suite/venv/bin/pip" install -q --no-build-isolation --no-deps \
      "$suite/mpi4py-$version.tar.gz" && touch "$suite/venv/ready"
}

# compare_suites INTERPOSER
compare_suites() {
  local ranks rank module same interposer=$1 suite=$out/suite
  local suite_mpirun=mpirun.openmpi suite_mpicc=mpicc.openmpi
  command -v "$suite_mpirun" >/dev/null || suite_mpirun=mpirun suite_mpicc=mpicc
  (install_packages acceptance && get_suite) >"$out/suite.log" 2>&1 || {
    tail -n 5 "$out/suite.log"
    not_ok "mpi4py: it could not be had from the package index and built, see $out/suite.log"
    return
  }
  for ranks in 1 2 3; do
    suite_on "$ranks" alone
    suite_on "$ranks" served env LD_PRELOAD="$interposer"
    same=0
    for ((rank = 0; rank < ranks; ++rank)); do
      while read -r module results; do
        if grep -qxF "$module $results" "$suite/served-$ranks.$rank" 2>/dev/null; then
          same=$((same + 1))
        else
          not_ok "mpi4py: $module on rank $rank of $ranks: run, failed, errors are $results alone, but" \
            "$(sed -n "s/^$module //p" "$suite/served-$ranks.$rank" 2>/dev/null) with the interposer"
        fi
      done <"$suite/alone-$ranks.$rank"
    done
    if ((same >= 40 * ranks)); then
      ok "mpi4py on $ranks ranks: $((same / ranks)) modules are the same with the interposer"
    else
      not_ok "mpi4py on $ranks ranks: only $same modules of all ranks were compared, see $suite"
    fi
  done
}
