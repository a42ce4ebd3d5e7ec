package config

import (
	"net/netip"
	"slices"
	"strconv"
)

func (v *validator) bond(name string) {
	key := join("network.bonds", name)
	bond := v.c.Network.Bonds[name]
	if _, clash := v.c.Network.Bridges[name]; clash {
		v.fault(key, "a bridge has the same name; the bond is left out")
		delete(v.c.Network.Bonds, name)
		return
	}
	bond.NICs = slices.DeleteFunc(slices.Clone(bond.NICs), func(nic string) bool {
		return !take(v, v.used, nic, key+".nics", "%s is in two places; it is left out here", nic)
	})
	if len(bond.NICs) == 0 {
		v.fault(key, "it has no network card; name some in nics")
		delete(v.c.Network.Bonds, name)
		return
	}
	v.c.Network.Bonds[name] = bond
}

// bridge returns a bridge without what is wrong with it, and false where it cannot be made.
func (v *validator) bridge(name string, b Bridge) (Bridge, bool) {
	key := join("network.bridges", name)
	if !v.port(key, name, b) {
		return b, false
	}
	b = v.private(key, b)
	b.IPv4.Addresses, b.IPv4.Gateway = v.apart(key+".ipv4", &b.IPv4.Method, b.IPv4.Addresses, b.IPv4.Gateway)
	b.IPv6.Addresses, b.IPv6.Gateway = v.apart(key+".ipv6", &b.IPv6.Method, b.IPv6.Addresses, b.IPv6.Gateway)
	alone := b.Port(name == v.c.Network.Default()) == NoNIC
	b.IPv4.Method, b.IPv4.Addresses = v.method(key+".ipv4", b.IPv4.Method, b.IPv4.Addresses, alone)
	b.IPv6.Method, b.IPv6.Addresses = v.method(key+".ipv6", b.IPv6.Method, b.IPv6.Addresses, alone)
	b.Routes = v.routes(key+".routes", b.Routes)
	if b.MTU != 0 && b.MTU < minMTU6 && b.MethodOf6(name == v.c.Network.Default()) != "none" {
		v.fault(key+".mtu", "IPv6 needs %d; it is left out (write ipv6: {method: none})", minMTU6)
		b.MTU = 0
	}
	b.IPv4.Gateway = v.checkGateway(key+".ipv4.gateway", b.IPv4.Gateway, b.IPv4.Addresses)
	b.IPv6.Gateway = v.checkGateway(key+".ipv6.gateway", b.IPv6.Gateway, b.IPv6.Addresses)
	return b, true
}

// apart leaves out an address that is the gateway's: with it this machine would answer in place of the router, and cut
// off the whole network. Where that leaves none, the method and the gateway go as well.
func (v *validator) apart(
	key string, method *string, addresses []netip.Prefix, gateway netip.Addr,
) ([]netip.Prefix, netip.Addr) {
	isGateway := func(p netip.Prefix) bool { return p.Addr() == gateway }
	if !slices.ContainsFunc(addresses, isGateway) {
		return addresses, gateway
	}
	const remedy = "give this machine an address of its own, or correct the gateway"
	rest := slices.DeleteFunc(slices.Clone(addresses), isGateway)
	if len(rest) > 0 {
		v.fault(key+".addresses", "%s is the gateway's address; it is left out: %s", gateway, remedy)
		return rest, gateway
	}
	v.fault(key+".addresses", "%s is the gateway's address; both are left out: %s", gateway, remedy)
	*method = ""
	return nil, netip.Addr{}
}

// routes leaves out those whose gateway is of another family than the network.
func (v *validator) routes(key string, routes []Route) []Route {
	return slices.DeleteFunc(slices.Clone(routes), func(r Route) bool {
		bad := r.To.Addr().Is4() != r.Via.Is4()
		if bad {
			v.fault(key, "%s cannot be the gateway to %s; the route is left out", r.Via, r.To)
		}
		return bad
	})
}

