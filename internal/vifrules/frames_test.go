package vifrules

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Frames of a test. Checksums are left out where nobody looks at them.

func mac(text string) net.HardwareAddr {
	parsed, err := net.ParseMAC(text)
	if err != nil {
		panic(err)
	}
	return parsed
}

var broadcast = mac("ff:ff:ff:ff:ff:ff")

func frame(to, from net.HardwareAddr, kind uint16, body ...[]byte) []byte {
	f := append(append([]byte{}, to...), from...)
	f = binary.BigEndian.AppendUint16(f, kind)
	for _, part := range body {
		f = append(f, part...)
	}
	for len(f) < 60 {
		f = append(f, 0)
	}
	return f
}

func arp(frameMAC, sender net.HardwareAddr, address string) []byte {
	body := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	body = append(body, sender...)
	body = append(body, netip.MustParseAddr(address).AsSlice()...)
	body = append(body, make([]byte, 6)...)
	body = append(body, 10, 9, 0, 99)
	return frame(broadcast, frameMAC, etherARP, body)
}

func ipv4(to, from net.HardwareAddr, source, target string, protocol byte, body []byte) []byte {
	h := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	h = append(h, netip.MustParseAddr(source).AsSlice()...)
	h = append(h, netip.MustParseAddr(target).AsSlice()...)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(body)))
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return frame(to, from, etherIPv4, h, body)
}

func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	return ^uint16(sum>>16 + sum&0xffff)
}

func ipv6(to, from net.HardwareAddr, source, target string, next byte, body []byte) []byte {
	h := []byte{0x60, 0, 0, 0, 0, 0, next, 255}
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	h = append(h, netip.MustParseAddr(source).AsSlice()...)
	h = append(h, netip.MustParseAddr(target).AsSlice()...)
	return frame(to, from, etherIPv6, h, body)
}

func datagram(from, to uint16) []byte {
	d := binary.BigEndian.AppendUint16(nil, from)
	d = binary.BigEndian.AppendUint16(d, to)
	return append(d, 0, 12, 0, 0, 't', 'e', 's', 't')
}

func segment(from, to uint16, flags byte) []byte {
	d := binary.BigEndian.AppendUint16(nil, from)
	d = binary.BigEndian.AppendUint16(d, to)
	return append(d, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 1, 0, 0, 0, 0, 0)
}

// message is one of ICMP or ICMPv6.
func message(kind byte, rest ...byte) []byte { return append([]byte{kind, 0, 0, 0}, rest...) }

// tagged puts a VLAN tag on a frame.
func tagged(f []byte, vlan uint16) []byte {
	t := append([]byte{}, f[:12]...)
	t = binary.BigEndian.AppendUint16(t, 0x8100)
	t = binary.BigEndian.AppendUint16(t, vlan)
	return append(t, f[12:]...)
}
