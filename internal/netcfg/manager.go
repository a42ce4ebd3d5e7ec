package netcfg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
)

// Options configure a [Manager].
type Options struct {
	Network     Network
	BootIF      string      // value of BOOTIF=, see ParseBootIF; empty: none. For the first interface with AutoNIC
	Hostname    string      // sent to the DHCP server; may be empty
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
	boot    net.HardwareAddr
	orders  chan order
	reports chan report

	// From here on everything belongs to Run's goroutine.
	wanted   Network
	uplinks  []*uplink
	links    []netlink.Link    // those that there were when reconcile last looked
	looked   time.Time         // when that was
	unbonded time.Time         // when setting up a bond last failed: each try changes links
	files    files             // those that were written
	said     map[string]string // problems that are reported already, by what they are about
}

// order is another network that is wanted from now on.
type order struct {
	network Network
	done    chan struct{}
}

// NewManager returns a manager that [Manager.Run] starts.
func NewManager(options Options) (*Manager, error) {
	if err := options.Network.Check(); err != nil {
		return nil, err
	}
	if len(options.Network.Interfaces) == 0 {
		return nil, errors.New("network: no interface is wanted")
	}
	boot, err := ParseBootIF(options.BootIF)
	if err != nil {
		return nil, err
	}
	if options.Sys == nil {
		options.Sys = os.DirFS("/sys")
	}
	return &Manager{
		options: options,
		timing:  options.Timing.orDefault(),
		boot:    boot,
		orders:  make(chan order),
		reports: make(chan report),
		said:    map[string]string{},
	}, nil
}

// MakeBridges creates the bridges. Run does it where nobody has; the time until then may matter to those who plug
// something into a bridge.
func (m *Manager) MakeBridges() error { return m.options.Network.makeBridges() }

func (n Network) makeBridges() error {
	var problems []error
	for _, i := range n.Interfaces {
		if i.Bridge != "" {
			problems = append(problems, i.ensureBridge())
		}
	}
	return errors.Join(problems...)
}

// ensureBridge creates the interface's bridge, with the MAC that is wanted of it.
func (i Interface) ensureBridge() error {
	bridge := Bridge{i.Bridge}
	if err := bridge.Ensure(); err != nil || i.MAC == nil {
		return err
	}
	link, err := bridge.link()
	if err != nil {
		return err
	}
	if err := netlink.LinkSetHardwareAddr(link, i.MAC); err != nil {
		return fmt.Errorf("set MAC of bridge %s to %s: %w", i.Bridge, i.MAC, err)
	}
	return nil
}

// Apply makes another network the one that is wanted, while Run runs. What the two have in common goes on as it is:
// a lease stays, and guests stay in their bridges. A bridge that is no longer wanted goes, unless guests are in it.
// When Apply returns, the new bridges are there; all else follows. An error is that of a network that makes no sense,
// of which nothing is applied, or of ctx.
func (m *Manager) Apply(ctx context.Context, network Network) error {
	if err := network.Check(); err != nil {
		return err
	}
	if err := network.makeBridges(); err != nil {
		return err
	}
	o := order{network, make(chan struct{})}
	select {
	case m.orders <- o:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run sets the loopback interface up, creates the bridges, chooses their NICs, gets addresses and keeps all that in
// step with cables, NICs and servers that come and go, until ctx ends, whose error it returns. Before that it returns
// only if a bridge cannot be created. What it set up stays when it ends, and is taken over by a later Run, which may be
// one of the same manager.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.MakeBridges(); err != nil {
		return err
	}
	m.uplinks, m.said = nil, map[string]string{}
	if err := raiseLoopback(); err != nil {
		m.problem(err)
	}
	m.adopt(m.options.Network)
	defer m.hangUp()
	changed := watchKernel(ctx)
	for {
		m.reconcile(ctx)
		if err := m.wait(ctx, changed); err != nil {
			return err
		}
	}
}

// adopt makes the uplinks those that a network wants. One that is wanted as before, or otherwise, stays.
func (m *Manager) adopt(network Network) {
	before := map[string]*uplink{}
	for _, u := range m.uplinks {
		before[u.want.key()] = u
	}
	var after []*uplink
	for position, want := range network.Interfaces {
		u := before[want.key()]
		if u == nil {
			u = m.newUplink(want)
		}
		delete(before, want.key())
		u.becomes(want, want.metric(position))
		after = append(after, u)
	}
	for _, u := range before {
		u.leave()
	}
	m.dropBonds(network)
	m.wanted, m.uplinks = network, after
}

// hangUp ends what runs beside the manager, and leaves what it has set up.
func (m *Manager) hangUp() {
	for _, u := range m.uplinks {
		u.hangUp()
	}
}

// lookGap is the shortest time between two looks that changes are the reason for. They come in bursts, a dozen for each
// guest that gets a vif, a guest can cause as many as it likes, and a look goes through all links.
const lookGap = 50 * time.Millisecond

// wait returns when something happened that reconcile has to look at.
func (m *Manager) wait(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(m.untilDeadline())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
		rest(ctx, lookGap-time.Since(m.looked))
	case <-timer.C:
	case r := <-m.reports:
		if !r.from.ended {
			r.uplink.onState(r.from, r.state)
		}
	case o := <-m.orders:
		m.options.Network = o.network
		m.adopt(o.network)
		close(o.done)
	}
	return nil
}

// reconcile compares what is with what should be, and acts on the difference.
func (m *Manager) reconcile(ctx context.Context) {
	m.looked = time.Now()
	if err := m.look(); err != nil {
		m.problem(err)
		return
	}
	m.keepBonds()
	for _, u := range m.uplinks {
		u.reconcile(ctx)
	}
	m.writeFiles()
}

// look lists the links.
func (m *Manager) look() (err error) {
	m.links, err = listLinks()
	return err
}

// isOver says whether a moment had passed when reconcile last looked. untilDeadline goes by the
// same clock, so that no deadline falls between the two.
func (m *Manager) isOver(deadline time.Time) bool { return !m.looked.Before(deadline) }

// untilDeadline is how long nothing has to be looked at unless something happens.
func (m *Manager) untilDeadline() time.Duration {
	wait := Forever
	for _, u := range m.uplinks {
		for _, deadline := range u.deadlines() {
			if !deadline.IsZero() && !m.isOver(deadline) {
				wait = min(wait, time.Until(deadline))
			}
		}
	}
	return wait
}

func (m *Manager) report(event Event) {
	if m.options.Report != nil {
		m.options.Report(event)
	}
}

func (m *Manager) problem(err error) { m.report(Event{Kind: EventProblem, Err: err}) }

// isNews says whether what is wrong with something has to be said: once, and again only once it was right or is wrong
// otherwise.
func (m *Manager) isNews(what string, err error) bool {
	if err == nil {
		delete(m.said, what)
		return false
	}
	news := m.said[what] != err.Error()
	m.said[what] = err.Error()
	return news
}
