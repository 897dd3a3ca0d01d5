#!/usr/bin/env bash
# no_apt_get.sh: on a machine without apt-get, examples/quickstart.sh, tests/run.sh and bench/run.sh
# name the packages that they need and stop before they build anything; TUTTI_PACKAGES=present lets
# them go on. Such a machine is a PATH with the few programs that they use until then, and a cmake and
# a ctest that leave a trace.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/cmake/expect.sh"
. "$root/tests/cmake/packages.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir -p "$scratch/bin" "$scratch/work"
for program in dirname realpath mkdir cat sed tail head grep; do
  ln -s "$(command -v "$program")" "$scratch/bin/"
done
for program in cmake ctest; do
  printf '#!%s\necho "$0 $*" >>"%s/started"\nexit 1\n' "$BASH" "$scratch" >"$scratch/bin/$program"
  chmod +x "$scratch/bin/$program"
done
# Copies: what should go wrong here must not leave its traces in the sources.
for file in examples/quickstart.sh tests/run.sh tests/cmake/packages.sh bench/run.sh \
  bench/instructions.cpp; do
  mkdir -p "$scratch/work/$(dirname "$file")"
  cp "$root/$file" "$scratch/work/$file"
done

# stops SCRIPT "LIST..." ARGUMENTS...
stops() {
  local script=$1 lists=$2 list package said status wrong=""
  shift 2
  rm -f "$scratch/started"
  said=$(unset TUTTI_PACKAGES && PATH=$scratch/bin "$BASH" "$scratch/work/$script" "$@" 2>&1)
  status=$?
  ((status != 0)) || wrong="the status is 0"
  [[ $said == *"no apt-get"* && $said == *TUTTI_PACKAGES=present* ]] || wrong="it does not say why"
  for list in $lists; do
    for package in $(packages_of "$list"); do
      [[ " ${said//$'\n'/ } " == *" $package "* ]] || wrong="it does not name $package"
    done
  done
  [[ ! -e $scratch/started ]] || wrong="it went on: $(cat "$scratch/started")"
  [[ ! -e $scratch/work/build ]] || wrong="it began to build"
  if [[ -z $wrong ]]; then ok "$script stops"; else not_ok "$script: $wrong"$'\n'"$said"; fi
  rm -rf "$scratch/work/build"

  TUTTI_PACKAGES=present PATH=$scratch/bin "$BASH" "$scratch/work/$script" "$@" >/dev/null 2>&1
  if [[ -e $scratch/started ]]; then
    ok "$script goes on where everything is present"
  else
    not_ok "$script does not go on where everything is present"
  fi
  rm -rf "$scratch/work/build"
}

stops examples/quickstart.sh "programs"
stops tests/run.sh "programs tests" --only unit
stops bench/run.sh "programs bench" instructions

((failures == 0))
