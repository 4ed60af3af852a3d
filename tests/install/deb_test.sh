#!/usr/bin/env bash
# deb_test.sh BUILD SOURCE: makes the Debian package, installs it with dpkg into a folder taken for a system's root, uses it
# there as a developer and as a user would, and removes it without a trace.
set -euo pipefail
build=$1 source=$2
command -v dpkg-shlibdeps >/dev/null || { echo "skipped: dpkg-dev is not installed"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: dpkg installs only as root"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cpack --config "$build/CPackConfig.cmake" -B "$work" >"$work/log" || { cat "$work/log"; exit 1; }
package=$(echo "$work"/elver_*.deb)
root=$work/root
mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info"
touch "$root/var/lib/dpkg/status"
# That root has no shell: the package's scripts, which call ldconfig, run outside it. What it depends on is on this machine.
install_root() { dpkg --root="$root" --force-script-chrootless --log=/dev/null "$@"; }
install_root --force-depends --install "$package" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

dpkg-deb --field "$package" Depends | grep -q libpcre2-8-0 || { echo "Depends lacks libpcre2-8-0"; exit 1; }
library=$(find "$root/usr/lib" -name 'libelver.so.*.*')
if readelf -S "$library" | grep -q '\.symtab'; then echo "the library is not stripped"; exit 1; fi
echo "library: $(stat -c %s "$library") bytes, stripped"

"$root/usr/bin/elver" --version
PKG_CONFIG_PATH=$(dirname "$(find "$root" -name elver.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # flags are words
cc "$source/consumer/main.c" $(pkg-config --cflags --libs elver) -o "$work/consumer"
LD_LIBRARY_PATH=$(dirname "$library") "$work/consumer"

install_root --purge elver >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
[ ! -e "$root/usr" ] || { echo "left behind:"; find "$root/usr"; exit 1; }
