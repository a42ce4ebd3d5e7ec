//go:build !linux

package netserve

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// What binds sockets to interfaces differs between systems and is there for Linux only.

func listenUDP(context.Context, string, netip.AddrPort) (*net.UDPConn, error) {
	return nil, errors.ErrUnsupported
}

func listenTCP(context.Context, string, netip.AddrPort) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

func dialUDP(context.Context, string, netip.Addr, netip.AddrPort) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

func sendFrom(*net.UDPConn, netip.Addr, netip.AddrPort, []byte) error { return errors.ErrUnsupported }

func findDHCPServer(context.Context, string) (string, error) { return "", errors.ErrUnsupported }

func isHardware(string) bool { return true }