// port checks what is attached to a bridge.
func (v *validator) port(key, name string, b Bridge) bool {
	switch nic := b.Port(name == v.c.Network.Default()); {
	case nic == NoNIC && b.VLAN != 0:
		v.fault(key+".vlan", "there is no nic for the VLAN; name one; the bridge is left out")
		return false
	case nic == NoNIC || nic == AutoNIC:
		return true
	case b.NIC == name:
		v.fault(key+".nic", "the bridge has the same name as its network card; the bridge is left out")
		return false
	case b.VLAN != 0:
		if owner, ok := v.used[b.NIC]; ok && v.isBonded(b.NIC) {
			v.fault(key+".nic", "%s belongs to a bond (in %s); the bridge is left out", b.NIC, owner)
			return false
		}
		return take(v, v.vlans, b.NIC+"."+strconv.Itoa(b.VLAN), key+".vlan",
			"VLAN %d of %s is on two bridges; this one is left out", b.VLAN, b.NIC)
	}
	return take(v, v.used, b.NIC, key+".nic", "%s is in two places; the bridge is left out", b.NIC)
}

func (v *validator) isBonded(nic string) bool {
	for _, bond := range v.c.Network.Bonds {
		if slices.Contains(bond.NICs, nic) {
			return true
		}
	}
	return false
}

// private checks a private network. One that cannot be is left out.
func (v *validator) private(key string, b Bridge) Bridge {
	p := b.Private
	key += ".private"
	first, last, err := Range(p.Range)
	switch {
	case p == PrivateNetwork{}:
		return b
	case !p.Address.IsValid():
		v.fault(key, "address is missing; there is no private network")
	case b.NIC != "" && b.NIC != NoNIC:
		v.fault(key, "the bridge has a nic: addresses would be given to machines outside; remove one of the two")
	case p.Address.Bits() > 30 || p.Address.Bits() < 8:
		v.fault(key+".address", "%s has no room for guests, or too much; take a network of /8 to /30", p.Address)
	case len(b.IPv4.Addresses) > 0 || b.IPv4.Method == "dhcp":
		v.fault(key, "the bridge has ipv4 addresses of its own, too; remove them or private")
	case p.Range != "" && (err != nil || !p.Address.Contains(first) || !p.Address.Contains(last)):
		v.fault(key+".range", "%s is not within %s", p.Range, p.Address.Masked())
	case v.overlaps(key, p.Address) || !v.host(key+".address", p.Address.Addr()):
	default:
		return b
	}
	b.Private = PrivateNetwork{}
	return b
}

func (v *validator) overlaps(key string, address netip.Prefix) bool {
	for _, other := range v.nets {
		if other.network.Overlaps(address) {
			v.fault(key+".address", "%s overlaps with %s (in %s already)", address, other.network, other.key)
			return true
		}
	}
	v.nets = append(v.nets, taken{address.Masked(), key})
	return false
}

// method checks that a method and addresses fit together.
func (v *validator) method(
	key, method string, addresses []netip.Prefix, alone bool,
) (string, []netip.Prefix) {
	switch {
	case alone && (method == "dhcp" || method == "auto"):
		v.fault(key+".method", "there is no nic, so that nobody gives addresses; it is left out")
		method = ""
	case method == "static" && len(addresses) == 0:
		v.fault(key, "the method is static, and there are no addresses; method is left out")
		return "", nil
	case method != "" && method != "static" && len(addresses) > 0:
		v.fault(key+".addresses", "the method is %s; addresses are left out (write method: static)", method)
		return method, nil
	}
	return method, slices.DeleteFunc(slices.Clone(addresses), func(p netip.Prefix) bool {
		return !v.host(key+".addresses", p.Addr())
	})
}

// checkGateway wants a gateway that can be reached, and one for each family.
func (v *validator) checkGateway(key string, gateway netip.Addr, addresses []netip.Prefix) netip.Addr {
	isOn := func(p netip.Prefix) bool { return p.Contains(gateway) }
	same := func(other string) bool { return family(other) == family(key) }
	switch {
	case !gateway.IsValid():
		return gateway
	case len(addresses) == 0:
		v.fault(key, "there are no addresses for it; it is left out")
	case !gateway.IsLinkLocalUnicast() && !slices.ContainsFunc(addresses, isOn):
		v.fault(key, "%s is in no network of addresses; it is left out", gateway)
	case slices.ContainsFunc(v.gateway, same):
		v.fault(key, "there is another gateway (%s); it is left out, write routes for other networks",
			v.gateway[slices.IndexFunc(v.gateway, same)])
	default:
		v.gateway = append(v.gateway, key)
		return gateway
	}
	return netip.Addr{}
}

// minMTU6 is that of a link with IPv6 (RFC 8200, section 5).
const minMTU6 = 1280

// family is the end of a gateway's key: "4.gateway" or "6.gateway".
func family(key string) string { return key[len(key)-len("4.gateway"):] }
