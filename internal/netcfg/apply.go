package netcfg

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readInstalled reads what the kernel has. The error is netlink's LinkNotFoundError where the interface is missing.
func readInstalled(ifname string) (Installed, error) {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return Installed{}, fmt.Errorf("look up %s: %w", ifname, err)
	}
	ports, err := portsOf(link)
	if err != nil {
		return Installed{}, err
	}
	addresses, err := Complete(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return Installed{}, fmt.Errorf("list addresses of %s: %w", ifname, err)
	}
	have := Installed{Up: link.Attrs().RawFlags&unix.IFF_UP != 0, MTU: commonMTU(link, ports)}
	for _, address := range addresses {
		have.Addresses = append(have.Addresses, prefixFrom(address.IPNet, netlink.FAMILY_V4))
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := ourRoutes(link, family)
		if err != nil {
			return Installed{}, fmt.Errorf("list routes of %s: %w", ifname, err)
		}
		have.Routes = append(have.Routes, routes...)
	}
	return have, nil
}

// ourRoutes lists the routes of one family by a link that this package added.
func ourRoutes(link netlink.Link, family int) ([]Route, error) {
	kernels, err := Complete(func() ([]netlink.Route, error) {
		ours := &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: routeProtocol}
		return netlink.RouteListFiltered(family, ours, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	})
	var routes []Route
	for _, route := range kernels {
		routes = append(routes, routeFrom(route, family))
	}
	return routes, err
}

// portsOf returns the ports of a link; one that is no bridge has none.
func portsOf(link netlink.Link) ([]netlink.Link, error) {
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(links, func(port netlink.Link) bool {
		return port.Attrs().MasterIndex != link.Attrs().Index
	}), nil
}

// commonMTU returns the MTU of a link and all its ports, 0 if they differ.
func commonMTU(link netlink.Link, ports []netlink.Link) int {
	mtu := link.Attrs().MTU
	if slices.ContainsFunc(ports, func(port netlink.Link) bool { return port.Attrs().MTU != mtu }) {
		return 0
	}
	return mtu
}

// apply does one change of an interface. What is to be removed and is gone already is no error.
func apply(ifname string, change Change) error {
	link, err := netlink.LinkByName(ifname)
	if err == nil {
		err = applyTo(link, change)
	}
	if err != nil {
		return fmt.Errorf("%s on %s: %w", change, ifname, err)
	}
	return nil
}

func applyTo(link netlink.Link, change Change) error {
	switch c := change.(type) {
	case SetMTU:
		return setMTU(link, c.MTU)
	case SetAddress:
		return setAddress(link, c.Address)
	case RemoveAddress:
		address := &netlink.Addr{IPNet: ipNet(c.Address)}
		return ignore(netlink.AddrDel(link, address), unix.EADDRNOTAVAIL)
	case AddRoute:
		return netlink.RouteReplace(kernelRoute(link, c.Route))
	case RemoveRoute:
		return ignore(netlink.RouteDel(kernelRoute(link, c.Route)), unix.ESRCH)
	default:
		return fmt.Errorf("unknown change %T", change)
	}
}

// setMTU sets the MTU of a link, and before that of its ports if it is a bridge: where a port
// cannot have it the bridge must not, because it drops what does not fit through a port.
func setMTU(link netlink.Link, mtu int) error {
	ports, err := portsOf(link)
	if err != nil {
		return err
	}
	for _, port := range ports {
		if port.Attrs().MTU == mtu {
			continue
		}
		if err := netlink.LinkSetMTU(port, mtu); err != nil {
			return fmt.Errorf("port %s: %w", port.Attrs().Name, err)
		}
	}
	if link.Attrs().MTU == mtu {
		return nil
	}
	return netlink.LinkSetMTU(link, mtu)
}

// expirySlack is how much longer than the lease the kernel keeps the address, so that it is
// this program that removes and reports it as long as it runs.
const expirySlack = 2 * time.Second

func setAddress(link netlink.Link, a Address) error {
	address := &netlink.Addr{IPNet: ipNet(a.Prefix), Broadcast: net.IPv4zero} // zero: none
	if a.Broadcast.IsValid() {
		address.Broadcast = a.Broadcast.AsSlice()
	}
	if a.Prefix.Addr().Is6() {
		address.Flags = unix.IFA_F_NODAD // the kernel would ask guests, too: see claim6
		if a.NoRoute {
			address.Flags |= unix.IFA_F_NOPREFIXROUTE
		}
	}
	if address.ValidLft = secondsLeft(a.Expires); address.ValidLft == 0 && !a.Preferred.IsZero() {
		address.ValidLft = math.MaxUint32 // forever
	}
	address.PreferedLft = address.ValidLft
	if !a.Preferred.IsZero() {
		address.PreferedLft = max(0, int(time.Until(a.Preferred)/time.Second))
	}
	return netlink.AddrReplace(link, address)
}

// secondsLeft is how long the kernel keeps what expires then, 0 for ever.
func secondsLeft(expires time.Time) int {
	if expires.IsZero() {
		return 0
	}
	return max(1, int((time.Until(expires)+expirySlack)/time.Second))
}

// routeProtocol marks routes as this package's (RTPROT_DHCP of linux/rtnetlink.h).
const routeProtocol = 16

func kernelRoute(link netlink.Link, route Route) *netlink.Route {
	result := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       ipNet(route.Destination),
		Priority:  route.Metric,
		Protocol:  routeProtocol,
	}
	if !route.Gateway.IsValid() {
		if route.Destination.Addr().Is4() {
			result.Scope = netlink.SCOPE_LINK
		}
		return result
	}
	result.Gw = route.Gateway.AsSlice()
	if route.OnLink {
		result.Flags = int(netlink.FLAG_ONLINK)
	}
	return result
}

// routeFrom is kernelRoute's inverse.
func routeFrom(route netlink.Route, family int) Route {
	result := Route{Destination: prefixFrom(route.Dst, family), Metric: route.Priority}
	if gateway, ok := netip.AddrFromSlice(route.Gw); ok {
		result.Gateway, result.OnLink = gateway.Unmap(), route.Flags&int(netlink.FLAG_ONLINK) != 0
	}
	return result
}

// prefixFrom converts a network of package net; nil is the destination of a family's default route.
func prefixFrom(network *net.IPNet, family int) netip.Prefix {
	switch {
	case network == nil && family == netlink.FAMILY_V6:
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	case network == nil:
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	address, _ := netip.AddrFromSlice(network.IP)
	bits, size := network.Mask.Size()
	if size == 32 {
		address = address.Unmap()
	}
	return netip.PrefixFrom(address, bits)
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
