package main

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/privnet"
)

// networkOf is the network that a configuration asks for, the default bridge first, and what of it cannot be made. A
// default bridge that cannot be as it is wanted is as it is without any configuration: guests are attached to it.
func networkOf(c *config.Config) (netcfg.Network, []config.Problem) {
	n := netcfg.Network{Search: c.DNS.Search}
	for _, server := range c.DNS.Servers {
		if address, err := netip.ParseAddr(server); err == nil { // it was checked when it was read
			n.DNS = append(n.DNS, address)
		}
	}
	var problems []config.Problem
	fits := func(key string, with netcfg.Network) bool {
		err := with.Check()
		if err == nil {
			n = with
			return true
		}
		text := err.Error() + "; it is left out"
		problems = append(problems, config.Problem{Source: allSources, Key: key, Text: text})
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(c.Network.Bonds)) {
		with := n
		with.Bonds = append(slices.Clone(n.Bonds), bondOf(name, c.Network.Bonds[name]))
		fits("network.bonds."+name, with)
	}
	for _, name := range bridgesOf(c.Network) {
		isDefault := name == c.Network.Default()
		with := n
		with.Interfaces = append(slices.Clone(n.Interfaces), interfaceOf(name, c.Network.Bridges[name], isDefault))
		if !fits("network.bridges."+name, with) && isDefault {
			n.Interfaces = netcfg.DefaultNetwork(name).Interfaces
		}
	}
	return n, problems
}

// bridgesOf lists the bridges, the default one first.
func bridgesOf(n config.Network) []string {
	names := slices.Sorted(maps.Keys(n.Bridges))
	names = slices.DeleteFunc(names, func(name string) bool { return name == n.Default() })
	return append([]string{n.Default()}, names...)
}

// bondOf is a bond. In one of netcfg's, commas are between the options, and semicolons between addresses.
func bondOf(name string, b config.Bond) netcfg.Bond {
	mode := b.Mode
	if mode == "" {
		mode = "active-backup"
	}
	options := []string{"mode=" + mode}
	for _, option := range slices.Sorted(maps.Keys(b.Options)) {
		options = append(options, option+"="+strings.ReplaceAll(b.Options[option], ",", ";"))
	}
	return netcfg.Bond{Name: name, Members: b.NICs, Options: strings.Join(options, ","), MTU: b.MTU}
}

// methods are the methods of both families, by their names.
var methods = map[string]netcfg.Method{
	"none": netcfg.None, "static": netcfg.Static, "dhcp": netcfg.Auto, "auto": netcfg.Auto,
}

func interfaceOf(name string, b config.Bridge, isDefault bool) netcfg.Interface {
	i := netcfg.Interface{
		Bridge: name, NIC: b.Port(isDefault), VLAN: b.VLAN, MTU: b.MTU,
		IPv4: netcfg.IPv4{
			Method: methods[b.MethodOf4(isDefault)], Addresses: b.IPv4.Addresses, Gateway: b.IPv4.Gateway,
		},
		IPv6: netcfg.IPv6{
			Method: methods[b.MethodOf6(isDefault)], Addresses: b.IPv6.Addresses, Gateway: b.IPv6.Gateway,
		},
	}
	if mac, err := net.ParseMAC(string(b.MAC)); err == nil {
		i.MAC = mac
	}
	for _, route := range b.Routes {
		i.Routes = append(i.Routes, netcfg.Route{Destination: route.To, Gateway: route.Via})
	}
	return i
}

// privateNetworksOf are the networks inside the host on which dom0 gives addresses away. What a guest has configured is
// nobody else's.
func privateNetworksOf(c *config.Config) []privnet.Options {
	var all []privnet.Options
	for _, name := range bridgesOf(c.Network) {
		p := c.Network.Bridges[name].Private
		if !p.Address.IsValid() {
			continue
		}
		o := privnet.Options{
			Bridge: name, Prefix: p.Address, Domain: p.Domain,
			NoNAT: !config.Is(p.NAT, true), NoDNS: !config.Is(p.DNS, true),
		}
		if first, last, err := config.Range(p.Range); err == nil {
			o.First, o.Last = first, last
		}
		for _, guest := range slices.Sorted(maps.Keys(c.Guests)) {
			n := c.Guests[guest].Network
			for _, address := range append([]netip.Addr{n.Address}, n.Addresses...) {
				if p.Address.Contains(address) {
					o.Reserved = append(o.Reserved, address)
				}
			}
		}
		all = append(all, o)
	}
	return all
}

// fallbacksOf are the networks that guests get on the bridges where dom0 waits for an address from a server. From those
// on the default bridge they reach whatever dom0 reaches. On another bridge they reach one another: who has set it up
// may want to keep them from the rest.
func fallbacksOf(c *config.Config) []privnet.Options {
	if !config.Is(c.Network.Fallback, true) {
		return nil
	}
	var all []privnet.Options
	for _, name := range bridgesOf(c.Network) {
		isDefault := name == c.Network.Default()
		b := c.Network.Bridges[name]
		if b.MethodOf4(isDefault) == "dhcp" && b.Port(isDefault) != config.NoNIC {
			all = append(all, privnet.Options{Bridge: name, NoNAT: !isDefault})
		}
	}
	return all
}
