# shellcheck shell=bash disable=SC2034
# Sourced by examples/quickstart.sh, tests/run.sh and bench/run.sh: the one list of packages, and
#   install_packages LIST...      installs those of the lists that are missing, and of the optional ones those
#                                 that the distribution offers
# Where there is no apt-get it prints what is needed and stops; TUTTI_PACKAGES=present says that it
# is all there already, under whatever names.

packages_of() {
  case $1 in
    programs)
      echo g++ cmake ninja-build libopenmpi-dev openmpi-bin \
        libeigen3-dev libcli11-dev zlib1g-dev nlohmann-json3-dev libsodium-dev
      ;;
    tests) echo libboost-test-dev libmpich-dev mpich valgrind spin libtorch-dev libonnx-dev libprotobuf-dev ;;
    bench) echo valgrind libboost-mpi-dev libmpich-dev mpich libgloo-dev iproute2 ;;
    fresh) echo debootstrap git ;;
    acceptance) echo python3 python3-dev python3-pip python3-venv ;;
  esac
}

# when_unlocked COMMAND...: again and again while another package manager holds a lock, for ten minutes at
# most. What it says is in /tmp/tutti-packages.PID.
when_unlocked() {
  local tried
  for ((tried = 0; ; ++tried)); do
    "$@" >/tmp/tutti-packages.$$ 2>&1 && return
    grep -qE 'Could not get lock|Unable to (lock|acquire) ' /tmp/tutti-packages.$$ || return
    if ((tried == 120)); then
      echo "Another package manager has held its lock for ten minutes: end it, and start again." >&2
      return 1
    fi
    ((tried)) || echo "== another package manager is at work here: waiting until it is done"
    sleep 5
  done
}

# offered PACKAGE...: those that can be installed; of the others the optional ones are left out, with a message.
offered() {
  local package
  for package in "$@"; do
    if [[ $package == lib@(torch|onnx)-dev ]] && ! apt-cache show "$package" >/dev/null 2>&1; then
      echo "== $package is not offered here: what needs it is left out" >&2
    else
      echo "$package"
    fi
  done
}

install_packages() {
  [ "${TUTTI_PACKAGES-}" = present ] && return 0

  local list package wanted="" missing="" root=""
  for list in "$@"; do wanted="$wanted $(packages_of "$list")"; done

  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This machine has no apt-get. Please install what Debian calls:" >&2
    echo " $wanted" >&2
    echo "and start again with TUTTI_PACKAGES=present." >&2
    exit 1
  fi

  for package in $wanted; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0

  echo "== installing:$missing"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "Neither root nor sudo. As root: apt-get install$missing" >&2
      exit 1
    }
    root=sudo
  fi
  # shellcheck disable=SC2086 # lists of words
  { when_unlocked $root env LC_ALL=C apt-get update -q &&
    missing=$(offered $missing) &&
    { [ -z "$missing" ] || when_unlocked $root env LC_ALL=C DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends $missing; }; } || {
    cat /tmp/tutti-packages.$$
    rm -f /tmp/tutti-packages.$$
    echo "The installation failed." >&2
    exit 1
  }
  rm -f /tmp/tutti-packages.$$
}

# How many jobs to build and test with.
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
