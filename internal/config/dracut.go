package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// The parameters of this file are those of dracut.cmdline(7), section Network. dracut configures interfaces; here a
// network card, bond or VLAN with an address gets a bridge over it, which has the address.

// addresses reads ip= and what belongs to it.
type addresses struct {
	*commandLine
	vlans map[string]port // VLANs by name
	owner map[port]string // the bridge over a port
	ports []port          // in the order in which they are named
}

// port is what a bridge is over.
type port struct {
	nic  string
	vlan int
}

func newAddresses(c *commandLine) *addresses {
	return &addresses{commandLine: c, vlans: map[string]port{}, owner: map[port]string{}}
}

// read reads what makes interfaces first, and then what gives them addresses.
func (a *addresses) read() {
	for _, r := range []struct {
		parameter string
		read      func(*addresses, string) error
	}{
		{boot.KeyBond, (*addresses).bond}, {boot.KeyVLAN, (*addresses).vlan}, {boot.KeyPorts, (*addresses).bridge},
		{boot.KeyIP, (*addresses).ip}, {boot.KeyRoute, (*addresses).route},
	} {
		for _, value := range a.values[r.parameter] {
			if err := r.read(a, value); err != nil {
				a.fault(r.parameter, "%q: %v", shorten(value), err)
			}
		}
	}
	a.attachRest()
}

// attachRest puts the default bridge over a VLAN or bond that nothing else uses.
func (a *addresses) attachRest() {
	for _, p := range a.ports {
		if _, used := a.owner[p]; !used && a.config(a.defaultBridge()).NIC == "" {
			a.attach(a.defaultBridge(), p)
		}
	}
}

// splitColons cuts a value at colons outside of brackets, and takes those away.
func splitColons(value string) ([]string, error) {
	var parts []string
	var b strings.Builder
	depth := 0
	for _, r := range value {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ':' && depth == 0:
			parts = append(parts, b.String())
			b.Reset()
			continue
		default:
			b.WriteRune(r)
		}
		if depth < 0 || depth > 1 {
			break
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("a bracket is not closed; an IPv6 address is written as [2001:db8::5]")
	}
	return append(parts, b.String()), nil
}

// methods are ways to get an address by themselves, and what they are here.
var methods = map[string]struct{ v4, v6 string }{
	"dhcp": {v4: "dhcp"}, "on": {"dhcp", "auto"}, "any": {"dhcp", "auto"}, "both": {"dhcp", "auto"},
	"dhcp4": {v4: "dhcp"}, "dhcp6": {v6: "auto"}, "auto6": {v6: "auto"}, "either6": {v6: "auto"},
	"off": {"none", "none"}, "none": {"none", "none"},
}

// unsupported are methods that other systems have.
var unsupported = map[string]string{
	"link6":      "addresses of the link alone are not supported",
	"link-local": "addresses of the link alone are not supported",
	"ibft":       "addresses from iBFT are not supported; write them here", "bootp": "BOOTP is not supported; use dhcp",
	"rarp": "RARP is not supported; use dhcp", "ipxe": "it is not supported; use dhcp",
}

// ip reads the three forms: METHOD, INTERFACE:METHOD[:[MTU][:MAC]], and
// CLIENT:[PEER]:GATEWAY:NETMASK:HOSTNAME:INTERFACE:METHOD[:[MTU][:MAC] or :[DNS1][:DNS2]].
func (a *addresses) ip(value string) error {
	parts, err := splitColons(value)
	if err != nil {
		return err
	}
	isMethod := func(i int) bool {
		_, known := methods[parts[i]]
		return known || unsupported[parts[i]] != ""
	}
	switch {
	case len(parts) == 1:
		return a.dynamic("", parts[0], nil)
	case parts[0] != "" && isMethod(1):
		return a.dynamic(parts[0], parts[1], parts[2:])
	case len(parts) >= 4:
		return a.static(parts)
	}
	return fmt.Errorf("want METHOD, INTERFACE:METHOD, or CLIENT:PEER:GATEWAY:NETMASK:HOSTNAME:INTERFACE:METHOD")
}

