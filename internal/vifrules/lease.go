package vifrules

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
)

// maxLeases bounds the addresses that are remembered for guests that are gone.
const maxLeases = 4096

// assign gives each vif on a private bridge its address: the one configured, else the one that its MAC had before,
// else one that follows from its MAC, so that it is mostly the same after a reboot of the host too.
func (c *Config) assign(vifs []Vif) {
	if c.Leases == nil {
		c.Leases = map[string]netip.Addr{}
	}
	taken, later := c.fixed(), []int(nil)
	for i := range vifs {
		vifs[i].Lease = c.kept(vifs[i], taken)
		if vifs[i].Lease.IsValid() {
			taken[vifs[i].Lease] = true
		} else {
			later = append(later, i)
		}
	}
	for _, i := range later { // none of them may take what another one has
		if p, ok := c.private(vifs[i].Bridge); ok {
			vifs[i].Lease = c.newLease(vifs[i], p, taken)
			taken[vifs[i].Lease] = true
		}
	}
	c.forgetLeases(vifs)
}

// fixed are the addresses that the configuration has given to guests.
func (c *Config) fixed() map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for _, guest := range c.Guests {
		for _, address := range guest.Addresses {
			taken[address] = true
		}
	}
	return taken
}

// kept returns the address that a vif has by its configuration or had before; not valid: none.
func (c *Config) kept(v Vif, taken map[netip.Addr]bool) netip.Addr {
	p, ok := c.private(v.Bridge)
	if !ok {
		return netip.Addr{}
	}
	for _, address := range c.Guests[v.UUID].Addresses {
		if p.Prefix.Contains(address) {
			return address
		}
	}
	if old, ok := c.Leases[v.MAC]; ok && p.gives(old) && !taken[old] {
		return old
	}
	return netip.Addr{}
}

// newLease returns an address for a vif that had none; not valid: all are taken. Guests that are switched off shall
// have theirs again, unless there is no other.
func (c *Config) newLease(v Vif, p Private, taken map[netip.Addr]bool) netip.Addr {
	reserved := maps.Clone(taken)
	for _, other := range c.Leases {
		reserved[other] = true
	}
	address := probe(p, v.MAC, reserved)
	if !address.IsValid() {
		address = probe(p, v.MAC, taken)
	}
	if address.IsValid() {
		c.Leases[v.MAC] = address
	}
	return address
}

// maxProbes bounds the search in a large subnet. 16 bits of hosts are searched through.
const maxProbes = 1 << 16

// probe looks for a free address of a private network, from one on that follows from the MAC.
func probe(p Private, mac string, taken map[netip.Addr]bool) netip.Addr {
	hash := fnv.New32a()
	hash.Write([]byte(mac))
	first := number(p.Prefix.Masked().Addr())
	size := uint32(1) << min(32-p.Prefix.Bits(), 31)
	if p.First.IsValid() && p.Last.IsValid() {
		first, size = number(p.First), number(p.Last)-number(p.First)+1
	}
	for i := range min(size, maxProbes) {
		var bytes [4]byte
		binary.BigEndian.PutUint32(bytes[:], first+(hash.Sum32()+i)%size)
		if address := netip.AddrFrom4(bytes); p.gives(address) && !taken[address] {
			return address
		}
	}
	return netip.Addr{}
}

func number(address netip.Addr) uint32 { return binary.BigEndian.Uint32(address.AsSlice()) }

// usable says whether an address of the subnet is neither its first, its last nor dom0's.
func usable(subnet netip.Prefix, address netip.Addr) bool {
	return subnet.Contains(address) && subnet.Contains(address.Next()) && subnet.Contains(address.Prev()) &&
		address != subnet.Addr()
}

// forgetLeases drops what is remembered of MACs that are not here, once that is too much.
func (c *Config) forgetLeases(vifs []Vif) {
	if len(c.Leases) <= maxLeases {
		return
	}
	for mac := range c.Leases {
		if !slices.ContainsFunc(vifs, func(v Vif) bool { return v.MAC == mac }) {
			delete(c.Leases, mac)
		}
	}
}
