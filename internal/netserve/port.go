package netserve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// UDP ports.
const (
	portDHCP  = 67   // RFC 2131, section 4.1
	portTFTP  = 69   // RFC 1350, section 4
	portProxy = 4011 // PXE specification 2.1, chapter 2
)

// holders are the programs that usually have a port.
var holders = map[int]string{
	portDHCP:  "a DHCP server, such as dnsmasq, isc-dhcp-server or what libvirt, LXD or a hotspot start",
	portTFTP:  "a TFTP server, such as tftpd-hpa, atftpd or dnsmasq",
	portProxy: "a PXE server, such as dnsmasq",
}

// explain makes an error that listening on a port ended with one that says what to do.
func explain(err error, protocol string, port int, nic string) error {
	return explainAt(err, fmt.Sprintf("listen on %s port %d of %s", protocol, port, nic), port)
}

// explainAt makes an error of the network one that says where it was, and what to do. port is 0 where none is meant.
func explainAt(err error, where string, port int) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		holder := holders[port]
		if holder == "" {
			return fmt.Errorf("%s: another program has it: name another port: %w", where, err)
		}
		return fmt.Errorf("%s: another program has it, probably %s: stop it for the time being "+
			"('sudo ss -lunp sport = :%d' shows which one it is): %w",
			where, holder, port, err)
	case errors.Is(err, fs.ErrPermission):
		program, _ := os.Executable()
		return fmt.Errorf("%s: no permission: run this with sudo, "+
			"or once 'sudo setcap cap_net_bind_service,cap_net_raw+ep %s': %w",
			where, program, err)
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%s: this works on Linux only: %w", where, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}
