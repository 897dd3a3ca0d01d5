#!/usr/bin/env bash
# The README's two commands on a bare Debian (or Ubuntu) with only git and a shell: builds one of the
# running system's own release with debootstrap under build/fresh, clones HEAD into it, and runs
# examples/quickstart.sh twice and tests/run.sh inside, with TUTTI_WERROR as it is here. Root only; uncommitted
# changes are not seen.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. tests/cmake/packages.sh
. tests/cmake/expect.sh

give_up() { echo "not ok fresh: $*"; exit 1; }
[ "$(id -u)" = 0 ] || give_up "only root can build and enter a bare system"
install_packages fresh

# Where this machine gets its packages from is where the bare one does.
. /etc/os-release
sources() {
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v id="$ID" 'tolower($1) == id { print $2, $3, $4 }' | sort -u
}
mirror=$(sources | awk -v release="$VERSION_CODENAME" '$2 == release { print $1; exit }')
[ -n "$mirror" ] || give_up "apt-get knows no mirror of $VERSION_CODENAME"

bare=$PWD/build/fresh
echo "== a bare $ID $VERSION_CODENAME in $bare"
rm -rf "$bare"
mkdir -p "$bare"
debootstrap --variant=minbase --include=git,ca-certificates "$VERSION_CODENAME" "$bare" "$mirror" \
  >build/fresh.debootstrap.log 2>&1 || give_up "debootstrap failed, see build/fresh.debootstrap.log"
sources | sed 's/^/deb /' >"$bare/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|Check|Retries)' >"$bare/etc/apt/apt.conf.d/99host"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
  [ -f "$file" ] && cp -L "$file" "$bare$file"
done
git -c safe.directory='*' clone -q --no-hardlinks . "$bare/tutti" || give_up "git clone failed"

# inside SECONDS COMMAND: runs it there in namespaces of its own, so that nothing stays mounted and
# no process stays alive when it ends, however it ends.
inside() {
  timeout --kill-after=10 "$1" unshare --mount --pid --fork --kill-child bash -c '
    set -e
    mount --make-rprivate /
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    exec chroot "$1" /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
      ${TUTTI_WERROR:+TUTTI_WERROR="$TUTTI_WERROR"} \
      bash -c "cd /tutti && $2"' inside "$bare" "$2"
}

# quickstart NAME LIMIT
quickstart() {
  local start=$SECONDS
  echo "== examples/quickstart.sh, the $1 time"
  if inside "$(($2 + 60))" "examples/quickstart.sh --json /tutti/$1.json"; then
    expect "seconds of the $1 examples/quickstart.sh" $((SECONDS - start)) at-most "$2"
    expect_equal_hashes "hashes of its ranks" "$(field "$bare/tutti/$1.json" weight_hashes | wc -l)" \
      "$bare/tutti/$1.json"
  else
    not_ok "the $1 examples/quickstart.sh ended with $? after $((SECONDS - start)) s"
  fi
}
quickstart first 600
quickstart second 180

echo "== tests/run.sh"
start=$SECONDS
if inside 7200 "tests/run.sh"; then
  ok "tests/run.sh passes, in $((SECONDS - start)) s"
else
  not_ok "tests/run.sh ended with $? after $((SECONDS - start)) s"
fi
((failures == 0))
