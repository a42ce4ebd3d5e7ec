package netcfg

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

var (
	errNoNIC      = errors.New("no wired NIC found; one that is plugged in later is taken then")
	errNoCarrier  = errors.New("no carrier; check the cable")
	errNICGone    = errors.New("the NIC is gone")
	errNICChanged = errors.New("another NIC is used now")
	errAsking     = errors.New("no DHCP server has answered yet")
	errWithdrawn  = errors.New("no router advertises it any more")
	errReplaced   = errors.New("another address has taken its place")
)

// nicList is what is known of the NICs that there are.
type nicList struct {
	indexes []int
	shifted time.Time // when these last changed
	absence string    // what EventNoNIC said last; empty: a NIC is in use
}

// nicInUse is the NIC that leads to the servers. Index 0: there is none.
type nicInUse struct {
	NIC
	port     int       // index of the link that frames come in by: the NIC's, or that of a VLAN on it
	silent   time.Time // since when it has had no carrier; zero: it has one
	toldDown bool      // that it has none was reported
}

// patience is how long the NIC in use may be without a lease.
type patience struct {
	limit   time.Duration
	since   time.Time // when it began to be without one
	due     time.Time // when that is over
	failure error     // why it has none; nil: nobody has answered yet
}

// searchFrom starts the time that the NIC has for getting a lease.
func (p *patience) searchFrom(now time.Time) {
	p.since, p.due = now, now.Add(p.limit)
}

// scan lists the NICs that may be used, set up, so that their carriers show.
func (u *uplink) scan() []NIC {
	var nics []NIC
	for _, link := range u.m.links {
		if !u.isCandidate(link) {
			continue
		}
		u.reportOnce(settingUp+link.Attrs().Name, raisePort(link))
		nic, err := readNIC(link)
		if err != nil {
			continue // it has gone meanwhile
		}
		nics = append(nics, nic)
	}
	sortNICs(nics)
	return nics
}

func readNIC(link netlink.Link) (NIC, error) {
	attrs := link.Attrs()
	losses, err := carrierLosses(attrs.Index)
	return NIC{
		Name: attrs.Name, Index: attrs.Index, MAC: attrs.HardwareAddr, Carrier: hasCarrier(link), Losses: losses,
	}, err
}

// isCandidate says whether a link may be used: the one that was named, or any wired NIC that nothing else uses.
func (u *uplink) isCandidate(link netlink.Link) bool {
	wired := isWired(u.m.options.Sys, link.Attrs().Name)
	switch u.want.NIC {
	case NoNIC:
		return false
	case AutoNIC:
		return wired && u.isFree(link)
	}
	return link.Type() != "bridge" && names(u.want.NIC, link, wired)
}

// isFree says whether a NIC is no part of something else, and not meant to be.
func (u *uplink) isFree(link netlink.Link) bool {
	attrs := link.Attrs()
	if u.want.VLAN == 0 && attrs.MasterIndex != 0 && attrs.MasterIndex != indexOf(u.m.links, u.want.Bridge) {
		return false
	}
	for _, bond := range u.m.wanted.Bonds {
		if bond.isMember(link, true) {
			return false
		}
	}
	for _, other := range u.m.uplinks {
		if other == u || other.want.VLAN != u.want.VLAN {
			continue
		}
		if other.nic.Index == attrs.Index || names(other.want.NIC, link, true) {
			return false
		}
	}
	return true
}

func indexOf(links []netlink.Link, name string) int {
	for _, link := range links {
		if link.Attrs().Name == name {
			return link.Attrs().Index
		}
	}
	return -1
}

// settingUp and a NIC's name are what scan reports on.
const settingUp = "set up "

// noteNICs notes whether NICs came or went.
func (u *uplink) noteNICs(nics []NIC) {
	indexes := make([]int, len(nics))
	for i, nic := range nics {
		indexes[i] = nic.Index
	}
	if !slices.Equal(indexes, u.nics.indexes) {
		u.nics.indexes, u.nics.shifted = indexes, u.m.looked
	}
}

