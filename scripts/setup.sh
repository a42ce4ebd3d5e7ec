#!/bin/sh
# Installs what building and testing zerodisc needs on Debian 12 or 13, and nothing when all of it
# is there. Asks for root's rights (sudo) only when something is lacking and only when not root.
set -eu
cd "$(dirname "$0")/.."

# What is needed: a program or file that shows it is there, and the package that brings it.
needs='
/usr/bin/xorriso                                        xorriso
/usr/sbin/sgdisk                                        gdisk
/usr/sbin/fdisk                                         fdisk
/usr/sbin/fsck.fat                                      dosfstools
/usr/bin/mtools                                         mtools
/usr/bin/isoinfo                                        genisoimage
/usr/bin/git                                            git
/usr/bin/make                                           make
/etc/ssl/certs/ca-certificates.crt                      ca-certificates
/usr/share/keyrings/debian-archive-keyring.gpg          debian-archive-keyring
'

# lacking prints the packages whose file is not there.
lacking() {
	echo "$needs" | while read -r file package; do
		if [ -n "$file" ] && [ ! -e "$file" ]; then
			echo "$package"
		fi
	done
}

# as_root runs a command with root's rights.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "setup: this needs root's rights and there is no sudo; as root run: $*" >&2
		exit 1
	fi
}

# refresh_lists fetches apt's package lists where they do not know the package $1.
refresh_lists() {
	command -v apt-get >/dev/null || {
		echo "setup: no apt here; install by hand: $1" >&2
		exit 1
	}
	apt-cache show "$1" >/dev/null 2>&1 || as_root apt-get update
}

# install installs packages, once more with fresh lists when the present ones are out of date.
install() {
	echo "setup: installing $*"
	refresh_lists "$1"
	apt_install "$@" || {
		as_root apt-get update
		apt_install "$@"
	}
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# install_go brings a Go that scripts/with-go accepts: the newest that apt has, and where that is
# older than 1.21 (Debian 12) the release of go.mod, fetched by it as a module.
install_go() {
	refresh_lists golang-go
	newest=$(apt-cache pkgnames golang-1. | sed -n 's/^golang-1\.\([0-9]*\)-go$/\1/p' | sort -n | tail -n 1)
	if [ "${newest:-0}" -ge 21 ]; then
		install "golang-1.$newest-go"
		return
	fi
	command -v go >/dev/null || install golang-go
	release=$(sed -n 's/^go \([0-9.]*\)$/\1/p' go.mod)
	echo "setup: fetching Go $release, Debian's is too old"
	# Outside this module: the old Go cannot read its go.mod. The checksum database is asked.
	dir=$(cd / && go mod download -json "golang.org/toolchain@v0.0.1-go$release.linux-$(dpkg --print-architecture)" |
		sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p')
	[ -n "$dir" ] || {
		echo "setup: no Go $release; install Go 1.21 or newer from go.dev or backports" >&2
		exit 1
	}
	# A module carries no permissions, and the module cache is read-only.
	chmod -R u+w "$dir"
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
}

packages=$(lacking)
if [ -n "$packages" ]; then
	# shellcheck disable=SC2086 # one word a package
	install $packages
fi
scripts/with-go true 2>/dev/null || install_go
