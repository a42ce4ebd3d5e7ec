package netcfg

import (
	"bytes"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Offsets in a DHCP message (RFC 2131, figure 1).
const (
	messageSname   = 44
	messageFile    = 108
	messageOptions = 240 // behind the magic cookie
)

var magicCookie = []byte{99, 130, 83, 99}

// Bits of option 52: the fields that hold options.
const (
	overloadFile  = 1
	overloadSname = 2
)

// unfold returns a DHCP message with the options that stand in the fields file and sname (RFC 2132, section
// 9.3) moved behind the others, which is the order in which RFC 3396 joins the parts of an option. The fields
// are empty then. A message without any, or one that is not to be understood, is returned as it is.
//
// Package dhcpv4 reads file and sname as text.
func unfold(message []byte) []byte {
	if len(message) < messageOptions || !bytes.HasSuffix(message[:messageOptions], magicCookie) {
		return message
	}
	options, overload, ok := splitOptions(message[messageOptions:])
	if !ok || overload == 0 {
		return message
	}
	unfolded := append(bytes.Clone(message[:messageOptions]), options...)
	for _, field := range []struct {
		bit        byte
		begin, end int
	}{
		{overloadFile, messageFile, messageOptions - len(magicCookie)},
		{overloadSname, messageSname, messageFile},
	} {
		if overload&field.bit == 0 {
			continue
		}
		if more, _, ok := splitOptions(message[field.begin:field.end]); ok {
			unfolded = append(unfolded, more...)
		}
		clear(unfolded[field.begin:field.end])
	}
	return append(unfolded, dhcpv4.OptionEnd.Code())
}

// splitOptions returns the options of a field up to its end, without padding and without option 52, whose
// value it returns. It returns false if an option is cut short.
func splitOptions(field []byte) (options []byte, overload byte, ok bool) {
	for len(field) > 0 && field[0] != dhcpv4.OptionEnd.Code() {
		if field[0] == dhcpv4.OptionPad.Code() {
			field = field[1:]
			continue
		}
		if len(field) < 2 || len(field) < 2+int(field[1]) {
			return nil, 0, false
		}
		size := 2 + int(field[1])
		if field[0] == dhcpv4.OptionOptionOverload.Code() {
			if size == 3 {
				overload = field[2]
			}
		} else {
			options = append(options, field[:size]...)
		}
		field = field[size:]
	}
	return options, overload, true
}

// unfoldingConn is a connection whose messages are unfolded.
type unfoldingConn struct{ net.PacketConn }

// ReadFrom reads one message. One that is too long when unfolded is passed on without its last options, and
// refused by whoever reads them.
func (c unfoldingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	if err != nil {
		return n, from, err
	}
	return copy(b, unfold(b[:n])), from, nil
}
