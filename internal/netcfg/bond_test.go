package netcfg

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
)

// supports says whether the kernel has a type of links.
func supports(t *testing.T, link netlink.Link) bool {
	err := netlink.LinkAdd(link)
	if err == nil {
		check(t, netlink.LinkDel(link))
	}
	return err == nil
}

func TestVLANAndBond(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		l := plugNIC(t, "eth0", serverAddress+"/24")
		plugNIC(t, "eth1", serverAddress+"/24")
		needBonds(t)
		probe := netlink.NewLinkAttrs()
		probe.Name, probe.ParentIndex = "probe", must(netlink.LinkByName("eth0"))(t).Attrs().Index
		if !supports(t, &netlink.Vlan{LinkAttrs: probe, VlanId: 9}) {
			t.Skip("the kernel has no VLANs")
		}
		var tagged netlink.Link
		l.inside(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.ParentIndex = "lan5", l.port.Attrs().Index
			tagged = &netlink.Vlan{LinkAttrs: attrs, VlanId: 5}
			check(t, netlink.LinkAdd(tagged))
		})
		check(t, l.handle.AddrAdd(tagged, must(netlink.ParseAddr("198.51.100.1/24"))(t)))
		check(t, l.handle.LinkSetUp(tagged))
		vlanLAN := &lan{t: t, space: l.space, handle: l.handle, port: tagged}
		vlanLAN.serve(policy{address: "198.51.100.50", seconds: 3600})
		l.serve(policy{address: "192.0.2.50", seconds: 3600})
		e := manage(t, Options{
			Network: Network{
				Bonds: []Bond{{
					Name: "bond0", Members: []string{"eth0", "eth1"}, Options: "mode=active-backup,primary=eth0",
				}},
				Interfaces: []Interface{
					{Bridge: "xenbr0", NIC: "bond0", IPv4: IPv4{Method: Auto}},
					{Bridge: "xenbr5", NIC: "bond0", VLAN: 5, IPv4: IPv4{Method: Auto}},
				},
			},
			Sys: wired("eth0", "eth1"),
		})
		got := map[string]string{}
		for len(got) < 2 {
			lease := e.await(EventLease, EventNIC, EventNoLease)
			got[lease.Interface] = lease.Address.String()
		}
		if got["xenbr0"] != "192.0.2.50/24" || got["xenbr5"] != "198.51.100.50/24" {
			t.Errorf("leases %v", got)
		}
		all := fmt.Sprint(ports(t, "bond0"), ports(t, "xenbr0"), ports(t, "xenbr5"))
		if all != "[eth0 eth1] [bond0] [bond0.5]" {
			t.Errorf("ports %s", all)
		}
		check(t, l.handle.LinkSetDown(l.port)) // the other member leads nowhere, but has a carrier
		awaitValue(t, "eth1", func() string {
			bond := must(netlink.LinkByName("bond0"))(t).(*netlink.Bond)
			active, err := netlink.LinkByIndex(bond.ActiveSlave)
			if err != nil {
				return err.Error()
			}
			return active.Attrs().Name
		})
		e.apply(DefaultNetwork("xenbr0"))
		for _, name := range []string{"bond0", "bond0.5", "xenbr5"} {
			if _, err := netlink.LinkByName(name); !isNotFound(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func needBonds(t *testing.T) {
	t.Helper()
	if !supports(t, netlink.NewLinkBond(netlink.LinkAttrs{Name: "probe"})) {
		t.Skip("the kernel has no bonds")
	}
}

// A bond has the MAC of its first member as soon as it has one; its bridge takes that over. One whose members cannot
// join is tried again now and then, and not all the time.
func TestBondMemberComesLate(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		needBonds(t)
		e := manage(t, Options{
			Network: Network{
				Bonds:      []Bond{{Name: "bond0", Members: []string{"eth0"}, Options: "mode=active-backup"}},
				Interfaces: []Interface{{Bridge: "xenbr0", NIC: "bond0", IPv4: IPv4{Method: Auto}}},
			},
			Sys: wired("eth0"),
		})
		e.await(EventNIC, EventNoLease)
		plugNIC(t, "eth0", serverAddress+"/24").serve(policy{address: "192.0.2.50", seconds: 3600})
		e.await(EventLease, EventNIC, EventNoLease)
		mac := func(name string) string { return must(netlink.LinkByName(name))(t).Attrs().HardwareAddr.String() }
		if mac("xenbr0") != mac("eth0") {
			t.Errorf("bridge has MAC %s, the member %s", mac("xenbr0"), mac("eth0"))
		}
	})
}
