package portscan

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers (IANA).
const (
	protocolICMP  = 1
	protocolTCP   = 6
	protocolUDP   = 17
	protocolICMP6 = 58
)

// Flags of a TCP segment (RFC 9293, 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// sum is the Internet checksum (RFC 1071) of the parts, each of an even length but the last.
func sum(parts ...[]byte) uint16 {
	var total uint32
	for _, part := range parts {
		for len(part) > 1 {
			total += uint32(binary.BigEndian.Uint16(part))
			part = part[2:]
		}
		if len(part) == 1 {
			total += uint32(part[0]) << 8
		}
	}
	for total>>16 != 0 {
		total = total>>16 + total&0xffff
	}
	return ^uint16(total)
}

// syn asks for a connection.
func syn(from, to netip.AddrPort) []byte {
	segment := make([]byte, 20)
	binary.BigEndian.PutUint16(segment[0:], from.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	binary.BigEndian.PutUint32(segment[4:], uint32(to.Port())) // any number will do
	segment[12], segment[13] = 5<<4, flagSYN
	binary.BigEndian.PutUint16(segment[14:], 1024)
	tail := []byte{0, 0, 0, protocolTCP, 0, byte(len(segment))}
	source, target := from.Addr().AsSlice(), to.Addr().AsSlice()
	binary.BigEndian.PutUint16(segment[16:], sum(source, target, tail, segment))
	return segment
}

// answer is what a segment says about the port that it comes from, if it was sent to port to.
func answer(segment []byte, to uint16) (port uint16, open, ok bool) {
	if len(segment) < 20 || binary.BigEndian.Uint16(segment[2:]) != to {
		return 0, false, false
	}
	port = binary.BigEndian.Uint16(segment)
	switch flags := segment[13]; {
	case flags&flagRST != 0:
		return port, false, true
	case flags&(flagSYN|flagACK) == flagSYN|flagACK:
		return port, true, true
	}
	return 0, false, false
}

// Messages of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const (
	echo, echoReply, unreachable, unreachablePort     = 8, 0, 3, 3
	echo6, echoReply6, unreachable6, unreachablePort6 = 128, 129, 1, 4
)

// ping asks for an echo. The kernel fills in the checksum of ICMPv6.
func ping(is6 bool, id, number uint16) []byte {
	message := []byte{echo, 0, 0, 0, 0, 0, 0, 0}
	if is6 {
		message[0] = echo6
	}
	binary.BigEndian.PutUint16(message[4:], id)
	binary.BigEndian.PutUint16(message[6:], number)
	if !is6 {
		binary.BigEndian.PutUint16(message[2:], sum(message))
	}
	return message
}

// pong says which ping a message answers.
func pong(message []byte, is6 bool, id uint16) (number uint16, ok bool) {
	want := byte(echoReply)
	if is6 {
		want = echoReply6
	}
	if len(message) < 8 || message[0] != want || binary.BigEndian.Uint16(message[4:]) != id {
		return 0, false
	}
	return binary.BigEndian.Uint16(message[6:]), true
}

// refusal says which UDP port a message calls unreachable: it holds the datagram that was sent.
func refusal(message []byte, is6 bool) (port uint16, ok bool) {
	kind, code, header, protocol := byte(unreachable), byte(unreachablePort), 20, 9
	if is6 {
		kind, code, header, protocol = unreachable6, unreachablePort6, 40, 6
	}
	if len(message) < 8+header+8 || message[0] != kind || message[1] != code {
		return 0, false
	}
	if !is6 {
		header = int(message[8]&0xf) * 4
	}
	if len(message) < 8+header+8 || message[8+protocol] != protocolUDP {
		return 0, false
	}
	return binary.BigEndian.Uint16(message[8+header+2:]), true
}

// questions are what some services answer; others get zeros.
var questions = map[uint16][]byte{
	53:   []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x06guests\x08internal\x00\x00\x01\x00\x01"),
	111:  append([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa0, 0, 0, 0, 2}, make([]byte, 20)...),
	123:  append([]byte{0x23}, make([]byte, 47)...),
	5353: {0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x80, 1},
}

func question(port uint16) []byte {
	if q, ok := questions[port]; ok {
		return q
	}
	return make([]byte, 8)
}
