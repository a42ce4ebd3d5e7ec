package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// link is the guest's network card.
type link struct {
	index int
	mac   net.HardwareAddr
	fd    int
}

func openLink() (*link, error) {
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &link{card.Index, card.HardwareAddr, fd}, nil
}

// repeat sends a frame ten times a second, for 5 s.
func (l *link) repeat(frame []byte) error {
	defer unix.Close(l.fd)
	for range 50 {
		if err := unix.Sendto(l.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.index}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// frame puts an Ethernet header before a packet.
func (l *link) frame(to net.HardwareAddr, kind uint16, packet []byte) []byte {
	f := append(append([]byte{}, to...), l.mac...)
	return append(binary.BigEndian.AppendUint16(f, kind), packet...)
}

var everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// gateway is QEMU's, on its user network.
var gateway = netip.MustParseAddr("10.0.2.2")

// spoofARP says that it is the gateway (RFC 826).
func spoofARP(context.Context) error {
	l, err := openLink()
	if err != nil {
		return err
	}
	reply := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	reply = append(append(reply, l.mac...), gateway.AsSlice()...)
	reply = append(append(reply, everybody...), gateway.AsSlice()...)
	return l.repeat(l.frame(everybody, unix.ETH_P_ARP, reply))
}

// spoofDHCP offers an address, as a DHCP server does (RFC 2131).
func spoofDHCP(context.Context) error {
	l, err := openLink()
	if err != nil {
		return err
	}
	offer := make([]byte, 236)
	offer[0], offer[1], offer[2] = 2, 1, 6 // a reply, to Ethernet
	copy(offer[16:], []byte{10, 66, 0, 1})
	offer = append(offer, 99, 130, 83, 99, 53, 1, 2, 54, 4, 10, 66, 0, 1, 255)
	packet := broadcast(netip.MustParseAddr("10.66.0.1"), 67, 68, offer)
	return l.repeat(l.frame(everybody, unix.ETH_P_IP, packet))
}

// broadcast is an IPv4 packet to everybody, with a UDP datagram that has no checksum (RFC 791, RFC 768).
func broadcast(from netip.Addr, fromPort, toPort uint16, data []byte) []byte {
	udp := binary.BigEndian.AppendUint16(nil, fromPort)
	udp = binary.BigEndian.AppendUint16(udp, toPort)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(data)))
	udp = append(append(udp, 0, 0), data...)
	header := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	header = append(append(header, from.AsSlice()...), 255, 255, 255, 255)
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)+len(udp)))
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(header, udp...)
}

// sendFrom sends from an address that may be another guest's.
func sendFrom(address string) error {
	from, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	l, err := openLink()
	if err != nil {
		return err
	}
	return l.repeat(l.frame(everybody, unix.ETH_P_IP, broadcast(from, 9, 9, []byte("hello"))))
}

// askFor asks who has an address two thousand times (RFC 826), from senders that are nobody's.
func askFor(address string) error {
	to, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	l, err := openLink()
	if err != nil {
		return err
	}
	defer unix.Close(l.fd)
	for n := range 2000 {
		request := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, l.mac...)
		request = append(append(request, 10, 98, byte(n>>8), byte(n)), make([]byte, 6)...)
		frame := l.frame(everybody, unix.ETH_P_ARP, append(request, to.AsSlice()...))
		if err := unix.Sendto(l.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.index}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// spoofMAC sends with a MAC address that is not the guest's.
func spoofMAC(context.Context) error {
	l, err := openLink()
	if err != nil {
		return err
	}
	l.mac = net.HardwareAddr{2, 0, 0, 0, 0, 0x66}
	return l.repeat(l.frame(everybody, unix.ETH_P_IP, broadcast(netip.IPv4Unspecified(), 9, 9, nil)))
}

// spoofRA says that it is a router (RFC 4861, section 4.2).
func spoofRA(context.Context) error {
	l, err := openLink()
	if err != nil {
		return err
	}
	from, to := netip.MustParseAddr("fe80::66"), netip.MustParseAddr("ff02::1")
	message := make([]byte, 16)
	message[0], message[4] = 134, 64
	binary.BigEndian.PutUint16(message[6:], 1800)
	pseudo := append(append(append([]byte{}, from.AsSlice()...), to.AsSlice()...),
		0, 0, 0, byte(len(message)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(message[2:], checksum(append(pseudo, message...)))
	header := []byte{0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255}
	header = append(append(header, from.AsSlice()...), to.AsSlice()...)
	return l.repeat(l.frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, unix.ETH_P_IPV6, append(header, message...)))
}

// checksum is the Internet's (RFC 1071).
func checksum(p []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
