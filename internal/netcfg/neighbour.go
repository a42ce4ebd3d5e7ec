package netcfg

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path"

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
// it returns. It listens to ARP on an interface such as the bridge: requests are broadcast, and a guest
// sends one before it first talks to anybody, so dom0 also learns the addresses of guests that do not report
// them. A claim is repeated each time it is heard: only the caller knows whether a guest has been restarted since.
//
// An ARP packet that names another MAC than its frame came from is left out. What remains is still a claim and no
// proof: [Bridge.PortOf] says where the frame came in.
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
		if mac, address, ok := neighbourIn(frame[:n]); ok {
			seen(mac[:], address)
		}
	}
}

// neighbourIn reads a whole frame. Unlike an ARP packet's sender, a frame's source is what the bridge learns ports
// from.
func neighbourIn(frame []byte) (mac [6]byte, address netip.Addr, ok bool) {
	if len(frame) < ethernetHeader {
		return mac, address, false
	}
	mac, address, ok = ParseARP(frame[ethernetHeader:])
	return mac, address, ok && bytes.Equal(mac[:], frame[6:12])
}

// VifDomain returns the id of the guest whose vif a link is, from the tree of /sys. The link's name, which a
// configuration can choose (vifname=), does not matter.
func VifDomain(sys fs.FS, ifname string) (domid int, ok bool) {
	var devid int
	node := readLine(sys, path.Join("class/net", ifname, "device/nodename"))
	_, err := fmt.Sscanf(node, "backend/vif/%d/%d", &domid, &devid)
	return domid, err == nil
}
