package netcfg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
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

// Options configure a [Manager].
type Options struct {
	// Bridge is the bridge to create, which gets the address. Interface instead is a link that
	// gets it directly (a guest's eth0); it may appear later. Exactly one is given.
	Bridge    string
	Interface string

	BootIF      string      // value of BOOTIF=, see ParseBootIF; empty: none. Bridge only
	Hostname    string      // told to the DHCP server; may be empty
	SetHostname bool        // take the host name that the server gives
	ResolvConf  string      // path of resolv.conf; empty: not written
	TimeServers string      // path of the list of NTP servers, one a line; empty: not written
	Sys         fs.FS       // the tree of /sys; nil: /sys
	Timing      Timing      //
	Report      func(Event) // called by Run's goroutine; must not block
}

// Manager brings a machine's network up and keeps it so: see [Manager.Run].
type Manager struct {
	options Options
	timing  Timing
	host    host
	boot    net.HardwareAddr

	// From here on everything belongs to Run's goroutine.
	known    []int          // indexes of the NICs that there are
	shifted  time.Time      // when these last changed
	looked   time.Time      // when reconcile last looked
	nic      NIC            // in use; Index 0: none
	gone     time.Time      // since when it has had no carrier; zero: it has
	session  *session       // the running DHCP client; nil without a NIC
	lease    *Lease         // in force
	failure  error          // why the client has none
	since    time.Time      // when the NIC began to be without a lease
	patience time.Duration  // how long it may be
	due      time.Time      // when that is over
	absent   string         // what EventNoNIC said last; empty: there is one
	failed   map[int]string // links that could not be set up, and why: reported once
}

// NewManager returns a manager that [Manager.Run] starts.
func NewManager(options Options) (*Manager, error) {
	if (options.Bridge == "") == (options.Interface == "") {
		return nil, errors.New("network: give either a bridge or an interface")
	}
	boot, err := ParseBootIF(options.BootIF)
	if err != nil {
		return nil, err
	}
	if options.Sys == nil {
		options.Sys = os.DirFS("/sys")
	}
	timing := options.Timing.orDefault()
	return &Manager{
		options:  options,
		timing:   timing,
		boot:     boot,
		patience: timing.ServerWait,
		failed:   map[int]string{},
		host: host{
			ifname:      options.Bridge + options.Interface,
			resolvConf:  options.ResolvConf,
			timeServers: options.TimeServers,
			setHostname: options.SetHostname,
		},
	}, nil
}

// Run creates the bridge, chooses its NIC, gets a lease and keeps all that in step with cables,
// NICs and servers that come and go, until ctx ends, whose error it returns. Before that it
// returns only if the bridge cannot be created. What it set up stays when it ends, and is taken
// over by a later Run.
func (m *Manager) Run(ctx context.Context) error {
	if m.options.Bridge != "" {
		if err := (Bridge{m.options.Bridge}).Ensure(); err != nil {
			return err
		}
	}
	m.shifted = time.Now()
	defer m.hangUp()
	changed := watchLinks(ctx)
	for {
		m.reconcile(ctx)
		if err := m.wait(ctx, changed); err != nil {
			return err
		}
	}
}

// wait returns when something happened that reconcile has to look at.
func (m *Manager) wait(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(m.untilDeadline())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-timer.C:
	case state := <-m.session.reports():
		m.hear(state)
	}
	return nil
}

