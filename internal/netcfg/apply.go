package netcfg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// host applies changes to the machine.
type host struct {
	ifname      string // that holds the lease
	resolvConf  string // path; empty: not written
	timeServers string // path; empty: not written
	setHostname bool
}

// installed reads what the kernel has. The error is netlink's LinkNotFoundError where the interface is missing.
func (h host) installed() (Installed, error) {
	link, err := netlink.LinkByName(h.ifname)
	if err != nil {
		return Installed{}, fmt.Errorf("look up %s: %w", h.ifname, err)
	}
	ports, err := portsOf(link)
	if err != nil {
		return Installed{}, err
	}
	addresses, err := complete(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return Installed{}, fmt.Errorf("list addresses of %s: %w", h.ifname, err)
	}
	routes, err := complete(func() ([]netlink.Route, error) {
		ours := &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: routeProtocol}
		return netlink.RouteListFiltered(netlink.FAMILY_V4, ours, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	})
	if err != nil {
		return Installed{}, fmt.Errorf("list routes of %s: %w", h.ifname, err)
	}
	have := Installed{Up: link.Attrs().RawFlags&unix.IFF_UP != 0, MTU: commonMTU(link, ports)}
	for _, address := range addresses {
		have.Addresses = append(have.Addresses, prefixFrom(address.IPNet))
	}
	for _, route := range routes {
		have.Routes = append(have.Routes, routeFrom(route))
	}
	return have, nil
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

// apply does one change. What is to be removed and is gone already is no error.
func (h host) apply(change Change) error {
	if err := h.do(change); err != nil {
		return fmt.Errorf("%s on %s: %w", change, h.ifname, err)
	}
	return nil
}

func (h host) do(change Change) error {
	switch c := change.(type) {
	case SetResolvers:
		return writeFile(h.resolvConf, c.Text)
	case SetTimeServers:
		return writeFile(h.timeServers, c.Text)
	case SetHostname:
		if !h.setHostname {
			return nil
		}
		return unix.Sethostname([]byte(c.Name))
	}
	link, err := netlink.LinkByName(h.ifname)
	if err != nil {
		return err
	}
	return doLink(link, change)
}

// doLink does a change of the link.
func doLink(link netlink.Link, change Change) error {
	switch c := change.(type) {
	case SetMTU:
		return setMTU(link, c.MTU)
	case SetAddress:
		return setAddress(link, c)
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

func setAddress(link netlink.Link, c SetAddress) error {
	address := &netlink.Addr{IPNet: ipNet(c.Address), Broadcast: net.IPv4zero} // zero: none
	if c.Broadcast.IsValid() {
		address.Broadcast = c.Broadcast.AsSlice()
	}
	if !c.Expires.IsZero() {
		left := time.Until(c.Expires) + expirySlack
		address.ValidLft = max(1, int(left/time.Second))
		address.PreferedLft = address.ValidLft
	}
	return netlink.AddrReplace(link, address)
}

// routeProtocol marks routes as DHCP's (RTPROT_DHCP of linux/rtnetlink.h).
const routeProtocol = 16

func kernelRoute(link netlink.Link, route Route) *netlink.Route {
	result := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       ipNet(route.Destination),
		Priority:  route.Metric,
		Protocol:  routeProtocol,
	}
	if !route.Gateway.IsValid() {
		result.Scope = netlink.SCOPE_LINK
		return result
	}
	result.Gw = route.Gateway.AsSlice()
	if route.OnLink {
		result.Flags = int(netlink.FLAG_ONLINK)
	}
	return result
}

// routeFrom is kernelRoute's inverse.
func routeFrom(route netlink.Route) Route {
	result := Route{Destination: prefixFrom(route.Dst), Metric: route.Priority}
	if gateway, ok := addrFrom(route.Gw); ok {
		result.Gateway, result.OnLink = gateway, route.Flags&int(netlink.FLAG_ONLINK) != 0
	}
	return result
}

// prefixFrom converts an IPv4 network of package net; nil is the default route's destination.
func prefixFrom(network *net.IPNet) netip.Prefix {
	if network == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	address, _ := addrFrom(network.IP)
	bits, _ := network.Mask.Size()
	return netip.PrefixFrom(address, bits)
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 32)}
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

// writeFile replaces a file as a whole, so that no reader sees half of it. An empty path is no
// file.
func writeFile(file, text string) error {
	if file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	draft := file + ".new"
	if err := os.WriteFile(draft, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, file)
}