// dynamic gives an interface a method.
func (a *addresses) dynamic(name, method string, rest []string) error {
	m, known := methods[method]
	if text := unsupported[method]; text != "" {
		return fmt.Errorf("%s: %s", method, text)
	}
	if !known {
		return fmt.Errorf("%q is no method%s", method, suggest(method, sorted(methods)))
	}
	bridge, err := a.bridgeFor(name)
	if err != nil {
		return err
	}
	b := a.config(bridge)
	if m.v4 != "" && b.IPv4.Method != "static" {
		b.IPv4.Method = m.v4
	}
	if m.v6 != "" && b.IPv6.Method != "static" {
		b.IPv6.Method = m.v6
	}
	if m.v4 == "" && b.IPv4.Method == "" {
		b.IPv4.Method = "none"
	}
	if err := b.link(rest); err != nil {
		return err
	}
	a.keep(bridge, b)
	return nil
}

// link reads [MTU][:MAC].
func (b *Bridge) link(rest []string) error {
	if len(rest) > 0 && rest[0] != "" {
		n, err := strconv.Atoi(rest[0])
		if err != nil || n < 576 || n > 9216 {
			return fmt.Errorf("MTU %q: want a number from 576 to 9216", shorten(rest[0]))
		}
		b.MTU = n
	}
	if mac := strings.Join(rest[min(1, len(rest)):], ":"); mac != "" {
		if err := b.MAC.UnmarshalText([]byte(mac)); err != nil {
			return fmt.Errorf("MAC address %q: %w", shorten(mac), err)
		}
	}
	return nil
}

// Places of the parts of the third form.
const (
	partClient = iota
	partPeer
	partGateway
	partNetmask
	partHostname
	partInterface
	partMethod
	partRest
)

// static reads the third form. What stands behind the parts that are there is as if it were empty.
func (a *addresses) static(parts []string) error {
	parts = append(parts, make([]string, max(0, partRest-len(parts)))...)
	method, rest := parts[partMethod], parts[partRest:]
	if text := unsupported[method]; text != "" {
		return fmt.Errorf("%s: %s", method, text)
	}
	if _, known := methods[method]; !known && method != "" && method != "static" {
		return fmt.Errorf("part 7, the method: %q%s", method, suggest(method, sorted(methods)))
	}
	if parts[partPeer] != "" {
		return fmt.Errorf("part 2, the other end of a point-to-point link, is not supported; leave it empty")
	}
	if host := parts[partHostname]; host != "" {
		if err := formats["hostname"].check(host); err != nil {
			return fmt.Errorf("part 5, the host name: %q: %w", shorten(host), err)
		}
		a.Config.Hostname = host
	}
	if parts[partClient] == "" {
		return a.dynamic(parts[partInterface], method, rest)
	}
	prefix, err := clientPrefix(parts[partClient], parts[partNetmask])
	if err != nil {
		return err
	}
	bridge, err := a.bridgeFor(parts[partInterface])
	if err != nil {
		return err
	}
	b := a.config(bridge)
	if err := b.addStatic(prefix, parts[partGateway]); err != nil {
		return err
	}
	if len(rest) > 0 && isAddress(rest[0]) {
		err = a.nameServers(rest)
	} else {
		err = b.link(rest)
	}
	if err == nil {
		a.keep(bridge, b)
	}
	return err
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// nameServers reads [DNS1][:DNS2].
func (a *addresses) nameServers(list []string) error {
	for i, text := range list {
		if text == "" {
			continue
		}
		if !isAddress(text) {
			return fmt.Errorf("part %d, a name server: %q: %w", partRest+1+i, shorten(text), errAddress)
		}
		a.Config.DNS.Servers = append(a.Config.DNS.Servers, text)
	}
	return nil
}

// route reads NETWORK/LENGTH:GATEWAY[:INTERFACE].
func (a *addresses) route(value string) error {
	parts, err := splitColons(value)
	if err != nil {
		return err
	}
	if len(parts) < 2 || len(parts) > 3 {
		return fmt.Errorf("want NETWORK/LENGTH:GATEWAY or NETWORK/LENGTH:GATEWAY:INTERFACE")
	}
	var r Route
	if err := setPrefix(&r.To, field{tag: `format:"network"`}, parts[0]); err != nil {
		return fmt.Errorf("part 1, the network: %w", err)
	}
	if err := setAddress(&r.Via, field{}, parts[1]); err != nil {
		return fmt.Errorf("part 2, the gateway: %w", err)
	}
	bridge, err := a.bridgeFor(append(parts, "")[2])
	if err != nil {
		return err
	}
	b := a.config(bridge)
	b.Routes = append(b.Routes, r)
	a.keep(bridge, b)
	return nil
}
