package netcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ethernetHeader is the length of a frame's header, in bytes: destination, source, EtherType.
const ethernetHeader = 14

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// tap is a packet(7) socket on one link. It hears whole Ethernet frames that come in there, also by a
// link that is a bridge's port, and sends frames out by that link alone.
type tap struct {
	file  *os.File
	index int // of the link

	// unsummed says of the frame that was read last that nobody has filled in its checksum yet: it comes from this
	// machine or from one that this is a virtual machine of, whose kernel leaves that to a NIC.
	unsummed bool
}

// openTap opens a tap on the link with the given index. filter sees frames from their Ethernet header on.
//
// With protocol unix.ETH_P_ALL frames are heard before anything else gets them, so that a bridge's port can
// be listened to; with any other protocol a port's frames are the bridge's, and only a tap on the bridge hears
// them, without knowing where they came in.
func openTap(index int, protocol uint16, filter []unix.SockFilter) (*tap, error) {
	// Protocol 0 receives nothing: frames come only once bind has named link and
	// protocol, when the filter is already in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket on link %d: %w", index, err)
	}
	if err := setUpTap(fd, index, protocol, filter); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open packet socket on link %d: %w", index, err)
	}
	return &tap{file: os.NewFile(uintptr(fd), "packet"), index: index}, nil
}

// setUpTap attaches the filter and binds the socket. What this machine sends is left out: on a NIC that would
// be all of its guests' traffic.
func setUpTap(fd, index int, protocol uint16, filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("ignore outgoing frames: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("ask for the state of checksums: %w", err)
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: index})
}

// read reads one frame.
func (t *tap) read(frame []byte) (n int, err error) {
	raw, rawErr := t.file.SyscallConn()
	if rawErr != nil {
		return 0, rawErr
	}
	rawErr = raw.Read(func(fd uintptr) bool {
		n, err = t.receive(int(fd), frame)
		return err != unix.EAGAIN
	})
	if rawErr != nil {
		return 0, rawErr
	}
	return n, err
}

// csumNotReady is TP_STATUS_CSUMNOTREADY of linux/if_packet.h, a bit of the first field of struct tpacket_auxdata.
const csumNotReady = 1 << 3

// receive reads one frame if there is one, else its error is unix.EAGAIN.
func (t *tap) receive(fd int, frame []byte) (int, error) {
	var control [64]byte
	for {
		n, length, _, _, err := unix.Recvmsg(fd, frame, control[:], unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		header, data, _, err := unix.ParseOneSocketControlMessage(control[:length])
		t.unsummed = err == nil && header.Level == unix.SOL_PACKET && header.Type == unix.PACKET_AUXDATA &&
			len(data) >= 4 && binary.NativeEndian.Uint32(data)&csumNotReady != 0
		return n, nil
	}
}

// readUntil reads one frame that came in before the end; a zero end is never. os.ErrDeadlineExceeded is returned
// when there is none, not when the machine was too busy to look in time.
func (t *tap) readUntil(end time.Time, frame []byte) (int, error) {
	if err := t.file.SetReadDeadline(end); err != nil {
		return 0, err
	}
	n, err := t.read(frame)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	raw, rawErr := t.file.SyscallConn()
	if rawErr != nil {
		return 0, rawErr
	}
	late := raw.Control(func(fd uintptr) {
		if count, readErr := t.receive(int(fd), frame); readErr == nil {
			n, err = count, nil
		}
	})
	return n, errors.Join(late, err)
}

// write sends one frame.
func (t *tap) write(frame []byte) error {
	_, err := t.file.Write(frame)
	return err
}

func (t *tap) Close() error { return t.file.Close() }

// broadcastFrame returns an Ethernet frame from mac to all.
func broadcastFrame(mac net.HardwareAddr, protocol uint16, payload []byte) []byte {
	frame := append(make([]byte, 0, ethernetHeader+len(payload)), broadcastMAC...)
	frame = append(frame, mac...)
	frame = binary.BigEndian.AppendUint16(frame, protocol)
	return append(frame, payload...)
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 } // zerodisc runs on amd64 only

// ipConn sends and receives IPv4 packets through a tap: what an interface without an address can do. It
// implements net.PacketConn as far as nclient4 uses it.
type ipConn struct {
	*tap
	mac net.HardwareAddr // that packets come from
}

// ReadFrom reads one packet. The address is always nil.
func (c ipConn) ReadFrom(b []byte) (int, net.Addr, error) {
	frame := make([]byte, ethernetHeader+len(b))
	n, err := c.read(frame)
	if err != nil {
		return 0, nil, err
	}
	return copy(b, frame[min(n, ethernetHeader):n]), nil, nil
}

// WriteTo broadcasts one packet on the link, whatever the address.
func (c ipConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	return len(b), c.write(broadcastFrame(c.mac, unix.ETH_P_IP, b))
}

func (c ipConn) LocalAddr() net.Addr                { return nil }
func (c ipConn) SetDeadline(t time.Time) error      { return c.file.SetDeadline(t) }
func (c ipConn) SetReadDeadline(t time.Time) error  { return c.file.SetReadDeadline(t) }
func (c ipConn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }

// unicastConn hears what its PacketConn hears, and sends through another one.
type unicastConn struct {
	net.PacketConn
	sender net.PacketConn
}

func (c unicastConn) WriteTo(b []byte, to net.Addr) (int, error) { return c.sender.WriteTo(b, to) }

func (c unicastConn) Close() error {
	c.sender.Close()
	return c.PacketConn.Close()
}

// bindToDevice makes a socket send through the named interface alone.
func bindToDevice(ifname string) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var inner error
		if err := raw.Control(func(fd uintptr) { inner = unix.BindToDevice(int(fd), ifname) }); err != nil {
			return err
		}
		return inner
	}
}

// vlanTag is where a filter finds the VLAN tag that the kernel has taken out of a frame (SKF_AD_OFF plus
// SKF_AD_VLAN_TAG of linux/filter.h).
const vlanTag = 0xfffff000 + 44

// vlanID is the part of a tag that names the VLAN. 0 is none: the tag then carries a priority only.
const vlanID = 0x0fff

// udpToClientFilter passes whole UDP packets to port 68 that are in no VLAN. Without it every packet that
// comes in for dom0 or a guest would wake the client up.
var udpToClientFilter = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},                              // EtherType
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IP, Jt: 0, Jf: 10},   //
	{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: vlanTag},                         // VLAN
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: vlanID, Jt: 8, Jf: 0},          //
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 23},                              // protocol
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_UDP, Jt: 0, Jf: 6}, //
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 20},                              // fragment offset
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x1fff, Jt: 4, Jf: 0},          //
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: ethernetHeader},                 // IP header's length
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: ethernetHeader + 2},              // destination port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: dhcpClientPort, Jt: 0, Jf: 1},   //
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},                                        // all of it
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                             // nothing
}

// arpFilter passes every frame of a tap that is bound to ARP.
var arpFilter = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff}}
