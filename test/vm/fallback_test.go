//go:build vm && full

package vm

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/privnet"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/portscan"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Networks of [TestFallback]: the LAN's, and the one that guests have while there is no DHCP server on the LAN.
const (
	lanNetwork      = "192.168.77."
	fallbackNetwork = "10.77.0."
)

// TestFallback boots on a network without a DHCP server, and plugs one in later. Guests have a network all the time:
// at first a private one, then the LAN.
func TestFallback(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, bootFallback)
}

func bootFallback(t *testing.T) {
	makeTap(t, "tap0", lanNetwork+"1/24")
	Story(t, qemu.Machine{NICs: []qemu.NIC{{Net: qemu.Tap("tap0")}}}, func(m *VM) {
		m.checkNoServer()
		addresses := m.waitGuests()
		before := m.domains()
		for i, address := range addresses {
			if !strings.HasPrefix(address, fallbackNetwork) {
				m.Errorf("%s has the address %s", guests[i], address)
			}
		}
		m.checkPageByName(guests[0], guests[1])
		m.Run("what listens", (*VM).checkFallbackListens)
		now := m.FromNow()
		startServer(t, "tap0", lanNetwork+"100-"+lanNetwork+"110")
		if address := m.newAddress(); !strings.HasPrefix(address, lanNetwork) {
			m.Errorf("dom0 has the address %s", address)
		}
		for _, guest := range guests {
			m.checkServedPage(guest, now.addressIn(guest, lanNetwork))
		}
		now.Wait(`msg="private network" bridge=`+boot.DefaultBridge+` state=ended`, addressLimit)
		m.checkFallbackOver()
		if after := m.domains(); strings.Join(after, " ") != strings.Join(before, " ") {
			m.Errorf("the guests' domains are %s, and were %s", after, before)
		}
	})
}

// checkNoServer waits until dom0 has told that there is no DHCP server, and then that guests have a private network.
func (m *VM) checkNoServer() {
	missing := m.Wait(`msg="`+boot.MsgNoLease+`"`, bootLimit)
	started := m.Wait(`msg="`+boot.MsgPrivateNet+`" bridge=`+boot.DefaultBridge+` state=started`, bootLimit)
	if !strings.HasPrefix(started.Get("address"), fallbackNetwork) {
		m.Errorf("%v", started)
	}
	ready := m.Wait(`msg=init`, soon) // before the network is asked
	if waited := started.At.Sub(ready.At); waited < privnet.Patience || started.At.Before(missing.At) {
		m.Errorf("the private network came %v after init's start, and no lease was told at %v", waited, missing.At)
	}
}

// checkFallbackListens scans dom0 from a guest on the private network, at its address there and by IPv6, and from the
// LAN. The guest reaches this machine past dom0, by IPv6 on the link.
func (m *VM) checkFallbackListens() {
	private := m.FromStart().Wait(`msg="`+boot.MsgPrivateNet+`" state=started`, soon).Get("address")
	private, _, _ = strings.Cut(private, "/")
	inside := m.linkLocal(boot.DefaultBridge)
	here := tapLinkLocal(m.t, "tap0")
	ctx, cancel := m.Within(scanLimit)
	defer cancel()
	result, err := portscan.Scan(ctx, inside.WithZone("tap0"))
	if err != nil {
		m.fail("scan", err)
	}
	m.checkScan(fromNetwork, result)
	scanner := m.serveScanner(here + "%tap0")
	m.scanFromGuest(guests[0], fromPrivateGuest, scanner, here+"%eth0", private)
	m.scanFromGuest(guests[0], fromGuest, scanner, here+"%eth0", inside.String()+"%eth0")
}

// tapLinkLocal is an interface's IPv6 address on the link.
func tapLinkLocal(t *testing.T, name string) string {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil || len(addresses) == 0 {
		t.Fatalf("%s has no IPv6 address: %v", name, err)
	}
	return addresses[0].IP.String()
}

// addressIn waits until a guest has an address of a network.
func (m *VM) addressIn(guest, network string) (address string) {
	m.t.Helper()
	query := console.Query{"msg": boot.MsgGuestAddress, "guest": guest}
	m.Until(fmt.Sprintf("%s has an address %s*", guest, network), addressLimit, func() bool {
		for _, event := range m.Console.Events(m.mark, query) {
			if strings.HasPrefix(event.Get("address"), network) {
				address = event.Get("address")
			}
		}
		return address != ""
	})
	return address
}

// checkFallbackOver checks that nothing is left of the private network.
func (m *VM) checkFallbackOver() {
	if left := m.Shell("ip addr | grep '" + fallbackNetwork + "'"); left != "" {
		m.Errorf("dom0 still has %s", left)
	}
	if list := m.Shell("guest list"); strings.Contains(list, fallbackNetwork) || !strings.Contains(list, lanNetwork) {
		m.Errorf("guests are not on the LAN:\n%s", list)
	}
}
