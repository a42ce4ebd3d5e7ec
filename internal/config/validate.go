package config

import (
	"net/netip"
	"slices"
	"strings"
)

// Validate checks what only several keys together say. It takes out of c what has a problem, so that the rest can be
// applied. Names are gone through in their order: of two that clash the second is left out.
func Validate(c *Config) []Problem {
	v := &validator{
		c: c, used: map[string]string{}, vlans: map[string]string{}, hosts: map[netip.Addr]string{},
		macs: map[MAC]string{},
	}
	c.Stores.URLs = v.stores(c.Stores.URLs)
	for _, name := range sorted(c.Network.Bonds) {
		v.bond(name)
	}
	for _, name := range sorted(c.Network.Bridges) {
		b, ok := v.bridge(name, c.Network.Bridges[name])
		if !ok {
			delete(c.Network.Bridges, name)
			continue
		}
		c.Network.Bridges[name] = b
	}
	for _, name := range sorted(c.Guests) {
		c.Guests[name] = v.guest(name, c.Guests[name])
	}
	return v.list
}

// validator remembers what is taken, and the key that took it.
type validator struct {
	c *Config
	problems
	used    map[string]string // network cards and bonds
	vlans   map[string]string // the same with a VLAN
	hosts   map[netip.Addr]string
	macs    map[MAC]string
	nets    []taken  // of private networks
	gateway []string // keys of the gateways so far
}

type taken struct {
	network netip.Prefix
	key     string
}

// stores leaves out stores that have a sum which nothing could be compared with.
func (v *validator) stores(stores []Store) []Store {
	return slices.DeleteFunc(slices.Clone(stores), func(s Store) bool {
		bad := s.SHA256 != "" && strings.HasPrefix(s.URL, "nfs:")
		if bad {
			v.fault("stores.urls", "%s has no SHA256SUMS that sha256 could be of; it is left out", s.URL)
		}
		return bad
	})
}

func (v *validator) fault(key, format string, args ...any) { v.add(0, 0, key, format, args...) }

// take claims something for a key; false, with the problem told, where another key has it.
func take[K comparable](v *validator, m map[K]string, what K, key, format string, args ...any) bool {
	if other, clash := m[what]; clash {
		v.fault(key, format+" (in %s already)", append(args, other)...)
		return false
	}
	m[what] = key
	return true
}

// host claims an address.
func (v *validator) host(key string, a netip.Addr) bool {
	return take(v, v.hosts, a, key, "%s is given twice; it is left out here", a)
}

// guest returns a guest without what is wrong with it.
func (v *validator) guest(name string, g Guest) Guest {
	key := join("guests", name) + ".network"
	n := &g.Network
	_, known := v.c.Network.Bridges[n.Bridge]
	if n.Bridge != "" && !known && n.Bridge != v.c.Network.Default() {
		bridges := append(sorted(v.c.Network.Bridges), v.c.Network.Default())
		v.fault(key+".bridge", "there is no bridge %q%s", n.Bridge, suggest(n.Bridge, bridges))
		n.Bridge = ""
	}
	private := v.c.Network.Bridges[n.Bridge].Private.Address
	if n.VLAN != 0 && private.IsValid() {
		v.fault(key+".vlan", "bridge %s is private, and has no VLANs; it is left out", n.Bridge)
		n.VLAN = 0
	}
	if n.MAC != "" && !take(v, v.macs, n.MAC, key+".mac", "%s is given twice; it is left out here", n.MAC) {
		n.MAC = ""
	}
	if n.Address.IsValid() {
		if private.IsValid() && !private.Contains(n.Address) {
			v.fault(key+".address", "%s is not in the network of bridge %s, %s", n.Address, n.Bridge, private.Masked())
			n.Address = netip.Addr{}
		} else if !v.host(key+".address", n.Address) {
			n.Address = netip.Addr{}
		}
	}
	n.Addresses = slices.DeleteFunc(slices.Clone(n.Addresses), func(a netip.Addr) bool {
		return !v.host(key+".addresses", a)
	})
	n.Inbound = v.inbound(key+".inbound", n.Inbound)
	return g
}

// inbound leaves out rules that make no sense. An empty list is one that allows nothing.
func (v *validator) inbound(key string, rules []Inbound) []Inbound {
	return slices.DeleteFunc(slices.Clone(rules), func(r Inbound) bool {
		bad := r.Ports != "" && r.Protocol != "tcp" && r.Protocol != "udp"
		if bad {
			v.fault(key, "%s has no ports; the rule is left out", r.Protocol)
		}
		return bad
	})
}

// Check is everything that is wrong with a file, in the order of its lines.
func (f File) Check() []Problem {
	c := Merge(Layer{Config: f.Config}).Config // Validate takes parts away
	list := slices.Clone(f.Problems)
	for _, p := range Validate(&c) {
		at := nearest(f.places, p.Key)
		p.Line, p.Column, p.Source = at.line, at.column, f.source
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b Problem) int { return a.Line - b.Line })
	return list
}

// nearest is the place of a key, or of what it is in.
func nearest(places map[string]place, key string) place {
	for key != "" {
		if at, ok := places[key]; ok {
			return at
		}
		end := len(key) - 1
		for end > 0 && key[end] != '.' {
			end--
		}
		key = key[:end]
	}
	return place{}
}
