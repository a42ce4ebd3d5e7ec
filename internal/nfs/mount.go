package nfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A server that does not answer must give an I/O error, to guests and to whoever looks into the mount: a "hard" mount
// would keep processes, init's threads among them, in the kernel until the server is back. So mounts are "soft": a
// request is sent again after timeo (tenths of a second), retrans times, each time after a longer wait, which is 30 s
// in all.
const (
	timeo   = 100
	retrans = 2
)

// Well-known ports.
const (
	nfsPort     = 2049
	rpcbindPort = 111
)

// attempt is one way to mount an export.
type attempt struct {
	version string
	probe   int    // TCP port that answers if the server can do it
	options string // mount(2)'s data, nfs(5)
}

// attempts are the ways to mount an export at address, the best first. client is this machine's own address.
func (s Source) attempts(address, client netip.Addr) []attempt {
	var list []attempt
	for _, version := range versions[s.Version] {
		list = append(list, s.attempt(version, address, client))
	}
	return list
}

// attempt is the way to mount with one version. Locks are none of ours: nothing is written, so version 3 does without
// the lock manager, which would listen in dom0.
func (s Source) attempt(version string, address, client netip.Addr) attempt {
	proto := "tcp"
	if address.Is6() {
		proto = "tcp6"
	}
	a := attempt{version: version, probe: s.Port}
	options := []string{"vers=" + version, "soft", "proto=" + proto, "addr=" + address.String()}
	if s.Port != 0 {
		options = append(options, "port="+strconv.Itoa(s.Port))
	}
	if version == "3" {
		options = append(options, "nolock", "mountproto="+proto, "mountaddr="+address.String())
		a.probe = rpcbindPort
		if port := s.numbers["mountport"]; port != 0 {
			options = append(options, "mountport="+strconv.Itoa(port))
			a.probe = port
		}
	} else {
		options = append(options, "clientaddr="+client.String())
		if a.probe == 0 {
			a.probe = nfsPort
		}
	}
	for _, o := range []struct {
		key   string
		usual int
	}{{"timeo", timeo}, {"retrans", retrans}, {"rsize", 0}, {"nconnect", 0}} {
		value, given := s.numbers[o.key]
		if !given {
			value = o.usual
		}
		if value != 0 {
			options = append(options, o.key+"="+strconv.Itoa(value))
		}
	}
	a.options = strings.Join(options, ",")
	return a
}

// Kernel is what is done to dom0's kernel.
type Kernel interface {
	// Mount mounts an export in a directory, for reading only, and returns the version of the protocol.
	Mount(ctx context.Context, source Source, dir string) (version string, err error)
	// Unmount takes a mount away; what is in use in it stays until it is not.
	Unmount(dir string) error
	// Ask asks the server of a mount for something that no cache has.
	Ask(dir string) error
}

// Linux is the Kernel of this machine.
type Linux struct{}

// reachLimit is how long a server has to accept a connection.
const reachLimit = 5 * time.Second

// Mount tries the versions until the server has one.
func (Linux) Mount(ctx context.Context, source Source, dir string) (version string, err error) {
	address, client, err := addresses(ctx, source)
	if err != nil {
		return "", err
	}
	var first error
	for _, a := range source.attempts(address, client) {
		err := reach(ctx, address, a.probe)
		if err == nil {
			err = mount(source, dir, a)
		}
		if err == nil {
			return a.version, nil
		}
		if first == nil || errors.Is(first, unix.EPROTONOSUPPORT) {
			first = fmt.Errorf("version %s: %w", a.version, err)
		}
		if !tryOther(err) {
			break
		}
	}
	return "", first
}

// tryOther says whether the server may have what was asked for in another version of the protocol, as mount.nfs(8)
// does: it does not speak this one, or has its exports elsewhere.
func tryOther(err error) bool {
	for _, errno := range []error{
		unix.EPROTONOSUPPORT, unix.EINVAL, unix.ENOENT, unix.EPERM, unix.EACCES, unix.ECONNREFUSED, unix.ENODEV,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// addresses are the server's address and this machine's own on the way there. A connected UDP socket sends nothing.
func addresses(ctx context.Context, source Source) (server, client netip.Addr, err error) {
	dialer := net.Dialer{Timeout: reachLimit}
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(source.Server, strconv.Itoa(nfsPort)))
	if err != nil {
		return server, client, plain(err)
	}
	defer conn.Close()
	remote, ok := conn.RemoteAddr().(*net.UDPAddr)
	local, isUDP := conn.LocalAddr().(*net.UDPAddr)
	if !ok || !isUDP {
		return server, client, fmt.Errorf("%s has no IP address", source.Server)
	}
	return remote.AddrPort().Addr().Unmap(), local.AddrPort().Addr().Unmap(), nil
}

// reach connects to a port of the server's. What is wrong is known after seconds, which the kernel would take minutes
// for.
func reach(ctx context.Context, address netip.Addr, port int) error {
	dialer := net.Dialer{Timeout: reachLimit}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(address, uint16(port)).String())
	if err != nil {
		return plain(err)
	}
	return conn.Close()
}

// plain takes from an error of package net what only says that it is one: "dial udp: lookup nas: no such host".
func plain(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	if op.Addr == nil {
		return op.Err
	}
	return fmt.Errorf("%s: %w", op.Addr, op.Err)
}

// mount asks the kernel. The server's name is shown in /proc/mounts; the options have its address.
func mount(source Source, dir string, a attempt) error {
	server := source.Server
	if strings.Contains(server, ":") {
		server = "[" + server + "]"
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	err := unix.Mount(server+":"+source.Path, dir, "nfs", flags, a.options)
	if err != nil {
		return os.NewSyscallError("mount", err)
	}
	return nil
}

// Unmount asks the server nothing.
func (Linux) Unmount(dir string) error {
	return os.NewSyscallError("umount", unix.Unmount(dir, unix.MNT_DETACH))
}

// Ask asks for the file system's size, which goes to the server each time.
func (Linux) Ask(dir string) error {
	var fs unix.Statfs_t
	return os.NewSyscallError("statfs", unix.Statfs(dir, &fs))
}
