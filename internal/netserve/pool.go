package netserve

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	leaseTime = time.Hour
	offerTime = time.Minute // how long an offered address is kept for its client
)

// hardware is the Ethernet address that a lease belongs to. It stays the same from firmware to
// boot loader to operating system, which client identifiers do not.
type hardware [6]byte

// pool is a range of addresses and who has them. It has one owner and no lock.
type pool struct {
	first, last netip.Addr
	self        netip.Addr // this server's own, never leased
	leases      map[netip.Addr]lease
}

// lease is an address given away. One that a client found in use by somebody else has no owner.
type lease struct {
	owner hardware
	until time.Time
}

// parseRange reads "FIRST-LAST", both within the interface's network. No text: no pool, no error.
func parseRange(text string, network netip.Prefix) (*pool, error) {
	if text == "" {
		return nil, nil
	}
	from, to, found := strings.Cut(text, "-")
	first, err := netip.ParseAddr(strings.TrimSpace(from))
	last, err2 := netip.ParseAddr(strings.TrimSpace(to))
	if !found || err != nil || err2 != nil {
		return nil, fmt.Errorf("range %q: want two addresses, as in 192.168.7.100-192.168.7.200", text)
	}
	inside := network.Contains(first) && first != network.Masked().Addr() &&
		network.Contains(last) && network.Contains(last.Next()) // else it is the broadcast address
	if !inside || last.Less(first) {
		return nil, fmt.Errorf("range %s: want a lower and a higher address within the interface's network %s",
			text, network.Masked())
	}
	return &pool{first: first, last: last, self: network.Addr(), leases: map[netip.Addr]lease{}}, nil
}

func (p *pool) String() string { return fmt.Sprintf("%s to %s", p.first, p.last) }

// offer keeps an address for a client: the one it has, else the one it wants, else the first that
// is free.
func (p *pool) offer(client hardware, wanted netip.Addr, now time.Time) (netip.Addr, bool) {
	address, ok := p.find(client, wanted, now)
	if ok && p.leases[address].until.Before(now.Add(offerTime)) {
		p.leases[address] = lease{client, now.Add(offerTime)}
	}
	return address, ok
}

func (p *pool) find(client hardware, wanted netip.Addr, now time.Time) (netip.Addr, bool) {
	if address, ok := p.record(client); ok {
		return address, true
	}
	if p.mayHave(client, wanted, now) {
		return wanted, true
	}
	for address := p.first; p.contains(address); address = address.Next() {
		if p.mayHave(client, address, now) {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// record returns the address that a client has, or had, from here.
func (p *pool) record(client hardware) (address netip.Addr, ok bool) {
	for address, lease := range p.leases {
		if lease.owner == client {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// grant leases an address, if the client may have it: one that is free too.
func (p *pool) grant(client hardware, address netip.Addr, now time.Time) bool {
	if !p.mayHave(client, address, now) {
		return false
	}
	for other, lease := range p.leases {
		if lease.owner == client && other != address {
			delete(p.leases, other)
		}
	}
	p.leases[address] = lease{client, now.Add(leaseTime)}
	return true
}

// release ends a client's lease.
func (p *pool) release(client hardware, address netip.Addr) {
	if p.leases[address].owner == client {
		delete(p.leases, address)
	}
}

// decline takes out of use an address that a client found to be somebody else's.
func (p *pool) decline(client hardware, address netip.Addr, now time.Time) {
	if held, ok := p.leases[address]; ok && held.owner == client {
		p.leases[address] = lease{until: now.Add(leaseTime)}
	}
}

// mayHave says whether an address is in the range and nobody else's.
func (p *pool) mayHave(client hardware, address netip.Addr, now time.Time) bool {
	held, taken := p.leases[address]
	return p.contains(address) && (!taken || held.owner == client || held.until.Before(now))
}

// contains says whether an address is one to be leased.
func (p *pool) contains(address netip.Addr) bool {
	return address.IsValid() && !address.Less(p.first) && !p.last.Less(address) && address != p.self
}

func mask(network netip.Prefix) net.IPMask { return net.CIDRMask(network.Bits(), 32) }
