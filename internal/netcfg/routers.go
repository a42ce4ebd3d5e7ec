package netcfg

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// Routers is what routers have advertised on a link and what still holds of it. The zero value knows of none.
type Routers struct {
	routers  []router
	prefixes []prefix
	routes   []advertedRoute
	dns      []advertedDNS
}

type router struct {
	address        netip.Addr
	heard          time.Time
	expires        time.Time // as a default router
	preference     int
	managed, other bool
}

type prefix struct {
	prefix             netip.Prefix
	onLink, autonomous bool
	expires, preferred time.Time // zero: never
}

type advertedRoute struct {
	router     netip.Addr
	prefix     netip.Prefix
	preference int
	expires    time.Time
}

type advertedDNS struct {
	server  netip.Addr // else invalid, and domain counts
	domain  string
	expires time.Time
}

// maxHeard limits each list, whoever fills it.
const maxHeard = 64

// Hear takes what a router says.
func (r *Routers) Hear(a Advert, now time.Time) {
	r.forget(now)
	r.routers = note(r.routers, router{a.Router, now, now.Add(a.Lifetime), a.Preference, a.Managed, a.Other},
		func(old router) bool { return old.address == a.Router })
	for _, p := range a.Prefixes {
		r.hearPrefix(p, now)
	}
	for _, route := range a.Routes {
		r.routes = note(r.routes, advertedRoute{a.Router, route.Prefix, route.Preference, after(now, route.Lifetime)},
			func(old advertedRoute) bool { return old.router == a.Router && old.prefix == route.Prefix })
	}
	for _, dns := range a.DNS {
		for _, server := range dns.Servers {
			r.hearDNS(advertedDNS{server: server, expires: after(now, dns.Lifetime)})
		}
		for _, domain := range dns.Search {
			r.hearDNS(advertedDNS{domain: domain, expires: after(now, dns.Lifetime)})
		}
	}
	r.forget(now)
}

// note puts an entry in the place of the one that fits, or behind the others if there is room.
func note[T any](list []T, entry T, fits func(T) bool) []T {
	if i := slices.IndexFunc(list, fits); i >= 0 {
		list[i] = entry
		return list
	}
	if len(list) >= maxHeard {
		return list
	}
	return append(list, entry)
}

func (r *Routers) hearDNS(entry advertedDNS) {
	r.dns = note(r.dns, entry, func(old advertedDNS) bool {
		return old.server == entry.server && old.domain == entry.domain
	})
}

// shortest is the remaining life that nobody can take from an address: RFC 4862, section 5.5.3, e, holds that
// against forged advertisements.
const shortest = 2 * time.Hour

func (r *Routers) hearPrefix(p AdvertPrefix, now time.Time) {
	entry := prefix{p.Prefix, p.OnLink, p.Autonomous, after(now, p.Valid), after(now, p.Preferred)}
	i := slices.IndexFunc(r.prefixes, func(old prefix) bool { return old.prefix == p.Prefix })
	if i >= 0 && p.Autonomous {
		entry.expires = adjusted(r.prefixes[i].expires, p.Valid, now)
	}
	r.prefixes = note(r.prefixes, entry, func(old prefix) bool { return old.prefix == p.Prefix })
}

// adjusted is the end of an address's life after it was advertised with another.
func adjusted(expires time.Time, valid time.Duration, now time.Time) time.Time {
	left := Forever
	if !expires.IsZero() {
		left = expires.Sub(now)
	}
	switch {
	case valid > shortest || valid > left:
		return after(now, valid)
	case left <= shortest:
		return expires
	default:
		return now.Add(shortest)
	}
}

// after is the moment that a lifetime ends, zero if it never does.
func after(now time.Time, lifetime time.Duration) time.Time {
	if lifetime == Forever {
		return time.Time{}
	}
	return now.Add(lifetime)
}

func isOverAt(expires, now time.Time) bool { return !expires.IsZero() && !now.Before(expires) }

