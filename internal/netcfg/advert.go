package netcfg

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Advert is what a router's advertisement says (RFC 4861, section 4.2), as far as this host uses it.
type Advert struct {
	Router     netip.Addr    // its link-local address
	Lifetime   time.Duration // as a default router; 0: it is none
	Preference int           // -1, 0 or 1 (RFC 4191)
	Managed    bool          // DHCPv6 has addresses
	Other      bool          // DHCPv6 has name servers and the like
	Prefixes   []AdvertPrefix
	Routes     []AdvertRoute
	DNS        []AdvertDNS
}

// AdvertPrefix is a prefix information option (RFC 4861, section 4.6.2).
type AdvertPrefix struct {
	Prefix           netip.Prefix // masked
	OnLink           bool
	Autonomous       bool // hosts make addresses of it
	Valid, Preferred time.Duration
}

// AdvertRoute is a route information option (RFC 4191, section 2.3).
type AdvertRoute struct {
	Prefix     netip.Prefix // masked
	Preference int
	Lifetime   time.Duration
}

// AdvertDNS is an option with name servers or domains (RFC 8106).
type AdvertDNS struct {
	Servers  []netip.Addr
	Search   []string
	Lifetime time.Duration
}

// maxAdverted limits each list that an advertisement fills.
const maxAdverted = 16

var errNoAdvert = errors.New("not a router's advertisement")

// Options of neighbour discovery.
const (
	optionPrefix = 3
	optionRoute  = 24
	optionDNS    = 25
	optionSearch = 31
)

// parseAdvert reads an advertisement. Options that make no sense are left out, each by itself.
func parseAdvert(p packet6) (Advert, error) {
	message := p.payload
	if p.next != unix.IPPROTO_ICMPV6 || len(message) < 16 || message[icmp6Type] != routerAdvertisement ||
		message[1] != 0 || p.hops != neighbourHops || !isLinkLocal6(p.source) {
		return Advert{}, errNoAdvert
	}
	flags := message[5]
	advert := Advert{
		Router:     p.source,
		Lifetime:   time.Duration(binary.BigEndian.Uint16(message[6:])) * time.Second,
		Preference: preference(flags),
		Managed:    flags&0x80 != 0,
		Other:      flags&0x40 != 0,
	}
	for rest := message[16:]; len(rest) > 0; {
		length := 0
		if len(rest) > 1 {
			length = int(rest[1]) * 8
		}
		if length == 0 || length > len(rest) {
			return Advert{}, errNoAdvert // RFC 4861, section 6.1.2
		}
		advert.addOption(rest[0], rest[:length])
		rest = rest[length:]
	}
	return advert, nil
}

func (a *Advert) addOption(kind byte, option []byte) {
	switch {
	case kind == optionPrefix && len(option) == 32 && len(a.Prefixes) < maxAdverted:
		if prefix, ok := parsePrefix(option); ok {
			a.Prefixes = append(a.Prefixes, prefix)
		}
	case kind == optionRoute && len(a.Routes) < maxAdverted:
		if route, ok := parseRoute(option); ok {
			a.Routes = append(a.Routes, route)
		}
	case kind == optionDNS && len(option) >= 24 && len(a.DNS) < maxAdverted:
		a.DNS = append(a.DNS, parseServers(option))
	case kind == optionSearch && len(option) >= 16 && len(a.DNS) < maxAdverted:
		a.DNS = append(a.DNS, AdvertDNS{Search: parseNames(option[8:]), Lifetime: lifetime(option[4:])})
	}
}

// preference reads a router's or route's preference. The reserved value counts as medium for a router.
func preference(flags byte) int {
	switch flags >> 3 & 3 {
	case 1:
		return 1
	case 3:
		return -1
	}
	return 0
}

// lifetime reads 32 bits of seconds; all of them set is for ever.
func lifetime(data []byte) time.Duration {
	seconds := binary.BigEndian.Uint32(data)
	if seconds == math.MaxUint32 {
		return Forever
	}
	return time.Duration(seconds) * time.Second
}

// parsePrefix reads option 3. A link-local prefix is ignored, as RFC 4862, section 5.5.3, demands.
func parsePrefix(option []byte) (AdvertPrefix, bool) {
	prefix, ok := prefix6(option[16:32], option[2])
	p := AdvertPrefix{
		Prefix: prefix, OnLink: option[3]&0x80 != 0, Autonomous: option[3]&0x40 != 0,
		Valid: lifetime(option[4:]), Preferred: lifetime(option[8:]),
	}
	return p, ok && p.Preferred <= p.Valid && prefix.Bits() > 0 && isHost6(prefix.Addr())
}

// parseRoute reads option 24, whose prefix may be cut short. One with a reserved preference is ignored.
func parseRoute(option []byte) (AdvertRoute, bool) {
	if len(option) > 24 || option[3]>>3&3 == 2 || int(option[2]) > 8*(len(option)-8) {
		return AdvertRoute{}, false
	}
	var bytes [16]byte
	copy(bytes[:], option[8:])
	prefix, ok := prefix6(bytes[:], option[2])
	return AdvertRoute{Prefix: prefix, Preference: preference(option[3]), Lifetime: lifetime(option[4:])}, ok
}

func prefix6(address []byte, bits byte) (netip.Prefix, bool) {
	prefix, err := netip.AddrFrom16([16]byte(address)).Prefix(int(bits))
	return prefix, err == nil
}

// parseServers reads option 25.
func parseServers(option []byte) AdvertDNS {
	dns := AdvertDNS{Lifetime: lifetime(option[4:])}
	for data := option[8:]; len(data) >= 16 && len(dns.Servers) < maxAdverted; data = data[16:] {
		if server := netip.AddrFrom16([16]byte(data)); isHost6(server) || isLinkLocal6(server) {
			dns.Servers = append(dns.Servers, server)
		}
	}
	return dns
}

// parseNames reads domain names (RFC 1035, section 3.1, without compression) with zeros after them. What is no domain
// name is dropped: these bytes end up as lines of resolv.conf.
func parseNames(data []byte) []string {
	var names []string
	var labels []string
	for len(data) > 0 && len(names) < maxAdverted {
		length := int(data[0])
		if length == 0 {
			if name := strings.Join(labels, "."); isDomain(name) {
				names = append(names, name)
			}
			labels, data = nil, data[1:]
			continue
		}
		if length > 63 || length >= len(data) {
			return names
		}
		labels = append(labels, string(data[1:1+length]))
		data = data[1+length:]
	}
	return names
}
