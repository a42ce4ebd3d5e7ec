package config

import (
	"fmt"
	mathbits "math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// clientPrefix is the address of parts 1 and 4. A netmask may be a length.
func clientPrefix(client, netmask string) (p netip.Prefix, err error) {
	address, length, hasLength := strings.Cut(client, "/")
	if hasLength && netmask == "" {
		netmask = length
	}
	var a netip.Addr
	if err := setAddress(&a, field{}, address); err != nil {
		return p, fmt.Errorf("part 1, the address: %q: %w", shorten(client), err)
	}
	bits, err := maskLength(netmask, a)
	if err != nil {
		return p, fmt.Errorf("part 4, the netmask: %q: %w", shorten(netmask), err)
	}
	if err := setPrefix(&p, field{}, netip.PrefixFrom(a, bits).String()); err != nil {
		return p, fmt.Errorf("part 1, the address: %w", err)
	}
	return p, nil
}

// maskLength reads 24 and 255.255.255.0. An IPv6 address has 64 bits if nothing else is said.
func maskLength(text string, a netip.Addr) (int, error) {
	if text == "" && a.Is6() {
		return 64, nil
	}
	if text == "" {
		return 0, fmt.Errorf("it is missing: 255.255.255.0 or 24, for instance")
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= a.BitLen() {
		return n, nil
	}
	mask, err := netip.ParseAddr(text)
	if err != nil || !mask.Is4() || !a.Is4() {
		return 0, fmt.Errorf("want 255.255.255.0 or 24, for instance")
	}
	bits := 0
	for _, octet := range mask.As4() {
		bits += mathbits.LeadingZeros8(^octet)
	}
	ones := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits)
	if ones.Masked().Addr() != mask {
		return 0, fmt.Errorf("a netmask has all its ones first")
	}
	return bits, nil
}

// addStatic gives a bridge one more address.
func (b *Bridge) addStatic(p netip.Prefix, gateway string) error {
	var via netip.Addr
	if gateway != "" {
		if err := setAddress(&via, field{}, gateway); err != nil || via.Is4() != p.Addr().Is4() {
			return fmt.Errorf("part 3, the gateway: %q: want an address of the same kind as part 1", shorten(gateway))
		}
		if via == p.Addr() {
			return fmt.Errorf("part 1, the address, and part 3, the gateway, are both %s; "+
				"give this machine an address of its own, or correct the gateway", via)
		}
	}
	if p.Addr().Is4() {
		b.IPv4.Method, b.IPv4.Addresses = "static", append(b.IPv4.Addresses, p)
		if via.IsValid() {
			b.IPv4.Gateway = via
		}
		return nil
	}
	b.IPv6.Method, b.IPv6.Addresses = "static", append(b.IPv6.Addresses, p)
	if via.IsValid() {
		b.IPv6.Gateway = via
	}
	return nil
}
