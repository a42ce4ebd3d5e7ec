package main

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/stage"
)

// bareGuest is the demo guest on the bare machine: the same shell and page, with the machine's own
// devices in place of Xen's.
type bareGuest struct {
	machine
	guest *demoGuest
}

// runBareGuest boots the demo guest without Xen.
func runBareGuest(s *system) int {
	const about = "zerodisc's demo guest, on the bare machine without Xen."
	b := &bareGuest{
		machine: machine{system: s},
		guest:   &demoGuest{system: s, name: s.setHostname(), about: about},
	}
	return int(s.untilAsked(b.boot))
}

func (b *bareGuest) boot(ctx context.Context) {
	stage.Run(ctx, b.stageEnded, []stage.Stage{
		{Name: "tools", Run: b.mountTools, Remedy: "there are no drivers: the initrd is damaged, check the disc"},
		{Name: "devices", Run: b.findDevices, Remedy: "devices that came late are still taken; see dmesg"},
		{Name: "network", Run: b.startNetwork},
		{Name: "page", Run: b.guest.servePage},
	})
	if ctx.Err() != nil {
		return
	}
	b.tell(host.Ready{Guests: host.NoGuests, Took: time.Since(b.start)})
	b.keepShells(ctx, b.guest.banner)
}

// startNetwork gets a lease for one of the NICs in the background. Which one is decided as for dom0's bridge.
func (b *bareGuest) startNetwork(ctx context.Context) error {
	manager, err := netcfg.NewManager(netcfg.Options{
		Network: netcfg.DirectNetwork(netcfg.AutoNIC), BootIF: b.bootIF(), Hostname: b.guest.name,
		ResolvConf: "/etc/resolv.conf",
		Report: func(e netcfg.Event) {
			switch e.Kind {
			case netcfg.EventLease:
				b.guest.show(e.Lease.Address.Addr().String())
				return
			case netcfg.EventLost:
				b.guest.address.Store(nil)
			}
			b.reportNetwork(e)
		},
	})
	if err != nil {
		return err
	}
	b.service("network", b.whenRandom(manager.Run))
	return nil
}
