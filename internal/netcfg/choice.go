package netcfg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

var (
	errNoNIC      = errors.New("no wired NIC found; one that is plugged in later is taken then")
	errNoCarrier  = errors.New("no carrier; check the cable")
	errNICGone    = errors.New("the NIC is gone")
	errNICChanged = errors.New("another NIC is used now")
	errAsking     = errors.New("no DHCP server has answered yet")
)

// nicList is what is known of the NICs that there are.
type nicList struct {
	indexes []int
	shifted time.Time // when these last changed
	absence string    // what EventNoNIC said last; empty: a NIC is in use
}

// nicInUse is the NIC that leads to the DHCP servers. Index 0: there is none.
type nicInUse struct {
	NIC
	silent time.Time // since when it has had no carrier; zero: it has one
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
func (m *Manager) scan() ([]NIC, error) {
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	var nics []NIC
	for _, link := range links {
		if !m.isCandidate(link, links) {
			continue
		}
		m.raise(link)
		nic, err := readNIC(link)
		if err != nil {
			continue // it has gone meanwhile
		}
		nics = append(nics, nic)
	}
	sortNICs(nics)
	return nics, nil
}

func readNIC(link netlink.Link) (NIC, error) {
	attrs := link.Attrs()
	losses, err := carrierLosses(attrs.Index)
	return NIC{attrs.Name, attrs.Index, attrs.HardwareAddr, hasCarrier(link), losses}, err
}

// isCandidate says whether a link may be used: the one that was named, or any wired NIC that is
// not part of something else.
func (m *Manager) isCandidate(link netlink.Link, links []netlink.Link) bool {
	attrs := link.Attrs()
	if m.options.Interface != "" {
		return attrs.Name == m.options.Interface
	}
	if attrs.MasterIndex != 0 && attrs.MasterIndex != indexOf(links, m.options.Bridge) {
		return false
	}
	return isWired(m.options.Sys, attrs.Name)
}

func indexOf(links []netlink.Link, name string) int {
	for _, link := range links {
		if link.Attrs().Name == name {
			return link.Attrs().Index
		}
	}
	return -1
}

// settingUp and a NIC's name are what raise reports on.
const settingUp = "set up "

// raise sets a NIC up. One that is to carry the bridge gets no addresses of its own.
func (m *Manager) raise(link netlink.Link) {
	setUp := raisePort
	if m.options.Interface != "" {
		setUp = raise
	}
	m.reportOnce(settingUp+link.Attrs().Name, setUp(link))
}

// noteNICs notes whether NICs came or went.
func (m *Manager) noteNICs(nics []NIC) {
	indexes := make([]int, len(nics))
	for i, nic := range nics {
		indexes[i] = nic.Index
	}
	if !slices.Equal(indexes, m.nics.indexes) {
		m.nics.indexes, m.nics.shifted = indexes, m.looked
	}
}

// follow notes what became of the NIC in use. One whose carrier returns may be on another
// network now.
func (m *Manager) follow(nics []NIC) {
	if m.nic.Index == 0 {
		return
	}
	i := slices.IndexFunc(nics, func(n NIC) bool { return n.Index == m.nic.Index })
	if i < 0 {
		m.abandon(errNICGone)
		return
	}
	before := m.nic
	m.nic.NIC = nics[i]
	switch {
	case !m.nic.Carrier && before.Carrier:
		m.nic.silent = time.Now()
	case m.nic.Carrier && (!before.Carrier || m.nic.Losses != before.Losses):
		m.nic.silent = time.Time{}
		m.session.client.Wake()
	}
}

// choose puts the NIC into use that belongs there.
func (m *Manager) choose(ctx context.Context, nics []NIC) {
	impatient := m.nic.Index != 0 && !m.held.inForce() && m.isOver(m.patience.due)
	want, ok := Situation{
		NICs:        nics,
		Boot:        m.bootMAC(nics),
		Current:     m.nic.Index,
		Leased:      m.held.inForce(),
		Settled:     m.isOver(m.settled()),
		CarrierGone: !m.nic.silent.IsZero() && m.isOver(m.nic.silent.Add(m.timing.CarrierGrace)),
		Impatient:   impatient,
	}.Choose()
	if impatient {
		m.event(Event{Kind: EventNoLease, Tried: m.looked.Sub(m.patience.since), Err: m.whyNoLease()})
		m.extendPatience(want)
	}
	if ok && want.Index != m.nic.Index {
		m.switchTo(ctx, want)
	}
}

// bootMAC returns the MAC of the NIC that is to be used whatever happens: the one BOOTIF named,
// or that of the only interface in question.
func (m *Manager) bootMAC(nics []NIC) net.HardwareAddr {
	if m.options.Interface != "" && len(nics) > 0 {
		return nics[0].MAC
	}
	return m.boot
}

// extendPatience gives the next round of attempts more time once all NICs had their turn, so
// that neither the console nor the LAN is kept busy by a machine that gets no lease.
func (m *Manager) extendPatience(want NIC) {
	if compareNatural(want.Name, m.nic.Name) <= 0 {
		m.patience.limit = min(2*m.patience.limit, maxServerWait)
	}
	m.patience.due = time.Now().Add(m.patience.limit)
}

// whyNoLease is the most helpful thing to say about the lack of a lease.
func (m *Manager) whyNoLease() error {
	if !m.nic.silent.IsZero() {
		return errNoCarrier
	}
	return cmp.Or(m.patience.failure, errAsking)
}

// switchTo takes the NIC in place of the one in use, if any. In the bridge there is one at most at
// any time: two on one LAN would make a loop.
func (m *Manager) switchTo(ctx context.Context, nic NIC) {
	m.abandon(errNICChanged)
	if err := m.plug(nic); err != nil {
		m.reportOnce("plug in "+nic.Name, err)
		return
	}
	m.nic.NIC = nic
	if !nic.Carrier {
		m.nic.silent = time.Now()
	}
	m.event(Event{Kind: EventNIC})
	m.patience.searchFrom(time.Now())
	m.session = m.startSession(ctx)
}

// plug makes the NIC the only one in the bridge.
func (m *Manager) plug(nic NIC) error {
	if m.options.Bridge == "" {
		return nil
	}
	if err := m.unplugOthers(nic); err != nil {
		return err
	}
	return Bridge{m.options.Bridge}.Adopt(nic)
}

// keepPlugged makes the bridge anew, and puts the NIC in use back into it, after somebody removed either.
func (m *Manager) keepPlugged() {
	bridge := Bridge{m.options.Bridge}
	if bridge.Name == "" || m.nic.Index == 0 || bridge.has(m.nic.Index) {
		return
	}
	err := bridge.Ensure()
	if err == nil {
		err = m.plug(m.nic.NIC)
	}
	m.reportOnce("plug in "+m.nic.Name, err)
}

// unplugOthers takes every other NIC out of the bridge, also one that an earlier run left there.
func (m *Manager) unplugOthers(nic NIC) error {
	links, err := listLinks()
	if err != nil {
		return err
	}
	bridge := indexOf(links, m.options.Bridge)
	for _, link := range links {
		attrs := link.Attrs()
		if attrs.MasterIndex != bridge || attrs.Index == nic.Index || !isWired(m.options.Sys, attrs.Name) {
			continue
		}
		if err := Release(attrs.Index); err != nil {
			return err
		}
	}
	return nil
}

// abandon stops using the NIC in use: no client, no lease.
func (m *Manager) abandon(reason error) {
	m.hangUp()
	m.dropLease(reason)
	m.nic, m.patience.failure = nicInUse{}, nil
}

// reportAbsence says once that no NIC is in use, and why.
func (m *Manager) reportAbsence(nics []NIC) {
	if m.nic.Index != 0 {
		m.nics.absence = ""
		return
	}
	if !m.isOver(m.settled()) {
		return
	}
	err := m.whyNoNIC(nics)
	if err.Error() != m.nics.absence {
		m.nics.absence = err.Error()
		m.event(Event{Kind: EventNoNIC, Err: err})
	}
}

func (m *Manager) whyNoNIC(nics []NIC) error {
	if m.options.Interface != "" {
		return fmt.Errorf("%s has not appeared yet", m.options.Interface)
	}
	if len(nics) == 0 {
		return errNoNIC
	}
	var reasons, silent []string
	for _, nic := range nics {
		if problem := m.said[settingUp+nic.Name]; problem != "" {
			reasons = append(reasons, problem+", dmesg may say why")
		} else {
			silent = append(silent, nic.Name)
		}
	}
	if len(silent) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s: %v", strings.Join(silent, ", "), errNoCarrier))
	}
	return errors.New(strings.Join(reasons, "; "))
}

// settled is when NICs have had time to appear, and the latest of them to get a carrier.
func (m *Manager) settled() time.Time { return m.nics.shifted.Add(m.timing.CarrierWait) }