// longestLifetime is that of a default router, in an advertisement (RFC 4861, section 6.2.1: AdvDefaultLifetime). One
// that says nothing for as long has gone.
const longestLifetime = 9000 * time.Second

// forget drops what has expired. A router that is no default router stays known for what it says about DHCPv6, as long
// as it goes on saying it.
func (r *Routers) forget(now time.Time) {
	r.routers = slices.DeleteFunc(r.routers, func(other router) bool {
		return isOverAt(other.expires, now) && now.Sub(other.heard) >= longestLifetime
	})
	r.prefixes = slices.DeleteFunc(r.prefixes, func(p prefix) bool { return isOverAt(p.expires, now) })
	r.routes = slices.DeleteFunc(r.routes, func(a advertedRoute) bool { return isOverAt(a.expires, now) })
	r.dns = slices.DeleteFunc(r.dns, func(d advertedDNS) bool { return isOverAt(d.expires, now) })
}

// Config is what a host with the given MAC makes of it at a moment, without the addresses that are taken.
func (r Routers) Config(now time.Time, mac net.HardwareAddr, taken []netip.Addr) Config {
	var c Config
	for _, p := range r.prefixes {
		if isOverAt(p.expires, now) {
			continue
		}
		if p.onLink {
			c.Routes = append(c.Routes, Route{Destination: p.prefix, Metric: metric6})
		}
		address, ok := p.address(mac)
		if !ok || slices.Contains(taken, address.Addr()) {
			continue
		}
		c.Addresses = append(c.Addresses, Address{
			Prefix: address, Expires: p.expires, Preferred: p.preferred, By: ByRA, NoRoute: true,
		})
	}
	for _, router := range r.routers {
		if !isOverAt(router.expires, now) {
			c.Routes = append(c.Routes, Route{
				Destination: netip.PrefixFrom(netip.IPv6Unspecified(), 0),
				Gateway:     router.address, Metric: metric6 + 1 - router.preference,
			})
		}
	}
	for _, route := range r.routes {
		if !isOverAt(route.expires, now) {
			c.Routes = append(c.Routes, Route{
				Destination: route.prefix, Gateway: route.router, Metric: metric6 + 1 - route.preference,
			})
		}
	}
	return c
}

// address is the one that a host makes of the prefix, if hosts are to make any: only of 64 bits there is a way.
func (p prefix) address(mac net.HardwareAddr) (netip.Prefix, bool) {
	if !p.autonomous || p.prefix.Bits() != 64 || len(mac) != 6 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(fromMAC(p.prefix, mac), 64), true
}

// Services returns the name servers and domains. Link-local servers are reached by the interface.
func (r Routers) Services(now time.Time, ifname string) Services {
	var s Services
	for _, dns := range r.dns {
		switch {
		case isOverAt(dns.expires, now):
		case dns.domain != "":
			s.Search = append(s.Search, dns.domain)
		case dns.server.IsLinkLocalUnicast():
			s.DNS = append(s.DNS, dns.server.WithZone(ifname))
		default:
			s.DNS = append(s.DNS, dns.server)
		}
	}
	return s
}

// asks6 is how much of DHCPv6 a link has.
type asks6 int

const (
	noDHCPv6 asks6 = iota
	statelessDHCPv6
	statefulDHCPv6
)

// DHCPv6 says how much of it some router asks for.
func (r Routers) dhcp6() asks6 {
	asks := noDHCPv6
	for _, router := range r.routers {
		switch {
		case router.managed:
			return statefulDHCPv6
		case router.other:
			asks = statelessDHCPv6
		}
	}
	return asks
}

// next is when the first thing expires, zero if nothing does.
func (r Routers) next(now time.Time) time.Time {
	var first time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, p := range r.prefixes {
		consider(p.expires)
	}
	for _, router := range r.routers {
		consider(router.expires)
	}
	for _, route := range r.routes {
		consider(route.expires)
	}
	for _, dns := range r.dns {
		consider(dns.expires)
	}
	return first
}
