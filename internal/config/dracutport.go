package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// bond reads NAME[:NIC,NIC[:OPTIONS[:MTU]]].
func (a *addresses) bond(value string) error {
	parts := strings.SplitN(value, ":", 4)
	parts = append(parts, "", "", "")
	name := parts[0]
	if name == "" {
		name, parts[1] = "bond0", "eth0,eth1"
	}
	bond := Bond{Options: map[string]string{}}
	if err := checkInterface(name); err != nil {
		return fmt.Errorf("part 1, the name: %w", err)
	}
	for nic := range strings.SplitSeq(parts[1], ",") {
		if err := checkInterface(nic); err != nil {
			return fmt.Errorf("part 2, the network cards: %q: %w", shorten(nic), err)
		}
		bond.NICs = append(bond.NICs, nic)
	}
	for option := range strings.FieldsFuncSeq(parts[2], func(r rune) bool { return r == ',' }) {
		if err := bond.option(option); err != nil {
			return fmt.Errorf("part 3, the options: %q: %w", shorten(option), err)
		}
	}
	if bond.Mode == "" {
		bond.Mode = "balance-rr" // dracut's default
	}
	if parts[3] != "" {
		mtu := &Bridge{}
		if err := mtu.link(parts[3:4]); err != nil {
			return fmt.Errorf("part 4: %w", err)
		}
		bond.MTU = mtu.MTU
	}
	if a.Config.Network.Bonds == nil {
		a.Config.Network.Bonds = map[string]Bond{}
	}
	a.Config.Network.Bonds[name] = bond
	a.ports = append(a.ports, port{nic: name})
	return nil
}

// option reads NAME=VALUE. Lists have semicolons here and commas in the driver. A mode may be a number.
func (b *Bond) option(text string) error {
	name, value, _ := strings.Cut(text, "=")
	value = strings.ReplaceAll(value, ";", ",")
	if name == "mode" {
		if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < len(bondModes) {
			value = bondModes[n]
		}
		if !slices.Contains(bondModes, value) {
			return fmt.Errorf("want one of %s", strings.Join(bondModes, ", "))
		}
		b.Mode = value
		return nil
	}
	if err := formats["bond-option"].check(name); err != nil {
		return err
	}
	b.Options[name] = value
	return formats["bond-value"].check(value)
}

// vlan reads NAME:NIC. The number is in the name: vlan0005, vlan5, eth0.0005 or eth0.5.
func (a *addresses) vlan(value string) error {
	name, nic, ok := strings.Cut(value, ":")
	digits := name[strings.LastIndexFunc(name, func(r rune) bool { return r < '0' || r > '9' })+1:]
	id, err := strconv.Atoi(digits)
	switch {
	case !ok || checkInterface(nic) != nil:
		return fmt.Errorf("want NAME:NIC, such as vlan5:eth0 or eth0.5:eth0")
	case err != nil || id < 1 || id > 4094 || len(digits) == len(name):
		return fmt.Errorf("part 1, the name: want one that ends with a VLAN from 1 to 4094: vlan5, eth0.5")
	}
	a.vlans[name] = port{nic, id}
	a.ports = append([]port{{nic, id}}, a.ports...) // over a bond: the VLAN is what counts
	return nil
}

// bridge reads NAME:NIC.
func (a *addresses) bridge(value string) error {
	name, nic, ok := strings.Cut(value, ":")
	switch {
	case value == "":
		name, nic = a.defaultBridge(), "eth0"
	case !ok || checkInterface(name) != nil:
		return fmt.Errorf("want NAME:NIC, such as br0:eth0")
	case strings.Contains(nic, ","):
		return fmt.Errorf("part 2: a bridge has one network card here; make a bond of several")
	case checkInterface(nic) != nil:
		return fmt.Errorf("part 2: %w", checkInterface(nic))
	}
	a.attach(name, a.portOf(nic))
	if len(a.values[boot.KeyBridge]) == 0 && len(a.values[boot.KeyPorts]) == 1 {
		a.Config.Network.DefaultBridge = name // it is the one that guests are to use
	}
	return nil
}

// portOf is the VLAN of a name, or the network card or bond.
func (a *addresses) portOf(name string) port {
	if p, ok := a.vlans[name]; ok {
		return p
	}
	return port{nic: name}
}

// bridgeFor is the bridge that gets the addresses of an interface. It is made if need be: the first network card that
// is named is the default bridge's, the next ones get bridges xenbr1, xenbr2, ...
func (a *addresses) bridgeFor(name string) (string, error) {
	if _, isBridge := a.Config.Network.Bridges[name]; name == "" || isBridge || name == a.defaultBridge() {
		if name == "" {
			name = a.defaultBridge()
		}
		return name, nil
	}
	if err := checkInterface(name); err != nil {
		return "", fmt.Errorf("the interface %q: %w", shorten(name), err)
	}
	p := a.portOf(name)
	if bridge, ok := a.owner[p]; ok {
		return bridge, nil
	}
	bridge := a.defaultBridge()
	for n := 1; a.config(bridge).NIC != ""; n++ {
		bridge = fmt.Sprintf("xenbr%d", n)
	}
	a.attach(bridge, p)
	return bridge, nil
}

// attach puts a bridge over a port.
func (a *addresses) attach(bridge string, p port) {
	b := a.config(bridge)
	b.NIC, b.VLAN = p.nic, p.vlan
	a.owner[p] = bridge
	a.keep(bridge, b)
}

// defaultBridge is the name that boot.KeyBridge gives.
func (a *addresses) defaultBridge() string {
	if values := a.values[boot.KeyBridge]; len(values) > 0 && checkInterface(values[len(values)-1]) == nil {
		return values[len(values)-1]
	}
	return a.Config.Network.Default()
}

func (a *addresses) config(bridge string) Bridge { return a.Config.Network.Bridges[bridge] }

func (a *addresses) keep(bridge string, b Bridge) {
	if a.Config.Network.Bridges == nil {
		a.Config.Network.Bridges = map[string]Bridge{}
	}
	a.Config.Network.Bridges[bridge] = b
}
