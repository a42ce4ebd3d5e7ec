package netserve

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// iface is a network interface as far as the choice needs it.
type iface struct {
	Name      string
	MTU       int          // bytes
	Address   netip.Prefix // its IPv4 address; not valid: it has none
	Up        bool
	Broadcast bool // an Ethernet-like link, and not the loopback
	Hardware  bool // a device, not a bridge, veth, tunnel...
}

// String names it with its address.
func (i iface) String() string {
	switch {
	case !i.Up:
		return i.Name + " (down)"
	case !i.Address.IsValid():
		return i.Name + " (no IPv4 address)"
	}
	return fmt.Sprintf("%s (%s)", i.Name, i.Address)
}

// findInterface returns the interface to serve on, with an address.
func findInterface(name string) (iface, error) {
	present, err := interfaces()
	if err != nil {
		return iface{}, fmt.Errorf("list network interfaces: %w", err)
	}
	return choose(present, name)
}

// choose returns the interface of that name, or without a name the only one that fits: up, with an
// address, a device if there is one such.
func choose(present []iface, name string) (iface, error) {
	if name != "" {
		return chooseNamed(present, name)
	}
	fits := filter(present, func(i iface) bool { return i.Up && i.Broadcast && i.Address.IsValid() })
	if devices := filter(fits, func(i iface) bool { return i.Hardware }); len(devices) > 0 {
		fits = devices
	}
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		return iface{}, fmt.Errorf("no network interface is up and has an IPv4 address; there are %s", list(present))
	}
	return iface{}, fmt.Errorf("several network interfaces fit: name one of %s", list(fits))
}

func chooseNamed(present []iface, name string) (iface, error) {
	at := slices.IndexFunc(present, func(i iface) bool { return i.Name == name })
	if at < 0 {
		return iface{}, fmt.Errorf("interface %s does not exist; there are %s", name, list(present))
	}
	switch nic := present[at]; {
	case !nic.Broadcast:
		return iface{}, fmt.Errorf("interface %s: no PC can be connected to it; there are %s", name, list(present))
	case !nic.Up:
		return iface{}, fmt.Errorf("interface %s is down: 'sudo ip link set %s up', and give it an IPv4 address",
			name, name)
	case !nic.Address.IsValid():
		return iface{}, fmt.Errorf(
			"interface %s has no IPv4 address: give it one, as in 'sudo ip addr add 192.168.7.1/24 dev %s'; "+
				"on a cable without a DHCP server a range as well, as in 192.168.7.100-192.168.7.200", name, name)
	default:
		return nic, nil
	}
}

func filter(all []iface, keep func(iface) bool) []iface {
	return slices.DeleteFunc(slices.Clone(all), func(i iface) bool { return !keep(i) })
}

// list names those interfaces that a PC could be connected to.
func list(all []iface) string {
	var names []string
	for _, nic := range all {
		if nic.Broadcast {
			names = append(names, nic.String())
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// interfaces returns those of this machine.
func interfaces() ([]iface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var all []iface
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			return nil, err
		}
		all = append(all, iface{
			Name:      link.Name,
			MTU:       link.MTU,
			Address:   firstIPv4(addrs),
			Up:        link.Flags&net.FlagUp != 0,
			Broadcast: link.Flags&net.FlagBroadcast != 0 && link.Flags&net.FlagLoopback == 0,
			Hardware:  isHardware(link.Name),
		})
	}
	return all, nil
}

// firstIPv4 returns an interface's first IPv4 address, one for the link only (169.254.0.0/16) if it
// has no other.
func firstIPv4(addrs []net.Addr) netip.Prefix {
	var found netip.Prefix
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr.String())
		if err != nil || !prefix.Addr().Is4() {
			continue
		}
		if !prefix.Addr().IsLinkLocalUnicast() {
			return prefix
		}
		if !found.IsValid() {
			found = prefix
		}
	}
	return found
}
