package main

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/stage"
)

var errNoCarrier = errors.New("no wired NIC with a carrier; check the cable")

// nicPause is the time between two looks for a NIC while none can be used.
const nicPause = time.Second

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
		{Name: "tools", Run: mountTools, Remedy: "there are no drivers: the initrd is damaged, check the disc"},
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

// startNetwork gets a lease for one of the NICs in the background.
func (b *bareGuest) startNetwork(ctx context.Context) error {
	bootMAC, err := netcfg.ParseBootIF(b.bootIF())
	if err != nil {
		return err
	}
	go func() {
		<-b.random
		b.followNICs(ctx, bootMAC)
	}()
	return nil
}

// followNICs uses one NIC after the other until one has a lease. Which comes first is decided as for
// dom0's bridge.
func (b *bareGuest) followNICs(ctx context.Context, bootMAC net.HardwareAddr) {
	current, start := netcfg.NIC{}, time.Now()
	tellAbsence := sync.OnceFunc(func() { b.reportNetwork(netcfg.Event{Kind: netcfg.EventNoNIC, Err: errNoCarrier}) })
	for ctx.Err() == nil {
		settled := time.Since(start) > carrierWait
		next, ok := nextNIC(bootMAC, current, settled)
		if !ok {
			if settled {
				tellAbsence()
			}
			time.Sleep(nicPause)
			continue
		}
		current = next
		b.use(ctx, bootMAC, current)
	}
}

// carrierWait is how long NICs have to get a carrier before a later one is preferred for having one:
// copper takes up to 3 s to negotiate 1 Gbit/s.
const carrierWait = 4 * time.Second

// use gets a lease through the NIC and keeps it. It returns when there is none to be had and another NIC
// may be better.
func (b *bareGuest) use(ctx context.Context, bootMAC net.HardwareAddr, nic netcfg.NIC) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	manager, err := netcfg.NewManager(netcfg.Options{
		Interface: nic.Name, Hostname: b.guest.name, ResolvConf: "/etc/resolv.conf",
		Report: func(e netcfg.Event) {
			switch e.Kind {
			case netcfg.EventLease:
				b.guest.show(e.Lease.Address.Addr().String())
				return
			case netcfg.EventLost:
				b.guest.address.Store(nil)
			case netcfg.EventNoLease, netcfg.EventNoNIC:
				if next, ok := nextNIC(bootMAC, nic, true); ok && next.Index != nic.Index {
					giveUp()
				}
			}
			b.reportNetwork(e)
		},
	})
	if err != nil {
		b.log.Error("network", "err", err)
		time.Sleep(nicPause)
		return
	}
	_ = manager.Run(ctx) // ends with ctx alone
}

// nextNIC returns the NIC to try after current, which may be the same.
func nextNIC(bootMAC net.HardwareAddr, current netcfg.NIC, settled bool) (netcfg.NIC, bool) {
	return netcfg.Situation{
		NICs: raisedNICs(), Boot: bootMAC, Current: current.Index, Settled: settled, Impatient: true,
	}.Choose()
}

// raisedNICs lists the machine's wired NICs, set up so that their carriers show. A NIC that cannot be set
// up has none.
func raisedNICs() []netcfg.NIC {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var nics []netcfg.NIC
	for _, i := range interfaces {
		if _, err := os.Stat("/sys/class/net/" + i.Name + "/device"); err != nil || len(i.HardwareAddr) != 6 {
			continue
		}
		if i.Flags&net.FlagUp == 0 {
			if link, err := netlink.LinkByIndex(i.Index); err == nil {
				_ = netlink.LinkSetUp(link)
			}
		}
		nics = append(nics, netcfg.NIC{
			Name: i.Name, Index: i.Index, MAC: i.HardwareAddr, Carrier: i.Flags&net.FlagRunning != 0,
		})
	}
	return nics
}
