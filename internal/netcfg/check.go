package netcfg

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Limits of what can be configured.
const (
	maxIfname = 15    // IFNAMSIZ less the zero
	maxMTU    = 65535 // bytes
	minMTU6   = 1280  // of a link with IPv6 (RFC 8200, section 5)
	maxVLAN   = 4094  // 4095 is reserved (IEEE 802.1Q)
)

// Check returns everything that is wrong with a network, nil if nothing is.
func (n Network) Check() error {
	var problems []error
	for _, bond := range n.Bonds {
		problems = append(problems, bond.check())
	}
	for _, i := range n.Interfaces {
		problems = append(problems, i.check())
	}
	return errors.Join(append(problems, n.checkClashes())...)
}

// checkClashes returns what is named twice.
func (n Network) checkClashes() error {
	var problems []error
	users := map[string]string{} // of names, links and addresses
	claim := func(what, user string) {
		if other, taken := users[what]; taken {
			problems = append(problems, fmt.Errorf("%s: %s is used by %s already", user, what, other))
		}
		users[what] = user
	}
	for _, bond := range n.Bonds {
		claim("the name "+bond.Name, "bond "+bond.Name)
		for _, member := range bond.Members {
			claim("NIC "+member, "bond "+bond.Name)
		}
	}
	for _, i := range n.Interfaces {
		user := "interface " + i.key()
		claim("the name "+i.key(), user)
		if i.NIC != AutoNIC && i.NIC != NoNIC {
			claim("NIC "+i.NIC+vlanSuffix(i.VLAN), user)
		}
		for _, address := range i.statics() {
			claim("address "+address.Addr().String(), user)
		}
	}
	return errors.Join(problems...)
}

// vlanSuffix is what follows the name of a VLAN's NIC.
func vlanSuffix(vlan int) string {
	if vlan == 0 {
		return ""
	}
	return fmt.Sprintf(".%d", vlan)
}

func (b Bond) check() error {
	if err := checkIfname(b.Name); err != nil {
		return fmt.Errorf("bond: %w", err)
	}
	if len(b.Members) == 0 {
		return fmt.Errorf("bond %s: name at least one NIC", b.Name)
	}
	if _, err := parseBond(b); err != nil {
		return err
	}
	if err := checkMTU(b.MTU, minMTU); err != nil {
		return fmt.Errorf("bond %s: %w", b.Name, err)
	}
	return nil
}

func (i Interface) check() error {
	var problems []error
	if i.Bridge != "" {
		problems = append(problems, checkIfname(i.Bridge))
	}
	least := minMTU
	if i.IPv6.Method != None {
		least = minMTU6
	}
	problems = append(problems, checkMTU(i.MTU, least))
	switch {
	case i.NIC == "":
		problems = append(problems, fmt.Errorf("no NIC: give %s, %s, or a NIC's name or MAC", AutoNIC, NoNIC))
	case i.NIC == NoNIC && i.VLAN != 0:
		problems = append(problems, fmt.Errorf("VLAN %d without a NIC", i.VLAN))
	case i.NIC == NoNIC && i.Bridge == "":
		problems = append(problems, errors.New("neither a bridge nor a NIC"))
	case i.NIC == NoNIC && (i.IPv4.Method == Auto || i.IPv6.Method == Auto):
		problems = append(problems, errors.New("without a NIC nobody gives addresses: give static ones, or none"))
	}
	if i.VLAN < 0 || i.VLAN > maxVLAN {
		problems = append(problems, fmt.Errorf("VLAN %d: want 1 to %d", i.VLAN, maxVLAN))
	}
	problems = append(problems, i.checkMAC(), i.checkRoutes(),
		checkStatic("IPv4", i.IPv4.Method, i.IPv4.Addresses, i.IPv4.Gateway, isHost),
		checkStatic("IPv6", i.IPv6.Method, i.IPv6.Addresses, i.IPv6.Gateway, isHost6))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("interface %s: %w", i.key(), err)
	}
	return nil
}

func (i Interface) checkMAC() error {
	switch {
	case i.MAC == nil:
		return nil
	case i.Bridge == "":
		return fmt.Errorf("the MAC %s is for a bridge, and there is none", i.MAC)
	case len(i.MAC) != 6 || i.MAC[0]&1 != 0 || isZero(i.MAC):
		return fmt.Errorf("the MAC %s is not that of one machine", i.MAC)
	}
	return nil
}

func (i Interface) checkRoutes() error {
	for _, r := range i.Routes {
		switch to, via := r.Destination, r.Gateway; {
		case !to.IsValid() || to != to.Masked():
			return fmt.Errorf("route to %s: want the address of a network and its length", to)
		case to.Addr().Is4() != via.Is4() || !isHost(via) && !isHost6(via) && !isLinkLocal6(via):
			return fmt.Errorf("route to %s: %s cannot be its gateway", to, via)
		}
	}
	return nil
}

// checkStatic checks the static addresses and the gateway of one family.
func checkStatic(
	family string, method Method, addresses []netip.Prefix, gateway netip.Addr, usable func(netip.Addr) bool,
) error {
	if method != Static {
		if len(addresses) > 0 || gateway.IsValid() {
			return fmt.Errorf("%s: addresses and gateways belong to the method static", family)
		}
		return nil
	}
	if len(addresses) == 0 {
		return fmt.Errorf("%s: no address", family)
	}
	for _, address := range addresses {
		if !address.IsValid() || !usable(address.Addr()) {
			return fmt.Errorf("%s: %s cannot be a host's address", family, address)
		}
	}
	isOwn := func(p netip.Prefix) bool { return p.Addr() == gateway }
	switch {
	case !gateway.IsValid():
		return nil
	case !usable(gateway) && !isLinkLocal6(gateway):
		return fmt.Errorf("%s: %s cannot be a gateway", family, gateway)
	case slices.ContainsFunc(addresses, isOwn):
		return fmt.Errorf("%s: the gateway %s is this machine's own address", family, gateway)
	}
	return nil
}

// checkIfname says why something is no name of a new interface.
func checkIfname(name string) error {
	isBad := func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r > '~' }
	if name == "" || len(name) > maxIfname || name == "." || name == ".." || strings.ContainsFunc(name, isBad) {
		return fmt.Errorf("%q is no name of an interface (1 to %d characters, no spaces, slashes or colons)",
			name, maxIfname)
	}
	if name == "all" || name == "default" || name == "lo" || name == AutoNIC || name == NoNIC {
		return fmt.Errorf("%q has another meaning: choose another name", name)
	}
	return nil
}

func checkMTU(mtu, least int) error {
	if mtu != 0 && (mtu < least || mtu > maxMTU) {
		return fmt.Errorf("MTU %d: want %d to %d", mtu, least, maxMTU)
	}
	return nil
}

// isHost6 says whether an IPv6 address can be a host's, beyond one link.
func isHost6(addr netip.Addr) bool {
	return addr.Is6() && !addr.Is4In6() && addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast() &&
		!addr.IsLoopback() && !addr.IsLinkLocalUnicast()
}

func isLinkLocal6(addr netip.Addr) bool {
	return addr.Is6() && !addr.Is4In6() && addr.Zone() == "" && addr.IsLinkLocalUnicast()
}
