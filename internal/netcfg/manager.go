package netcfg

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"time"
)

// Options configure a [Manager].
type Options struct {
	// Bridge is the bridge to create, which gets the address. Interface instead is a link that
	// gets it directly (a guest's eth0); it may appear later. Exactly one is given.
	Bridge    string
	Interface string

	BootIF      string      // value of BOOTIF=, see ParseBootIF; empty: none. Bridge only
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
	host    host
	boot    net.HardwareAddr

	// From here on everything belongs to Run's goroutine, and before Run to whoever calls MakeBridge.
	made     bool              // the bridge
	looked   time.Time         // when reconcile last looked
	nics     nicList           // those that there are
	nic      nicInUse          // leads to the DHCP servers
	session  *session          // the running DHCP client; nil without a NIC
	held     holding           // the lease
	patience patience          // with the NIC in use
	said     map[string]string // problems that are reported already, by what they are about
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
		patience: patience{limit: timing.ServerWait},
		said:     map[string]string{},
		host: host{
			ifname:      options.Bridge + options.Interface,
			resolvConf:  options.ResolvConf,
			timeServers: options.TimeServers,
			setHostname: options.SetHostname,
		},
	}, nil
}

// MakeBridge creates the bridge, once. Run does it where nobody has; the time until then may matter to those who
// plug something into the bridge.
func (m *Manager) MakeBridge() error {
	if m.options.Bridge == "" || m.made {
		return nil
	}
	err := Bridge{m.options.Bridge}.Ensure()
	m.made = err == nil
	return err
}

// Run creates the bridge, chooses its NIC, gets a lease and keeps all that in step with cables,
// NICs and servers that come and go, until ctx ends, whose error it returns. Before that it
// returns only if the bridge cannot be created. What it set up stays when it ends, and is taken
// over by a later Run.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.MakeBridge(); err != nil {
		return err
	}
	m.nics.shifted = time.Now()
	defer m.hangUp()
	changed := watchKernel(ctx)
	for {
		m.reconcile(ctx)
		if err := m.wait(ctx, changed); err != nil {
			return err
		}
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
	case state := <-m.session.reports():
		m.onState(state)
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
	m.noteNICs(nics)
	m.follow(nics)
	m.choose(ctx, nics)
	m.keepPlugged()
	m.mend()
	m.reportAbsence(nics)
}

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
	if m.nic.Index != 0 && !m.held.inForce() {
		deadlines = append(deadlines, m.patience.due)
	}
	if !m.nic.silent.IsZero() {
		deadlines = append(deadlines, m.nic.silent.Add(m.timing.CarrierGrace))
	}
	if m.held.lease != nil {
		deadlines = append(deadlines, m.mayMend())
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

// reportOnce reports what is wrong with something, and again only once it was right or is wrong otherwise.
func (m *Manager) reportOnce(what string, err error) {
	switch {
	case err == nil:
		delete(m.said, what)
	case m.said[what] != err.Error():
		m.said[what] = err.Error()
		m.problem(err)
	}
}
