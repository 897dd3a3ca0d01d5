#!/usr/bin/env bash
# locked.sh: where another package manager holds its lock, install_packages waits, says so once, and goes on;
# it gives up after ten minutes, and at once where something else is wrong. What is optional and not offered is
# left out. The package manager is a stub that counts; nobody sleeps.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/cmake/expect.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin"

# stub NAME: a program that is found first; its text is read from the input.
stub() {
  { echo "#!/bin/sh" && cat; } >"$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}
stub dpkg-query <<<'echo not-installed'
stub id <<<'echo 0'
stub sleep <<<"echo \"\$1\" >>'$scratch/slept'"

# a_case TEXT STATUS SLEEPS SAID NOTICES, and the package manager from the input, which has the number of
# its call in $count.
a_case() {
  local said status slept notices wrong=""
  rm -f "$scratch"/{calls,slept}
  { echo "echo >>'$scratch/calls'; count=\$(wc -l <'$scratch/calls')" && cat; } | stub apt-get
  said=$(unset TUTTI_PACKAGES && export PATH="$scratch/bin:$PATH" &&
    "$BASH" -c ". '$root/tests/cmake/packages.sh' && install_packages fresh && echo went on" 2>&1)
  status=$?
  slept=$(cat "$scratch/slept" 2>/dev/null | wc -l)
  notices=$(grep -c 'another package manager is at work here: waiting' <<<"$said")
  ((status == $2)) || wrong="the status is $status, not $2"
  ((slept == $3)) || wrong="it waited $slept times, not $3"
  [[ $said == *"$4"* ]] || wrong="it does not say: $4"
  ((notices == $5)) || wrong="it says $notices times that it waits, not $5"
  if [[ -z $wrong ]]; then ok "$1"; else not_ok "$1: $wrong"$'\n'"$said"; fi
}

a_case "nobody holds it" 0 0 "went on" 0 <<<'exit 0'
a_case "the lists are locked for a while" 0 3 "went on" 1 <<'END'
[ "$count" -gt 3 ] || { echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7"; exit 100; }
END
a_case "the installation is locked for a while" 0 2 "went on" 1 <<'END'
[ "$count" -eq 1 ] || [ "$count" -gt 3 ] ||
  { echo "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend)"; exit 100; }
END
a_case "it stays locked" 1 120 "has held its lock for ten minutes" 1 <<'END'
echo "E: Unable to lock directory /var/lib/apt/lists/"
exit 100
END
a_case "something else is wrong" 1 0 "E: Unable to locate package" 0 <<'END'
echo "E: Unable to locate package debootstrap"
exit 100
END

stub apt-get <<<"echo \"\$*\" >>'$scratch/asked'"
for offers in 0 1; do
  stub apt-cache <<<"exit $offers"
  rm -f "$scratch/asked"
  said=$(unset TUTTI_PACKAGES && export PATH="$scratch/bin:$PATH" &&
    "$BASH" -c ". '$root/tests/cmake/packages.sh' && install_packages tests && echo went on" 2>&1)
  left_out=$(grep -c '^== libtorch-dev is not offered here: what needs it is left out$' <<<"$said")
  if [[ $said == *"went on" ]] && ((left_out == offers)) && grep -q ' libboost-test-dev .* valgrind ' "$scratch/asked" &&
    (($(grep -c ' libtorch-dev' "$scratch/asked") == 1 - offers)); then
    ok "an optional package is $([ $offers = 0 ] && echo installed || echo left out)"
  else
    not_ok "an optional package, apt-cache ends with $offers: $said"$'\n'"$(cat "$scratch/asked")"
  fi
done

((failures == 0))