// reconcile compares what is with what should be, and acts on the difference.
func (m *Manager) reconcile(ctx context.Context) {
	m.looked = time.Now()
	nics, err := m.scan()
	if err != nil {
		m.problem(err)
		return
	}
	m.count(nics)
	m.follow(nics)
	m.choose(ctx, nics)
	m.reportAbsence(nics)
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

// raise sets a NIC up. One that is to carry the bridge gets no addresses of its own.
func (m *Manager) raise(link netlink.Link) {
	setUp := raisePort
	if m.options.Interface != "" {
		setUp = raise
	}
	m.check(link.Attrs().Index, setUp(link))
}

// check reports what is wrong with a NIC, once.
func (m *Manager) check(index int, err error) {
	switch {
	case err == nil:
		delete(m.failed, index)
	case m.failed[index] != err.Error():
		m.failed[index] = err.Error()
		m.problem(err)
	}
}

// count notes whether NICs came or went.
func (m *Manager) count(nics []NIC) {
	indexes := make([]int, len(nics))
	for i, nic := range nics {
		indexes[i] = nic.Index
	}
	if !slices.Equal(indexes, m.known) {
		m.known, m.shifted = indexes, m.looked
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
	m.nic = nics[i]
	switch {
	case !m.nic.Carrier && before.Carrier:
		m.gone = time.Now()
	case m.nic.Carrier && (!before.Carrier || m.nic.Losses != before.Losses):
		m.gone = time.Time{}
		m.session.client.Wake()
	}
}

// choose puts the NIC into use that belongs there.
func (m *Manager) choose(ctx context.Context, nics []NIC) {
	impatient := m.nic.Index != 0 && m.lease == nil && m.isOver(m.due)
	want, ok := Situation{
		NICs:        nics,
		Boot:        m.bootMAC(nics),
		Current:     m.nic.Index,
		Leased:      m.lease != nil,
		Settled:     m.isOver(m.settled()),
		CarrierGone: !m.gone.IsZero() && m.isOver(m.gone.Add(m.timing.CarrierGrace)),
		Impatient:   impatient,
	}.Choose()
	if impatient {
		m.event(Event{Kind: EventNoLease, Tried: m.looked.Sub(m.since), Err: m.whyNoLease()})
		m.extendPatience(want)
	}
	if ok && want.Index != m.nic.Index {
		m.use(ctx, want)
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
		m.patience = min(2*m.patience, maxServerWait)
	}
	m.due = time.Now().Add(m.patience)
}

// whyNoLease is the most helpful thing to say about the lack of a lease.
func (m *Manager) whyNoLease() error {
	if !m.gone.IsZero() {
		return errNoCarrier
	}
	return cmp.Or(m.failure, errAsking)
}

// use takes the NIC in place of the one in use, if any. In the bridge there is one at most at
// any time: two on one LAN would make a loop.
func (m *Manager) use(ctx context.Context, nic NIC) {
	m.abandon(errNICChanged)
	if err := m.plug(nic); err != nil {
		m.check(nic.Index, err)
		return
	}
	m.nic = nic
	if !nic.Carrier {
		m.gone = time.Now()
	}
	m.event(Event{Kind: EventNIC})
	m.searchFrom(time.Now())
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
	m.drop(reason)
	m.nic, m.gone, m.failure = NIC{}, time.Time{}, nil
}

// searchFrom starts the time that the NIC in use has for getting a lease.
func (m *Manager) searchFrom(now time.Time) {
	m.since, m.due = now, now.Add(m.patience)
}

// hear takes the client's report.
func (m *Manager) hear(state State) {
	switch s := state.(type) {
	case Bound:
		m.take(s.Lease)
	case Lost:
		m.drop(s.Err)
		m.searchFrom(time.Now())
	case NoServer:
		m.failure = s.Err
	}
}

// take puts a lease into force.
func (m *Manager) take(lease *Lease) {
	kind := EventLease
	if sameAddress(m.lease, lease) && m.lease.Gateway() == lease.Gateway() {
		kind = EventRenewed
	}
	m.change(lease)
	m.patience, m.failure = m.timing.ServerWait, nil
	m.event(Event{Kind: kind, Lease: lease})
}

// drop ends the lease in force, if any.
func (m *Manager) drop(reason error) {
	if m.lease == nil {
		return
	}
	old := m.lease
	m.change(nil)
	m.event(Event{Kind: EventLost, Lease: old, Err: reason})
}

// change leads from the lease in force to the next. A step that fails does not stop the others.
func (m *Manager) change(next *Lease) {
	for _, change := range Plan(m.lease, next) {
		err := m.host.apply(change)
		if next == nil && isNotFound(err) {
			continue // what went with the interface needs no removing
		}
		if err != nil {
			m.problem(err)
		}
	}
	m.lease = next
}

// reportAbsence says once that no NIC is in use, and why.
func (m *Manager) reportAbsence(nics []NIC) {
	if m.nic.Index != 0 {
		m.absent = ""
		return
	}
	if !m.isOver(m.settled()) {
		return
	}
	err := m.whyNoNIC(nics)
	if err.Error() != m.absent {
		m.absent = err.Error()
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
	names := make([]string, len(nics))
	for i, nic := range nics {
		names[i] = nic.Name
	}
	return fmt.Errorf("%s: %w", strings.Join(names, ", "), errNoCarrier)
}

// settled is when NICs have had time to appear, and the latest of them to get a carrier.
func (m *Manager) settled() time.Time { return m.shifted.Add(m.timing.CarrierWait) }

// isOver says whether a moment had passed when reconcile last looked. untilDeadline goes by the
// same clock, so that no deadline falls between the two.
func (m *Manager) isOver(deadline time.Time) bool { return !m.looked.Before(deadline) }

// untilDeadline is how long nothing has to be looked at unless something happens.
func (m *Manager) untilDeadline() time.Duration {
	wait := Forever
	for _, deadline := range m.deadlines() {
		if !m.isOver(deadline) {
			wait = min(wait, time.Until(deadline))
		}
	}
	return wait
}

func (m *Manager) deadlines() []time.Time {
	deadlines := []time.Time{m.settled()}
	if m.nic.Index != 0 && m.lease == nil {
		deadlines = append(deadlines, m.due)
	}
	if !m.gone.IsZero() {
		deadlines = append(deadlines, m.gone.Add(m.timing.CarrierGrace))
	}
	return deadlines
}

// event completes and reports an event.
func (m *Manager) event(event Event) {
	event.Interface, event.NIC = m.host.ifname, m.nic.Name
	if m.options.Report != nil {
		m.options.Report(event)
	}
}

func (m *Manager) problem(err error) {
	m.event(Event{Kind: EventProblem, Err: err})
}

// session is a running DHCP client.
type session struct {
	client *Client
	states chan State
	cancel context.CancelFunc
	done   chan struct{}
}

// startSession starts a DHCP client for the interface that is to have the address.
func (m *Manager) startSession(ctx context.Context) *session {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{states: make(chan State), cancel: cancel, done: make(chan struct{})}
	s.client = NewClient(ClientOptions{
		Interface: m.host.ifname,
		Port:      m.nic.Index,
		Hostname:  m.options.Hostname,
		Timing:    m.timing,
		Report: func(state State) {
			select {
			case s.states <- state:
			case <-ctx.Done():
			}
		},
	})
	go func() {
		defer close(s.done)
		s.client.Run(ctx)
	}()
	return s
}

// reports returns the channel of the client's reports; of no client, one that never has any.
func (s *session) reports() <-chan State {
	if s == nil {
		return nil
	}
	return s.states
}

// hangUp ends the client, if any, and waits until it is gone.
func (m *Manager) hangUp() {
	if m.session == nil {
		return
	}
	m.session.cancel()
	<-m.session.done
	m.session = nil
}
