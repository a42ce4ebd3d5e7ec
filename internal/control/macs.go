package control

import (
	"fmt"
	"slices"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// takenMAC is an error where somebody else has a MAC address that a guest is to have: a guest that is there, one of
// those that come with it, or dom0 or its gateway. It would get what is meant for the other.
func (c *Controller) takenMAC(spec *guests.Resolved, now *host.Snapshot, others []*life) error {
	for _, mac := range spec.MACs {
		if err := c.takenBy(mac, spec.UUID, now, others); err != nil {
			return &guests.Error{
				Guest: spec.Name, File: spec.File,
				Problem: "it cannot have the MAC address " + mac + ": " + err.Error(),
				Remedy:  "give it another one, or none in its configuration: each guest gets one of its own",
			}
		}
	}
	return nil
}

func (c *Controller) takenBy(mac, uuid string, now *host.Snapshot, others []*life) error {
	for i := range now.Guests {
		g := &now.Guests[i]
		if (g.Domid != 0 || g.Phase.Live()) && g.UUID != uuid && slices.Contains(g.MACs, mac) {
			return fmt.Errorf("the guest %q has it", g.Name)
		}
	}
	for _, other := range others {
		if slices.Contains(other.spec.MACs, mac) {
			return fmt.Errorf("the guest %q has it", other.spec.Name)
		}
	}
	if c.CheckMAC == nil {
		return nil
	}
	return c.CheckMAC(mac, uuid)
}
