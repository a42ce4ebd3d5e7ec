#!/bin/sh
# Installs what building and testing zerodisc needs on Debian 12 or 13, and nothing when all of it
# is there. Asks for root's rights (sudo) only when something is lacking and only when not root.
# "setup.sh full" also installs the servers that `make vm-full` tests with.
set -eu
cd "$(dirname "$0")/.."

# What is needed: a program or file that shows it is there, and the package that brings it.
needs='
/usr/bin/xorriso                                        xorriso
/usr/sbin/sgdisk                                        gdisk
/usr/sbin/fdisk                                         fdisk
/usr/sbin/fsck.fat                                      dosfstools
/usr/bin/mtools                                         mtools
/usr/sbin/mkfs.xfs                                      xfsprogs
/usr/sbin/mkfs.btrfs                                    btrfs-progs
/usr/sbin/mkfs.exfat                                    exfatprogs
/usr/sbin/mkfs.ntfs                                     ntfs-3g
/usr/bin/mkfs.erofs                                     erofs-utils
/usr/bin/mksquashfs                                     squashfs-tools
/usr/sbin/debugfs                                       e2fsprogs
/usr/bin/isoinfo                                        genisoimage
/usr/bin/qemu-img                                       qemu-utils
/usr/bin/7zz                                            7zip
/usr/sbin/tgtd                                          tgt
/usr/bin/ssh                                            openssh-client
/usr/bin/mkpasswd                                       whois
/usr/bin/gpg                                            gpg
/usr/bin/gpg-agent                                      gpg-agent
/usr/bin/git                                            git
/usr/bin/make                                           make
/etc/ssl/certs/ca-certificates.crt                      ca-certificates
/usr/share/keyrings/debian-archive-keyring.gpg          debian-archive-keyring
'

if [ "${1:-}" = full ]; then
	needs="$needs
/usr/bin/ganesha.nfsd                                   nfs-ganesha
/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so         nfs-ganesha-vfs
/usr/sbin/rpcbind                                       rpcbind
"
fi

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

# pinned_go says whether with-go takes the Go of go.mod out of the module cache.
pinned_go() {
	case $(scripts/with-go sh -c 'command -v go' 2>/dev/null) in
	*/golang.org/toolchain@*) ;;
	*) return 1 ;;
	esac
}

# any_go prints a Go that can fetch another one, whatever its release.
any_go() {
	for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-1.*/bin/go; do
		if [ -x "$go" ]; then
			echo "$go"
			return
		fi
	done
	return 1
}

# fetch_go brings the Go of go.mod into the module cache, as the module in which the Go project publishes
# it. The checksum database is asked.
fetch_go() {
	any_go >/dev/null || install golang-go
	go=$(any_go)
	release=$(sed -n 's/^toolchain \(go[0-9.]*\)$/\1/p' go.mod)
	echo "setup: fetching $release, which compiles the disc's programs"
	# Outside this module: an old Go cannot read its go.mod.
	dir=$(cd / && GOFLAGS='' GOTOOLCHAIN=local "$go" mod download -json \
		"golang.org/toolchain@v0.0.1-$release.linux-$("$go" env GOARCH)" |
		sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p')
	[ -n "$dir" ] || {
		echo "setup: cannot fetch $release: is there a network, and does GOPROXY lead to a module proxy?" >&2
		exit 1
	}
	# A module carries no permissions.
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
}

# The services of these packages. Tests start servers of their own, which nobody else can reach.
services='tgt nfs-ganesha rpcbind.socket rpcbind'

# stop_services stops and disables the services of the packages that were installed.
stop_services() {
	[ -d /run/systemd/system ] || return 0
	for service in $services; do
		case " $* " in
		*" ${service%.socket} "*) as_root systemctl disable --now "$service" || true ;;
		esac
	done
}

packages=$(lacking)
if [ -n "$packages" ]; then
	# shellcheck disable=SC2086 # one word a package
	install $packages
	# shellcheck disable=SC2086
	stop_services $packages
fi
pinned_go || fetch_go
