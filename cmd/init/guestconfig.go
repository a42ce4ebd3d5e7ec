package main

import (
	"net/netip"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// override is what the configuration says of a guest, by the name that its own configuration gives it. With
// zerodisc.autostart=no on the kernel command line no guest starts by itself, whatever else says so.
func (s *system) override(name string) guests.Override {
	o := overrideOf(s.config().Guests[name])
	if !config.Is(s.conf.line.Config.Autostart, true) {
		o.Autostart = nil
	}
	return o
}

func overrideOf(g config.Guest) guests.Override {
	const mib = 1 << 20
	o := guests.Override{
		Autostart: g.Autostart, Delay: g.Delay.Time(), MemoryMiB: (int64(g.Memory) + mib - 1) / mib,
		VCPUs: int64(g.VCPUs), Restart: guests.Restart(g.Restart),
		Bridge: g.Network.Bridge, MAC: string(g.Network.MAC),
	}
	if g.Order != nil {
		o.Order = *g.Order
	}
	return o
}

// setGuestRules puts in force what the configuration says of a guest's network. own is the name that its own
// configuration gives it, name the one that it has.
func (s *system) setGuestRules(own, name, uuid string) error {
	rules := guestRules(s.config().Guests[own].Network)
	rules.Name = name
	return vifrules.Rules{Dir: vifrules.Dir}.SetGuest(uuid, rules)
}

func guestRules(n config.GuestNetwork) vifrules.Guest {
	g := vifrules.Guest{
		VLAN: n.VLAN, Rate: int64(n.Rate) / 8, Isolated: config.Is(n.Isolated, false), NoHost: !config.Is(n.Host, true),
		Inbound: inbound(n.Inbound),
	}
	if n.Address.IsValid() {
		g.Addresses = append(g.Addresses, n.Address)
	}
	g.Addresses = append(g.Addresses, n.Addresses...)
	for _, reason := range n.Trust {
		g.Trust = append(g.Trust, vifrules.Reason(reason))
	}
	return g
}

// inbound is a list of what may come in, a rule for each range of ports and each network. An empty list lets nothing
// in, none everything.
func inbound(list []config.Inbound) []vifrules.Inbound {
	if list == nil {
		return nil
	}
	rules := []vifrules.Inbound{}
	for _, i := range list {
		ports, _ := config.Ports(i.Ports) // they were checked when they were read
		if len(ports) == 0 {
			ports = []config.PortRange{{}}
		}
		from := i.From
		if len(from) == 0 {
			from = []netip.Prefix{{}}
		}
		for _, p := range ports {
			for _, network := range from {
				rules = append(rules, vifrules.Inbound{
					Protocol: vifrules.Protocol(i.Protocol), First: p.First, Last: p.Last, From: network,
				})
			}
		}
	}
	return rules
}

// memoryLimits are the most memory that all guests may have together, and what Xen is to have left, KiB.
func (s *system) memoryLimits() (guests, left int64) {
	m := s.config().Memory
	return int64(m.Guests) >> 10, int64(m.Free) >> 10
}
