package privnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// FreeSubnet returns an address for dom0 in a subnet of 254 hosts that overlaps with none of those in use:
// 10.77.0.1/24, 10.77.1.1/24 and so on, from the nth on. Networks that choose at the same time have different n.
func FreeSubnet(inUse []netip.Prefix, n int) (netip.Prefix, error) {
	for i := range 256 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(n + i), 1}), 24)
		if !slices.ContainsFunc(inUse, prefix.Overlaps) {
			return prefix, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no subnet of 10.77.0.0/16 is free: configure one for the private network")
}

// SubnetsInUse lists the IPv4 subnets that dom0 has addresses in or routes to.
func SubnetsInUse() ([]netip.Prefix, error) {
	addresses, err := addressesOf(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	routes, err := routesOf(netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var inUse []netip.Prefix
	for _, address := range addresses {
		inUse = appendSubnet(inUse, address.IPNet)
	}
	for _, route := range routes {
		inUse = appendSubnet(inUse, route.Dst)
	}
	return inUse, nil
}

// appendSubnet leaves out the default route, which overlaps with everything.
func appendSubnet(list []netip.Prefix, n *net.IPNet) []netip.Prefix {
	if n == nil {
		return list
	}
	address, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	if !ok || bits == 0 {
		return list
	}
	return append(list, netip.PrefixFrom(address.Unmap(), bits).Masked())
}
