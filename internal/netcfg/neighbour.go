package netcfg

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ParseARP returns the MAC and the IPv4 address that the sender of an ARP packet, request or
// reply, claims to have. packet begins after the Ethernet header. It returns false for anything
// else, and for a probe (RFC 5227), whose sender has no address yet.
func ParseARP(packet []byte) (mac [6]byte, address netip.Addr, ok bool) {
	p, ok := parseARP(packet)
	isUnicast := p.mac[0]&1 == 0 && p.mac != [6]byte{}
	return p.mac, p.sender, ok && isUnicast && isHost(p.sender)
}

// WatchNeighbours calls seen for each MAC and IPv4 address that it hears, until ctx ends, whose error
// it returns. It listens to ARP on an interface such as the bridge: requests are broadcast, and a
// guest sends one before it first talks to anybody, so that dom0 learns the addresses of guests that
// do not tell. What it hears is a claim, not a proof. The same is told again each time it is heard:
// only the caller knows whether a guest has been restarted since.
func WatchNeighbours(ctx context.Context, ifname string, seen func(mac net.HardwareAddr, address netip.Addr)) error {
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		return fmt.Errorf("watch neighbours on %s: %w", ifname, err)
	}
	tap, err := openTap(link.Index, unix.ETH_P_ARP, arpFilter)
	if err != nil {
		return fmt.Errorf("watch neighbours on %s: %w", ifname, err)
	}
	defer tap.Close()
	defer context.AfterFunc(ctx, func() { tap.Close() })()
	frame := make([]byte, 128)
	for {
		n, err := tap.read(frame)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("watch neighbours on %s: %w", ifname, err)
		}
		if mac, address, ok := ParseARP(frame[min(n, ethernetHeader):n]); ok {
			seen(mac[:], address)
		}
	}
}
