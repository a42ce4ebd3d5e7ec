package netcfg

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// holding is the lease that the DHCPv4 client has been granted.
type holding struct {
	lease   *Lease    // nil: none
	refusal error     // why the kernel does not have its address; nil: it has
	mended  time.Time // when what the kernel had lost was last put back
}

// inForce says whether the machine has the lease's address.
func (h holding) inForce() bool { return h.lease != nil && h.refusal == nil }

// onState acts on what a session reports.
func (u *uplink) onState(from *session, state State) {
	switch s := state.(type) {
	case Bound:
		u.applyLease(s.Lease)
	case Lost:
		u.reportConflict(s.Err)
		u.dropLease(s.Err)
		u.patience.searchFrom(time.Now())
	case NoServer:
		u.reportConflict(s.Err)
		u.patience.failure = s.Err
	case Rivals:
		u.reportRivals(s)
	case Advertised:
		u.adverts.Hear(s.Advert, time.Now())
		u.taken = s.Taken
		u.install(errWithdrawn)
	case Bound6:
		u.lease6 = s.Lease
		u.install(errReplaced)
	case Lost6:
		u.lease6 = nil
		u.install(s.Err)
	case Duplicate:
		u.reportDuplicate(s)
	case Answered:
		u.answered[s.Index] = u.answered[s.Index] || s.DHCP
	}
}

// applyLease makes the kernel have what the lease says. Only an address that the kernel has is reported as one;
// while it refuses, the machine is without a lease.
func (u *uplink) applyLease(lease *Lease) {
	before := u.held
	u.held.lease = lease
	u.install(errReplaced)
	u.held.refusal = u.refused[lease.Address]
	u.patience.failure = u.held.refusal
	switch {
	case !u.held.inForce() && before.inForce():
		u.patience.searchFrom(time.Now())
		u.event(Event{Kind: EventLost, Lease: before.lease, Err: u.held.refusal})
	case !u.held.inForce():
	case !before.inForce() || !sameAddress(before.lease, lease) || before.lease.Gateway() != lease.Gateway():
		u.patience.limit = u.m.timing.ServerWait
		u.event(Event{Kind: EventLease, Lease: lease, Address: lease.Address})
	case lease != before.lease:
		u.event(Event{Kind: EventRenewed, Lease: lease, Address: lease.Address})
	}
}

func sameAddress(old, next *Lease) bool {
	return old.Address == next.Address && old.Broadcast == next.Broadcast
}

// dropLease ends the lease, if any.
func (u *uplink) dropLease(reason error) {
	before := u.held
	if before.lease == nil {
		return
	}
	u.held = holding{}
	u.install(reason)
	if before.inForce() {
		u.event(Event{Kind: EventLost, Lease: before.lease, Address: before.lease.Address, Err: reason})
	}
}

// config is what the kernel is to have, of all sources.
func (u *uplink) config() Config {
	if u.want.Bridge == "" && u.nic.Index == 0 {
		return Config{} // there is no link to have anything
	}
	c := join(Config{MTU: u.want.MTU}, u.want.config(), u.held.lease.config(), u.linkLocal())
	if u.want.IPv6.Method == Auto { // what is known from before a change has not been forgotten yet
		c = join(c, u.lease6.config(), u.adverts.Config(time.Now(), u.mac(), u.taken))
	}
	return join(c, u.want.routes(c.Addresses)).worse(u.metric)
}

// linkLocal is the address without which there is no IPv6 on a link. The kernel would keep the one of an earlier NIC.
func (u *uplink) linkLocal() Config {
	if u.want.IPv6.Method == None || len(u.mac()) != 6 || !hasIPv6() {
		return Config{}
	}
	return Config{Addresses: []Address{{Prefix: netip.PrefixFrom(fromMAC(linkLocal, u.mac()), 64), By: ByLink}}}
}

// install leads from what the kernel has to what it should have. What it does not take is noted, and reported; it
// stops nothing. reason is why addresses go, if any do.
func (u *uplink) install(reason error) {
	if u.ifname == "" {
		return
	}
	next := u.config()
	have, err := readInstalled(u.ifname)
	if !isNotFound(err) {
		u.reportOnce("read "+u.ifname, err)
	}
	for _, change := range Plan(have, u.applied, next) {
		err := apply(u.ifname, change)
		if set, isAddress := change.(SetAddress); isAddress {
			u.noteRefusal(set.Address.Prefix, err)
		}
		if !isNotFound(err) { // without the interface there is nothing to remove, and nothing else to be said
			u.reportOnce(change.String(), err)
		}
	}
	u.applied = next
	u.m.writeFiles() // before anybody hears of the address
	u.tellAddresses(reason)
}

func (u *uplink) noteRefusal(address netip.Prefix, err error) {
	delete(u.refused, address)
	if err != nil {
		u.refused[address] = err
	}
}

// tellAddresses reports addresses that have come or gone. The DHCPv4 lease has events of its own, a link-local
// address is of no use to anybody elsewhere, and a static one is of none before there is a NIC.
func (u *uplink) tellAddresses(reason error) {
	now := map[netip.Prefix]Source{}
	led := u.nic.Index != 0 || u.want.NIC == NoNIC
	for _, address := range u.applied.Addresses {
		if led && address.By != ByDHCP && address.By != ByLink && u.refused[address.Prefix] == nil {
			now[address.Prefix] = address.By
		}
	}
	before := u.told
	u.told = now
	for _, address := range slices.SortedFunc(maps.Keys(before), netip.Prefix.Compare) {
		if _, stays := now[address]; !stays {
			u.event(Event{Kind: EventAddressGone, Address: address, By: before[address], Err: reason})
		}
	}
	for _, address := range slices.SortedFunc(maps.Keys(now), netip.Prefix.Compare) {
		if _, known := before[address]; !known {
			u.event(Event{Kind: EventAddress, Address: address, By: now[address]})
		}
	}
}

// mend puts back what the kernel has lost: with the link, which somebody set down and up, its routes go, and a person
// may have removed more; and it drops what has expired. Somebody who keeps
// removing things is not fought in a tight loop.
func (u *uplink) mend() {
	if u.ifname == "" || !u.m.isOver(u.mayMend()) {
		return
	}
	have, err := readInstalled(u.ifname)
	gone := isNotFound(err)
	if gone && u.nic.Index == 0 || !gone && (err != nil || !have.Up) {
		return // what cannot be read now is read after the next change
	}
	if !gone && len(Plan(have, u.applied, u.config())) == 0 {
		return
	}
	u.held.mended = u.m.looked
	if u.held.lease != nil {
		u.applyLease(u.held.lease)
	} else {
		u.install(errExpired)
	}
}

// mayMend is when the configuration may be mended next.
func (u *uplink) mayMend() time.Time { return u.held.mended.Add(u.m.timing.Floor) }

// services is what the sources of the interface say beyond it.
func (u *uplink) services() Services {
	s := u.held.lease.services()
	if u.lease6 != nil {
		s.add(u.lease6.Services)
	}
	s.add(u.adverts.Services(time.Now(), u.ifname))
	return s
}

// isUp says whether the link that is to have addresses is there.
func isUp(ifname string) bool {
	_, err := netlink.LinkByName(ifname)
	return err == nil
}
