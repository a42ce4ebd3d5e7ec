package netcfg

import (
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// switchTo takes the NIC in place of the one in use, if any. In the bridge there is one at most at
// any time: two on one LAN would make a loop.
func (u *uplink) switchTo(nic NIC) {
	u.abandon(errNICChanged)
	port, err := u.plug(nic)
	u.reportOnce("plug in "+nic.Name, err)
	if err != nil {
		u.unplugged = u.m.looked
		return
	}
	u.nic = nicInUse{NIC: nic, port: port}
	if !nic.Carrier {
		u.nic.silent = time.Now()
	}
	u.event(Event{Kind: EventNIC})
	u.patience.searchFrom(time.Now())
	u.install(errNICChanged)
}

// resume takes the NIC that is in the bridge already as the one in use: an earlier run has put it there, and guests
// talk by it. The first of several counts.
func (u *uplink) resume(nics []NIC) {
	if u.resumed || u.want.Bridge == "" {
		return
	}
	u.resumed = true
	bridge := indexOf(u.m.links, u.want.Bridge)
	for _, link := range u.m.links {
		attrs := link.Attrs()
		carries := func(n NIC) bool {
			return n.Index == attrs.Index && u.want.VLAN == 0 || link.Type() == "vlan" && n.Index == attrs.ParentIndex
		}
		if i := slices.IndexFunc(nics, carries); attrs.MasterIndex == bridge && i >= 0 {
			u.switchTo(nics[i])
			return
		}
	}
}

// mayPlug is when the next NIC may be plugged in: each try changes links, and a change is a reason to look again.
func (u *uplink) mayPlug() time.Time { return u.unplugged.Add(u.m.timing.Floor) }

// plug makes the NIC, or the VLAN on it, the only one in the bridge; or what has the addresses itself. It returns
// the index of the link that frames come in by.
func (u *uplink) plug(nic NIC) (port int, err error) {
	link, err := netlink.LinkByIndex(nic.Index)
	if err == nil && u.want.VLAN != 0 {
		link, err = ensureVLAN(link, u.want.VLAN)
	}
	if err != nil {
		return 0, err
	}
	port = link.Attrs().Index
	if u.want.Bridge == "" {
		u.ifname = link.Attrs().Name
		return port, settleIPv6(u.ifname, u.want.IPv6.Method)
	}
	if err := u.unplugOthers(port); err != nil {
		return 0, err
	}
	if err := settleIPv6(u.want.Bridge, u.want.IPv6.Method); err != nil {
		return 0, err
	}
	mac := nic.MAC
	if u.want.MAC != nil {
		mac = u.want.MAC
	}
	return port, Bridge{u.want.Bridge}.Adopt(NIC{Name: link.Attrs().Name, Index: port, MAC: mac})
}

// keepPlugged makes the bridge anew, and puts the NIC in use back into it, after somebody removed either, or the VLAN.
func (u *uplink) keepPlugged() {
	bridge := Bridge{u.want.Bridge}
	if u.nic.Index == 0 {
		if bridge.Name != "" && !isUp(bridge.Name) {
			u.reportOnce("make "+bridge.Name, u.want.ensureBridge())
		}
		return
	}
	if bridge.Name == "" && indexOf(u.m.links, u.ifname) == u.nic.port || bridge.Name != "" && bridge.has(u.nic.port) {
		return
	}
	var err error
	if bridge.Name != "" {
		err = u.want.ensureBridge()
	}
	port := u.nic.port
	if err == nil {
		port, err = u.plug(u.nic.NIC)
	}
	u.reportOnce("plug in "+u.nic.Name, err)
	if err == nil && port != u.nic.port {
		u.hangUp()
		u.nic.port = port
	}
}

// unplugOthers takes every other link that leads to a LAN out of the bridge, also one that an earlier run left there.
func (u *uplink) unplugOthers(port int) error {
	links, err := listLinks()
	if err != nil {
		return err
	}
	bridge := indexOf(links, u.want.Bridge)
	for _, link := range links {
		attrs := link.Attrs()
		if attrs.MasterIndex != bridge || attrs.Index == port || !u.m.leadsOut(link) {
			continue
		}
		if err := Release(attrs.Index); err != nil {
			return err
		}
	}
	return nil
}

// leadsOut says whether a link leads to a LAN, not to a guest.
func (m *Manager) leadsOut(link netlink.Link) bool {
	return link.Type() == "vlan" || link.Type() == "bond" || isWired(m.options.Sys, link.Attrs().Name)
}

// abandon stops using the NIC in use: no clients, no addresses of theirs, and out of the bridge with it.
func (u *uplink) abandon(reason error) {
	if u.nic.Index == 0 {
		return
	}
	u.hangUp()
	u.dropLease(reason)
	u.forgetRouters(reason)
	nic := u.nic
	u.nic, u.patience.failure = nicInUse{}, nil
	u.install(reason)
	if u.want.Bridge == "" {
		u.ifname = ""
	} else {
		u.reportOnce("unplug "+nic.Name, Release(nic.port))
	}
	if nic.port != nic.Index {
		u.reportOnce("remove VLAN on "+nic.Name, removeLink(nic.port))
	}
}