// follow notes what became of the NIC in use. One whose carrier returns may be on another
// network now.
func (u *uplink) follow(nics []NIC) {
	if u.nic.Index == 0 {
		return
	}
	i := slices.IndexFunc(nics, func(n NIC) bool { return n.Index == u.nic.Index })
	if i < 0 {
		u.abandon(u.whyGone())
		return
	}
	before := u.nic
	if !slices.Equal(before.MAC, nics[i].MAC) { // a bond has that of its first member, as soon as it has one
		u.abandon(errNICChanged)
		return
	}
	u.nic.NIC = nics[i]
	switch {
	case !u.nic.Carrier && before.Carrier:
		u.nic.silent = time.Now()
	case u.nic.Carrier && (!before.Carrier || u.nic.Losses != before.Losses):
		u.nic.silent = time.Time{}
		for _, s := range []*session{u.dhcp, u.routers, u.dhcp6, u.guard} {
			wake(s)
		}
	}
	u.reportLink()
}

// whyGone says why the NIC in use is no candidate any more.
func (u *uplink) whyGone() error {
	for _, link := range u.m.links {
		if link.Attrs().Index == u.nic.Index {
			return errNICChanged
		}
	}
	return errNICGone
}

// reportLink says that the NIC in use has no carrier, once it has had time to get it back, and that it has one again.
func (u *uplink) reportLink() {
	switch {
	case u.nic.Carrier && u.nic.toldDown:
		u.nic.toldDown = false
		u.event(Event{Kind: EventLinkUp})
	case !u.nic.Carrier && !u.nic.toldDown && u.carrierGone():
		u.nic.toldDown = true
		u.event(Event{Kind: EventLinkDown, Err: errNoCarrier})
	}
}

// carrierGone says whether the NIC in use has been without a carrier for too long.
func (u *uplink) carrierGone() bool {
	return !u.nic.silent.IsZero() && u.m.isOver(u.nic.silent.Add(u.m.timing.CarrierGrace))
}

// choose puts the NIC into use that belongs there.
func (u *uplink) choose(ctx context.Context, nics []NIC) {
	impatient := u.isSearching() && u.m.isOver(u.patience.due)
	for i := range nics {
		_, nics[i].Answered = u.answered[nics[i].Index]
	}
	want, ok := Situation{
		NICs:        nics,
		Boot:        u.bootMAC(nics),
		Current:     u.nic.Index,
		Leased:      u.isServed(),
		Settled:     u.m.isOver(u.settled()),
		CarrierGone: u.carrierGone(),
		Impatient:   impatient,
		Asking:      u.mayAsk(),
		Overdue:     u.m.isOver(u.patience.since.Add(u.m.timing.AnswerGrace)),
	}.Choose()
	if impatient {
		u.event(Event{Kind: EventNoLease, Tried: u.m.looked.Sub(u.patience.since), Err: u.whyNoLease()})
		u.extendPatience(want)
	}
	if ok && want.Index != u.nic.Index && u.m.isOver(u.mayPlug()) {
		u.switchTo(want)
	}
}

// isServed says whether the NIC in use is good for what the interface wants. One with a router alone is not while
// another one has a DHCP server.
func (u *uplink) isServed() bool {
	if u.held.inForce() || u.want.IPv4.Method == Static || u.want.IPv6.Method == Static {
		return true
	}
	for _, hasDHCP := range u.answered {
		if hasDHCP && u.want.IPv4.Method == Auto {
			return false
		}
	}
	return len(u.told) > 0
}

// bootMAC returns the MAC of the NIC that is to be used whatever happens: the one BOOTIF named,
// or that of the only interface in question.
func (u *uplink) bootMAC(nics []NIC) net.HardwareAddr {
	switch {
	case u.want.NIC != AutoNIC && len(nics) > 0:
		return nics[0].MAC
	case u.want.NIC != AutoNIC || u != u.m.firstAuto():
		return nil
	}
	return u.m.boot
}

func (m *Manager) firstAuto() *uplink {
	for _, u := range m.uplinks {
		if u.want.NIC == AutoNIC {
			return u
		}
	}
	return nil
}

// extendPatience gives the next round of attempts more time once all NICs had their turn, so
// that neither the console nor the LAN is kept busy by a machine that gets no lease.
func (u *uplink) extendPatience(want NIC) {
	if compareNatural(want.Name, u.nic.Name) <= 0 {
		u.patience.limit = min(2*u.patience.limit, maxServerWait)
	}
	u.patience.due = time.Now().Add(u.patience.limit)
}

// whyNoLease is the most helpful thing to say about the lack of a lease.
func (u *uplink) whyNoLease() error {
	if !u.nic.silent.IsZero() {
		return errNoCarrier
	}
	return cmp.Or(u.patience.failure, errAsking)
}

// settled is when NICs have had time to appear, and the latest of them to get a carrier.
func (u *uplink) settled() time.Time { return u.nics.shifted.Add(u.m.timing.CarrierWait) }
