package netcfg

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// packetConn is a packet(7) socket without link headers, bound to one interface and one
// protocol: what an interface without an address receives and sends. It implements
// net.PacketConn as far as nclient4 uses it.
type packetConn struct {
	file     *os.File
	raw      syscall.RawConn
	index    int
	protocol uint16 // network byte order
}

// listenPacket opens a packet socket on an interface for an Ethernet protocol (unix.ETH_P_IP,
// unix.ETH_P_ARP). filter may be nil; it sees packets from their network header on.
func listenPacket(ifname string, protocol uint16, filter []unix.SockFilter) (*packetConn, error) {
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("open packet socket on %s: %w", ifname, err)
	}
	// Protocol 0 receives nothing: packets come only once bind has named interface and
	// protocol, when the filter is already in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket on %s: %w", ifname, err)
	}
	file := os.NewFile(uintptr(fd), "packet:"+ifname)
	conn := &packetConn{file: file, index: link.Index, protocol: networkOrder(protocol)}
	if err := conn.setUp(filter); err != nil {
		file.Close()
		return nil, fmt.Errorf("open packet socket on %s: %w", ifname, err)
	}
	return conn, nil
}

// setUp attaches the filter and binds the socket.
func (c *packetConn) setUp(filter []unix.SockFilter) error {
	var err error
	if c.raw, err = c.file.SyscallConn(); err != nil {
		return err
	}
	return c.control(func(fd int) error {
		if len(filter) > 0 {
			program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
			if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
				return fmt.Errorf("attach filter: %w", err)
			}
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: c.protocol, Ifindex: c.index})
	})
}

// control runs do on the descriptor.
func (c *packetConn) control(do func(fd int) error) error {
	var inner error
	if err := c.raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// ReadFrom reads one packet. The address is always nil.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.file.Read(b)
	return n, nil, err
}

// WriteTo broadcasts one packet on the link, whatever the address.
func (c *packetConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	to := &unix.SockaddrLinklayer{Protocol: c.protocol, Ifindex: c.index, Halen: 6}
	copy(to.Addr[:], broadcastMAC)
	var inner error
	err := c.raw.Write(func(fd uintptr) bool {
		inner = unix.Sendto(int(fd), b, 0, to)
		return inner != unix.EAGAIN
	})
	if err == nil {
		err = inner
	}
	return len(b), err
}

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func (c *packetConn) Close() error                       { return c.file.Close() }
func (c *packetConn) LocalAddr() net.Addr                { return nil }
func (c *packetConn) SetDeadline(t time.Time) error      { return c.file.SetDeadline(t) }
func (c *packetConn) SetReadDeadline(t time.Time) error  { return c.file.SetReadDeadline(t) }
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 } // zerodisc runs on amd64 only

// udpToClientFilter passes whole UDP packets to port 68. Without it every packet that guests
// exchange through dom0 would wake the client up.
var udpToClientFilter = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},                               // protocol
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_UDP, Jt: 0, Jf: 6}, //
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6},                               // fragment offset
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x1fff, Jt: 4, Jf: 0},          //
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},                              // IP header's length
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},                               // destination port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: dhcpClientPort, Jt: 0, Jf: 1},   //
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},                                        // all of it
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                             // nothing
}
