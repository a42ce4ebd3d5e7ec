package config

import (
	"net/netip"

	"github.com/zerodisc/zerodisc/boot"
)

// Network is the networks of dom0 and its guests.
type Network struct {
	DefaultBridge string            `yaml:"default-bridge" format:"interface"`
	Fallback      *bool             `yaml:"fallback"`
	Bonds         map[string]Bond   `yaml:"bonds" key:"interface"`
	Bridges       map[string]Bridge `yaml:"bridges" key:"interface"`
}

// Bond is several network cards that work as one (Linux, Documentation/networking/bonding.rst).
type Bond struct {
	NICs    []string          `yaml:"nics" format:"nic" required:"yes"`
	Mode    string            `yaml:"mode" format:"bond-mode"`
	Options map[string]string `yaml:"options" key:"bond-option" format:"bond-value"`
	MTU     int               `yaml:"mtu" min:"576" max:"9216"`
}

// Bridge is a network that guests are attached to.
type Bridge struct {
	NIC     string         `yaml:"nic" format:"nic"`
	VLAN    int            `yaml:"vlan" min:"1" max:"4094"`
	MAC     MAC            `yaml:"mac"`
	MTU     int            `yaml:"mtu" min:"576" max:"9216"`
	IPv4    IPv4           `yaml:"ipv4"`
	IPv6    IPv6           `yaml:"ipv6"`
	Routes  []Route        `yaml:"routes"`
	Private PrivateNetwork `yaml:"private"`
}

// IPv4 is dom0's IPv4 on a bridge.
type IPv4 struct {
	Method    string         `yaml:"method" enum:"dhcp,static,none"`
	Addresses []netip.Prefix `yaml:"addresses" format:"prefix4"`
	Gateway   netip.Addr     `yaml:"gateway" format:"address4"`
}

// IPv6 is dom0's IPv6 on a bridge.
type IPv6 struct {
	Method    string         `yaml:"method" enum:"auto,static,none"`
	Addresses []netip.Prefix `yaml:"addresses" format:"prefix6"`
	Gateway   netip.Addr     `yaml:"gateway" format:"address6"`
}

// Route is a route to another network.
type Route struct {
	To  netip.Prefix `yaml:"to" format:"network" required:"yes"`
	Via netip.Addr   `yaml:"via" required:"yes"`
}

// PrivateNetwork is a network inside the host, on which dom0 gives addresses away.
type PrivateNetwork struct {
	Address netip.Prefix `yaml:"address" format:"prefix4"`
	Range   string       `yaml:"range" format:"range"`
	NAT     *bool        `yaml:"nat"`
	DNS     *bool        `yaml:"dns"`
	Domain  string       `yaml:"domain" format:"domain"`
}

// MethodOf4 is how a bridge gets its IPv4 addresses: "dhcp", "static" or "none".
func (b Bridge) MethodOf4(isDefault bool) string {
	return methodOf(b.IPv4.Method, len(b.IPv4.Addresses), isDefault && b.Port(true) != NoNIC, "dhcp")
}

// MethodOf6 is how a bridge gets its IPv6 addresses: "auto", "static" or "none".
func (b Bridge) MethodOf6(isDefault bool) string {
	return methodOf(b.IPv6.Method, len(b.IPv6.Addresses), isDefault && b.Port(true) != NoNIC, "auto")
}

func methodOf(given string, addresses int, isDefault bool, usual string) string {
	switch {
	case given != "":
		return given
	case addresses > 0:
		return "static"
	case isDefault:
		return usual
	}
	return "none"
}

// The values of Bridge.NIC that name no network card.
const (
	AutoNIC = "auto"
	NoNIC   = "none"
)

// Port is what a bridge lies over: AutoNIC, NoNIC, or a network card or bond.
func (b Bridge) Port(isDefault bool) string {
	switch {
	case b.NIC != "":
		return b.NIC
	case isDefault && !b.IsPrivate():
		return AutoNIC
	}
	return NoNIC
}

// IsPrivate says whether dom0 gives addresses away on the bridge.
func (b Bridge) IsPrivate() bool { return b.Private.Address.IsValid() }

// Default is the name of the bridge for guests that name none.
func (n Network) Default() string {
	if n.DefaultBridge == "" {
		return boot.DefaultBridge
	}
	return n.DefaultBridge
}
