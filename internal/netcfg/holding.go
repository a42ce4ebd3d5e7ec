package netcfg

import "time"

// holding is the lease that the client has been granted.
type holding struct {
	lease   *Lease    // nil: none
	refusal error     // why the kernel does not have its address; nil: it has
	mended  time.Time // when what the kernel had lost was last put back
}

// inForce says whether the machine has the lease's address.
func (h holding) inForce() bool { return h.lease != nil && h.refusal == nil }

// onState acts on the client's report.
func (m *Manager) onState(state State) {
	switch s := state.(type) {
	case Bound:
		m.applyLease(s.Lease)
	case Lost:
		m.dropLease(s.Err)
		m.patience.searchFrom(time.Now())
	case NoServer:
		m.patience.failure = s.Err
	}
}

// applyLease makes the kernel have what the lease says. Only an address that the kernel has is reported as one;
// while it refuses, the machine is without a lease.
func (m *Manager) applyLease(lease *Lease) {
	before := m.held
	m.held.lease, m.held.refusal = lease, m.install(before.lease, lease)
	m.patience.failure = m.held.refusal
	switch {
	case !m.held.inForce() && before.inForce():
		m.patience.searchFrom(time.Now())
		m.event(Event{Kind: EventLost, Lease: before.lease, Err: m.held.refusal})
	case !m.held.inForce():
	case !before.inForce() || !sameAddress(before.lease, lease) || before.lease.Gateway() != lease.Gateway():
		m.patience.limit = m.timing.ServerWait
		m.event(Event{Kind: EventLease, Lease: lease})
	case lease != before.lease:
		m.event(Event{Kind: EventRenewed, Lease: lease})
	}
}

// dropLease ends the lease, if any.
func (m *Manager) dropLease(reason error) {
	before := m.held
	if before.lease == nil {
		return
	}
	m.install(before.lease, nil)
	m.held = holding{}
	if before.inForce() {
		m.event(Event{Kind: EventLost, Lease: before.lease, Err: reason})
	}
}

// mend puts back what the kernel has lost of the lease: with the link, which somebody set down and up, its
// routes go, and a person may have removed more. Somebody who keeps removing it is not fought in a tight loop.
func (m *Manager) mend() {
	lease := m.held.lease
	if lease == nil || !m.isOver(m.mayMend()) {
		return
	}
	have, err := m.host.installed()
	gone := isNotFound(err)
	if !gone && (err != nil || !have.Up || len(Plan(have, lease, lease)) == 0) {
		return // what cannot be read now is read after the next change
	}
	m.held.mended = m.looked
	m.applyLease(lease)
}

// mayMend is when the lease may be mended next.
func (m *Manager) mayMend() time.Time { return m.held.mended.Add(m.timing.Floor) }

// install leads from what the kernel has, of the old lease or not, to the next. It returns why the kernel
// does not have the next one's address; all else that fails is reported, and stops nothing.
func (m *Manager) install(old, next *Lease) (refusal error) {
	have, err := m.host.installed()
	if !isNotFound(err) {
		m.reportOnce("read "+m.host.ifname, err)
	}
	for _, change := range Plan(have, old, next) {
		err := m.host.apply(change)
		if _, isAddress := change.(SetAddress); isAddress {
			refusal = err
		}
		if !isNotFound(err) { // without the interface there is nothing to remove, and nothing else to be said
			m.reportOnce(change.String(), err)
		}
	}
	return refusal
}
