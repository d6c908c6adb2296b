#!/bin/sh
# Install Debian packages for tests and demo, as root or through a sudo that asks nothing.
#   deploy/apt-install.sh PACKAGE...
# Exit status 0 when they are installed; otherwise 1, and one line says why not. No service of a
# new package is started, neither now nor at the next boot: tests start servers of their own.
set -eu

refuse() {
    echo "$1" >&2
    exit 1
}

[ -z "${NO_APT:-}" ] || refuse "NO_APT is set"
command -v apt-get >/dev/null 2>&1 || refuse "no apt-get here"
if [ "$(id -u)" -eq 0 ]; then
    as_root() { "$@"; }
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root() { sudo -n "$@"; }
else
    refuse "needs root"
fi

echo "Debian: installing $*"
scratch=$(mktemp -d)
policy=/usr/sbin/policy-rc.d # asked by every package before it starts a service; 101 is no
made_policy=
tidy() {
    rm -rf -- "$scratch"
    [ -z "$made_policy" ] || as_root rm -f -- "$policy"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" \
        >"$scratch/log" 2>&1 </dev/null
}
units() { # the services that installed packages bring
    dpkg-query --listfiles "$@" 2>/dev/null |
        sed -n 's|.*/systemd/system/\([^/]*\.service\)$|\1|p' | sort
}

units "$@" >"$scratch/before"
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
fi
apt update || true # an old list may still do; if not, the next line says what is wrong
apt install --yes --no-install-recommends "$@" || refuse "apt-get: $(tail -n 1 "$scratch/log")"
units "$@" >"$scratch/after"
for unit in $(comm -13 "$scratch/before" "$scratch/after"); do
    as_root deb-systemd-helper disable "$unit" >/dev/null 2>&1 || true
    as_root update-rc.d "${unit%.service}" disable >/dev/null 2>&1 || true
done
