package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"
)

// exchange sends a message to all servers and waits for the first answer of a kind.
func (c *Client6) exchange(
	ctx context.Context, message *dhcpv6.Message, wait time.Duration, kind dhcpv6.MessageType,
) (*dhcpv6.Message, error) {
	tap, err := openTap(c.port, unix.ETH_P_ALL, udpToClient6Filter)
	if err != nil {
		return nil, err
	}
	defer tap.Close()
	defer context.AfterFunc(ctx, func() { tap.Close() })()
	self := fromMAC(linkLocal, c.mac)
	if err := tap.write(frame6(c.mac, udp6(self, message.ToBytes()), 6)); err != nil {
		return nil, fmt.Errorf("send %s: %w", message.MessageType, err)
	}
	frame, end := make([]byte, 2000), time.Now().Add(wait)
	for {
		n, err := tap.readUntil(end, frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errNoAnswer6
		case err != nil:
			return nil, cmpErr(ctx.Err(), err)
		}
		if answer, ok := parseAnswer6(frame[:n], tap.unsummed, self, c.duid()); ok &&
			answer.MessageType == kind && answer.TransactionID == message.TransactionID {
			return answer, nil
		}
	}
}

var errNoAnswer6 = errors.New("no DHCPv6 server answered")

// udp6 is a packet to all servers, without its checksum.
func udp6(source netip.Addr, data []byte) packet6 {
	const header = 8
	length := header + len(data)
	payload := []byte{
		dhcp6ClientPort >> 8, dhcp6ClientPort & 0xff, dhcp6ServerPort >> 8, dhcp6ServerPort & 0xff,
		byte(length >> 8), byte(length), 0, 0,
	}
	return packet6{source, allDHCP6Servers, unix.IPPROTO_UDP, 1, append(payload, data...)}
}

// parseAnswer6 reads a server's answer to this client out of a frame.
func parseAnswer6(frame []byte, unsummed bool, self netip.Addr, id dhcpv6.DUID) (*dhcpv6.Message, bool) {
	p, ok := parseFrame6(frame, unsummed)
	const header = 8
	if !ok || p.next != unix.IPPROTO_UDP || len(p.payload) < header || p.target != self {
		return nil, false
	}
	message, err := dhcpv6.MessageFromBytes(p.payload[header:])
	if err != nil {
		return nil, false
	}
	client := message.Options.ClientID()
	return message, client != nil && slices.Equal(client.ToBytes(), id.ToBytes())
}
