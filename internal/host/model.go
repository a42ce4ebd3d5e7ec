package host

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// model is the state while facts are applied to it. One goroutine has it.
type model struct {
	host    Host
	guests  map[string]*Guest // by key
	domains map[int]string    // key of each domain's guest; a guest may have two for a moment
	events  []Event           // of the facts since the last snapshot
	number  uint64            // of the snapshot that is being made
	same    bool              // the fact has changed nothing but processor times
}

func newModel(version string) *model {
	return &model{host: Host{Version: version}, guests: map[string]*Guest{}, domains: map[int]string{}}
}

// refusedKey is the key of a guest without a UUID.
func refusedKey(name string) string { return "refused " + name }

// twinKey is the key of a guest whose UUID another one has.
func twinKey(domid int) string { return "domain " + strconv.Itoa(domid) }

func (m *model) tell(e Event) { m.events = append(m.events, e) }

// snapshot copies the state.
func (m *model) snapshot(number uint64) *Snapshot {
	s := &Snapshot{Number: number, Host: m.host}
	s.Host.Networks = slices.Clone(m.host.Networks)
	s.Host.Daemons = slices.Clone(m.host.Daemons)
	s.Host.Log = slices.Clone(m.host.Log)
	s.Host.Stores = slices.Clone(m.host.Stores)
	s.Host.Volumes = slices.Clone(m.host.Volumes)
	s.Host.Remotes = slices.Clone(m.host.Remotes)
	s.Host.Stages = slices.Clone(m.host.Stages)
	s.Host.Full = slices.Clone(m.host.Full)
	s.Host.Problems = slices.Clone(m.host.Problems)
	for _, key := range slices.Sorted(maps.Keys(m.guests)) {
		s.Guests = append(s.Guests, *m.guests[key])
	}
	slices.SortStableFunc(s.Guests, func(a, b Guest) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// put replaces the element of list that is the same as item by key, or inserts it in the key's order.
func put[T any](list []T, item T, key func(T) string) []T {
	at, found := slices.BinarySearchFunc(list, item, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if found {
		list[at] = item
		return list
	}
	return slices.Insert(list, at, item)
}

func (f Machine) apply(m *model) { m.host.Machine = f }

func (f Stage) apply(m *model) {
	f.Problem = printable.Line(f.Problem)
	m.host.Stages = append(m.host.Stages, f)
	m.tell(f)
}

func (f Medium) apply(m *model) {
	f.Device, f.File, f.Mount = printable.Line(f.Device), printable.Line(f.File), printable.Line(f.Mount)
	f.Guests, f.Problem = slices.Clone(f.Guests), printable.Line(f.Problem)
	m.host.Medium = f
	m.tell(f)
}

func (f Network) apply(m *model) {
	f.Problem = printable.Line(f.Problem)
	f.Addresses, f.Gateways = slices.Clone(f.Addresses), slices.Clone(f.Gateways)
	f.DNS, f.Search = slices.Clone(f.DNS), slices.Clone(f.Search)
	name := func(n Network) string { return n.Interface }
	switch i := slices.IndexFunc(m.host.Networks, func(n Network) bool { return n.Interface == f.Interface }); {
	case f.Kind == InterfaceGone && i >= 0:
		m.host.Networks = slices.Delete(m.host.Networks, i, i+1)
	case f.Kind == InterfaceGone || f.Interface == "" && f.Kind == NetworkProblem:
	case i >= 0:
		m.host.Networks[i] = f.after(m.host.Networks[i])
	default:
		m.host.Networks = put(m.host.Networks, f.after(Network{}), name)
	}
	before := m.host.Network.First()
	if f.Primary && f.Kind != InterfaceGone {
		m.host.Network = f.after(m.host.Network)
	}
	if f.Kind != NetworkStatus {
		m.tell(f)
	}
	if now := m.host.Network.First(); now.IsValid() && now != before && m.host.SSH.Port != 0 {
		m.tellSSH()
	}
}

// outcomes are the kinds that say whether there is an address, and why not. Others leave that as it was.
var outcomes = []NetworkKind{Lease, NoLease, Lost, NoNIC, AddressSet}

// after is how the interface stands after the event, if it stood as before.
func (f Network) after(before Network) Network {
	if !slices.Contains(outcomes, f.Kind) {
		f.Kind, f.Problem, f.Tried = before.Kind, before.Problem, before.Tried
		f.Address, f.By, f.Gateway = before.Address, before.By, before.Gateway
	}
	return f
}

func (f Daemon) apply(m *model) {
	f.Problem = printable.Line(f.Problem)
	m.host.Daemons = put(m.host.Daemons, f, func(d Daemon) string { return d.Name })
	if !f.Quiet {
		m.tell(f)
	}
	if f.Failed {
		Problem{f.Problem}.apply(m)
	}
}

func (f DaemonGone) apply(m *model) {
	m.host.Daemons = slices.DeleteFunc(m.host.Daemons, func(d Daemon) bool { return d.Name == f.Name })
}

func (f Clock) apply(m *model) {
	f.Server, f.Problem = printable.Line(f.Server), printable.Line(f.Problem)
	f.Synced = f.Synced || m.host.Clock.Synced
	m.host.Clock = f
	if f.Moved != 0 {
		m.moveTimes(f.Moved)
	}
	m.tell(f)
}

// moveTimes keeps what the state says of when things happened true after the clock was set.
func (m *model) moveTimes(by time.Duration) {
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Round(0).Add(by) // without the monotonic clock, which was not set
		}
	}
	for _, g := range m.guests {
		move(&g.Since)
		move(&g.HeardAt)
	}
	for i := range m.host.Daemons {
		move(&m.host.Daemons[i].Since)
	}
}

func (f LogServer) apply(m *model) {
	f.URL, f.Problem = printable.Line(f.URL), printable.Line(f.Problem)
	event := f // with what was lost now
	for _, known := range m.host.Log {
		if known.URL == f.URL {
			f.Lost += known.Lost
		}
	}
	m.host.Log = put(m.host.Log, f, func(s LogServer) string { return s.URL })
	m.tell(event)
}

func (f WatchdogTimer) apply(m *model) {
	f.Name, f.Problem = printable.Line(f.Name), printable.Line(f.Problem)
	m.host.Watchdog = f
	m.tell(f)
}

func (f Store) apply(m *model) {
	f.URL, f.Guest = printable.Line(f.URL), printable.Line(f.Guest)
	f.Problem, f.Remedy = printable.Line(f.Problem), printable.Line(f.Remedy)
	m.host.Stores = put(m.host.Stores, f, func(s Store) string { return s.URL })
	if !f.Quiet {
		m.tell(f)
	}
}

// maxVolumes is how many disks and partitions are known: a table may list a thousand.
const maxVolumes = 256

func (f Volume) apply(m *model) {
	f.Device, f.Type, f.Label = printable.Line(f.Device), printable.Line(f.Type), printable.Line(f.Label)
	f.UUID, f.Mount, f.Problem = printable.Line(f.UUID), printable.Line(f.Mount), printable.Line(f.Problem)
	f.Guests = slices.Clone(f.Guests)
	device := func(v Volume) string { return v.Device }
	known := slices.ContainsFunc(m.host.Volumes, func(v Volume) bool { return v.Device == f.Device })
	if known || len(m.host.Volumes) < maxVolumes {
		m.host.Volumes = put(m.host.Volumes, f, device)
	}
	m.tell(f)
}

func (f VolumeProblem) apply(m *model) { m.tell(VolumeProblem{printable.Line(f.Text)}) }

func (f VolumeGone) apply(m *model) {
	f.Device = printable.Line(f.Device)
	m.host.Volumes = slices.DeleteFunc(m.host.Volumes, func(v Volume) bool { return v.Device == f.Device })
	m.dropBelow(f.Mount)
	m.tell(f)
}

func (f StateVolume) apply(m *model) {
	f.Device, f.UUID, f.Mount = printable.Line(f.Device), printable.Line(f.UUID), printable.Line(f.Mount)
	f.Problem, f.Remedy, f.Guests = printable.Line(f.Problem), printable.Line(f.Remedy), slices.Clone(f.Guests)
	before := m.host.State
	m.host.State = f
	if f.Mount == "" {
		m.dropBelow(before.Mount)
	}
	if f.Device != before.Device || f.Mount != before.Mount || f.Problem != before.Problem {
		m.tell(f)
	}
}

func (f Remote) apply(m *model) {
	f.URL, f.Device, f.Mount = printable.Line(f.URL), printable.Line(f.Device), printable.Line(f.Mount)
	f.Problem, f.Remedy = printable.Line(f.Problem), printable.Line(f.Remedy)
	f.Guests = slices.Clone(f.Guests)
	m.host.Remotes = put(m.host.Remotes, f, func(r Remote) string { return r.URL })
	m.tell(f)
}

func (f SSH) apply(m *model) {
	f.Problem = printable.Line(f.Problem)
	f.Methods, f.Fingerprints = slices.Clone(f.Methods), slices.Clone(f.Fingerprints)
	before := m.host.SSH
	m.host.SSH = f
	if !reflect.DeepEqual(before, f) {
		m.tellSSH()
	}
}

// tellSSH tells how to log in, with the address that dom0 has.
func (m *model) tellSSH() {
	f := m.host.SSH
	f.Address = m.host.Network.First()
	m.tell(f)
}

func (f SSHLogin) apply(m *model) {
	f.From, f.Method = printable.Line(f.From), printable.Line(f.Method)
	m.tell(f)
}

func (f SSHRefused) apply(m *model) {
	f.From = printable.Line(f.From)
	m.tell(f)
}

func (f ResumedHost) apply(m *model) { m.host = f.Host }

func (f Reserved) apply(m *model) { m.host.Memory = slices.Clone(f) }

// maxProblems bounds what goes wrong again and again with other words.
const maxProblems = 100

func (f Problem) apply(m *model) {
	text := printable.Line(f.Text)
	if !slices.Contains(m.host.Problems, text) && len(m.host.Problems) < maxProblems {
		m.host.Problems = append(m.host.Problems, text)
	}
}

func (f OutOfMemory) apply(m *model) {
	f.Name = printable.Line(f.Name)
	m.tell(f)
}

func (f FileSystem) apply(m *model) {
	if f.Full {
		m.host.Full = put(m.host.Full, f, func(s FileSystem) string { return s.Dir })
	} else {
		m.host.Full = slices.DeleteFunc(m.host.Full, func(s FileSystem) bool { return s.Dir == f.Dir })
	}
	m.tell(f)
}

func (f Configured) apply(m *model) {
	m.host.Settings = nil
	for _, s := range f {
		m.host.Settings = append(m.host.Settings,
			Setting{printable.Line(s.Key), printable.Line(s.Value), printable.Line(s.Source)})
	}
}

func (f Ready) apply(m *model) {
	if f.Guests != NoGuests {
		f.Guests = m.snapshot(0).Running()
	}
	m.host.Ready = true
	m.tell(f)
}

func (f Ending) apply(m *model) {
	m.host.Ending = f.Action
	m.tell(f)
}

func (f Planned) apply(m *model) {
	old := m.guests[f.Spec.UUID]
	m.dropEnded(f.Spec.Name)
	m.dropSource(f.Source)
	g := &Guest{
		Name: f.Spec.Name, UUID: f.Spec.UUID, Origin: printable.Line(f.Spec.File), Spec: f.Spec,
		Source: f.Source.Printable(), Managed: true,
		Type: string(f.Spec.Type), NeedKiB: f.Spec.NeedKiB(), MACs: f.Spec.MACs,
	}
	if old != nil {
		g.Domid = old.Domid // of a domain whose end has not been seen yet
	}
	m.guests[g.UUID] = g
	m.enter(g, Waiting, "")
}

func (f Resumed) apply(m *model) {
	g := f.Guest
	g.Order = "" // whoever has waited for that is gone
	if !g.Phase.Live() && g.Domid == 0 {
		m.guests[cmp.Or(g.UUID, refusedKey(g.Name))] = &g
		return
	}
	g.given = 0    // a list of domains that does not have it says that it is gone
	g.Served = nil // the observer looks anew
	m.guests[g.UUID] = &g
	if g.Domid != 0 {
		m.domains[g.Domid] = g.UUID
	}
}

// enter moves a guest into a phase.
func (m *model) enter(g *Guest, phase Phase, problem string) {
	if g.Phase != phase {
		g.Phase, g.Since = phase, time.Now()
	}
	if problem != "" {
		g.Problem = problem
	}
}

func (f GuestRefused) apply(m *model) {
	problem := printable.Line(f.Err.Error())
	name, origin := printable.Line(f.Name), printable.Line(f.Origin)
	m.tell(GuestNotStarted{Name: name, Origin: origin, Problem: problem})
	if g := m.guests[f.UUID]; g != nil && f.UUID != "" {
		m.enter(g, Failed, problem)
		return
	}
	if m.live(name) {
		Problem{problem}.apply(m) // the guest's own line is the live one's
		return
	}
	m.dropEnded(name)
	m.dropSource(f.Source)
	m.forgetOldest()
	m.guests[refusedKey(name)] = &Guest{
		Name: name, Origin: origin, Source: f.Source.Printable(), Phase: Refused, Since: time.Now(), Problem: problem,
	}
}

// live says whether there is a guest that has this name now.
func (m *model) live(name string) bool {
	for _, g := range m.guests {
		if g.Name == name && g.Phase.Live() {
			return true
		}
	}
	return false
}

// dropEnded forgets guests of that name that have ended: a name has one line.
func (m *model) dropEnded(name string) {
	maps.DeleteFunc(m.guests, func(_ string, g *Guest) bool {
		return g.Name == name && !g.Phase.Live() && g.Domid == 0
	})
}

// maxEnded is how many guests are known after their end: a host may make some all day, each with another name.
const maxEnded = 100

// forgetOldest forgets the guest that ended first where too many are known.
func (m *model) forgetOldest() {
	var oldest string
	for key, g := range m.guests {
		if g.isOver() && (oldest == "" || g.Since.Before(m.guests[oldest].Since)) {
			oldest = key
		}
	}
	if m.ended() >= maxEnded {
		delete(m.guests, oldest)
	}
}

// ended counts the guests that do not run.
func (m *model) ended() int {
	n := 0
	for _, g := range m.guests {
		if g.isOver() {
			n++
		}
	}
	return n
}

func (f GuestPhase) apply(m *model) {
	g := m.guests[f.UUID]
	if g == nil {
		return
	}
	problem := printable.Line(f.Problem)
	if f.Phase == Restarting && g.Phase != Restarting {
		if g.Phase != Creating { // the same restart once more
			g.Restarts++
		}
		m.tell(GuestRestarts{Name: g.Name, Problem: problem})
		if g.Wanted == WantStop && g.Order == "" {
			g.Wanted = "" // it did not hear that it was to stop, and has rebooted later
		}
	}
	if f.Phase == Waiting && problem != "" && problem != g.Problem {
		m.tell(GuestWaits{Name: g.Name, Origin: g.Origin, Problem: problem})
	}
	m.enter(g, f.Phase, problem)
}

func (f Created) apply(m *model) {
	g := m.guests[f.UUID]
	if g == nil {
		return
	}
	m.give(f.UUID, f.Domid)
	g.Problem = ""
	if g.Wanted == WantRestart {
		g.Wanted = ""
	}
	m.enter(g, Running, "")
	m.tell(GuestRan{Name: g.Name, Domid: f.Domid, Took: f.Took, Type: g.Type})
	m.address(g, netip.Addr{})
}

// give gives a guest a domain, which is a new one when it had another.
func (m *model) give(key string, domid int) {
	if g := m.guests[key]; g.Domid != domid {
		g.leave()
		g.Domid, g.given = domid, m.number
	}
	m.domains[domid] = key
}

// leave takes from a guest what belonged to its domain.
func (g *Guest) leave() {
	g.Domid, g.Said, g.Heard, g.Paused, g.Shutdown = 0, netip.Addr{}, netip.Addr{}, false, ""
	g.MemoryKiB, g.VCPUs, g.CPUSeconds, g.Served = 0, 0, 0, nil
}

func (f Came) apply(m *model) {
	if _, known := m.domains[f.Domid]; known {
		return
	}
	name, key, guest := printable.Line(f.Name), f.UUID, Guest{UUID: f.UUID}
	if m.hasDomain(key) {
		key, guest = twinKey(f.Domid), Guest{twinOf: f.UUID}
	}
	g := m.guests[key]
	if g == nil {
		m.dropEnded(name)
		m.forgetOldest()
		guest.Name, g = name, &guest
		m.guests[key] = g
	}
	ours := g.Phase == Creating
	m.give(key, f.Domid)
	if ours {
		return // it runs when the controller says so
	}
	if name != "" {
		g.Name = name
	}
	g.Problem = ""
	m.enter(g, Running, "")
	m.tell(GuestRan{Name: g.Name, Domid: f.Domid})
}

// hasDomain says whether a guest has a domain and is not about to get another one.
func (m *model) hasDomain(key string) bool {
	g := m.guests[key]
	return g != nil && g.Domid != 0 && g.Phase != Creating
}

// guest returns the guest of a domain, nil where it is not the guest's present one.
func (m *model) guest(domid int) *Guest {
	if g := m.guests[m.domains[domid]]; g != nil && g.Domid == domid {
		return g
	}
	return nil
}

func (f Named) apply(m *model) {
	g := m.guest(f.Domid)
	if name := printable.Line(f.Name); g != nil && name != "" && name != g.Name {
		m.dropEnded(name)
		g.Name = name
	}
}

func (f Gone) apply(m *model) {
	g := m.guests[m.domains[f.Domid]]
	delete(m.domains, f.Domid)
	if g == nil {
		return
	}
	current := g.Domid == f.Domid
	ran := !current || g.Phase != Creating && g.Phase != Failed
	if current {
		g.leave()
		if g.Phase == Running || g.Phase == Stopping || g.Phase == Crashed || m.host.Ending != "" {
			m.enter(g, Stopped, "")
		}
	}
	if m.host.Ending == "" && ran {
		again := !current || g.Phase == Restarting || g.Phase == Creating
		m.tell(GuestEnded{Name: g.Name, Domid: f.Domid, Restarts: again})
	}
	if current && !g.Managed && g.UUID != "" {
		m.pass(g.UUID)
	}
}

// pass gives the UUID of a guest that has ended to one that had to do without: a person made it from the same
// configuration, or it is the same guest at the end of its migration on this host.
func (m *model) pass(uuid string) {
	for key, g := range m.guests {
		if g.twinOf == uuid {
			delete(m.guests, key)
			g.UUID, g.twinOf = uuid, ""
			m.guests[uuid], m.domains[g.Domid] = g, uuid
			return
		}
	}
}

func (f Ended) apply(m *model) {
	name := printable.Line(f.Name)
	problem := ""
	if f.Err != nil {
		problem = printable.Line(f.Err.Error())
	}
	if g := m.guest(f.Domid); g != nil {
		m.enter(g, Stopped, problem)
	}
	m.tell(GuestEnded{Name: name, Domid: f.Domid, Forced: &f.Forced, Problem: problem})
}

func (f Listed) apply(m *model) {
	m.host.Listed = time.Now()
	m.same = true
	listed := map[int]bool{}
	for _, d := range f.Domains {
		listed[d.Domid] = true
		if g := m.guest(d.Domid); g != nil {
			m.list(g, d)
		}
	}
	for domid := range m.domains {
		if g := m.guests[m.domains[domid]]; !listed[domid] && g != nil && g.given <= f.Asked {
			m.same = false
			Gone{domid}.apply(m)
		}
	}
}

// list takes in what Xen says of a guest's domain.
func (m *model) list(g *Guest, d Domain) {
	before := *g
	g.Paused = d.Paused && g.Phase == Running
	g.Shutdown, g.VCPUs, g.MemoryKiB = d.Shutdown, d.VCPUs, d.MemoryKiB
	if !g.Managed && g.Phase == Running && (d.Shutdown == Crash || d.Shutdown == Watchdog) {
		m.enter(g, Crashed, "") // the controller tells it of its own guests
	}
	if g.Spec == nil && d.Shutdown == "" {
		g.NeedKiB = d.MemoryKiB
	}
	if g.Paused != before.Paused || g.Shutdown != before.Shutdown || g.Phase != before.Phase ||
		g.VCPUs != before.VCPUs || g.MemoryKiB != before.MemoryKiB || g.NeedKiB != before.NeedKiB {
		m.same = false
	}
	g.CPUSeconds = d.CPUSeconds
}

func (f Unmanaged) apply(m *model) {
	if g := m.guests[f.UUID]; g != nil {
		g.Managed, g.Wanted = false, ""
	}
}

func (f Plugged) apply(m *model) {
	if g := m.guest(f.Domid); g != nil {
		g.MACs = slices.Clone(f.MACs)
	}
}

func (f GuestFlood) apply(m *model) {
	if g := m.guest(f.Domid); g != nil {
		f.Problem = printable.Line(f.Problem)
		m.tell(GuestFloods{Name: g.Name, Domid: f.Domid, What: f.What, Problem: f.Problem})
		Problem{"guest " + g.Name + " floods dom0, which holds it back; logs shows with what"}.apply(m) // one for each
	}
}

func (f GuestRefusedTraffic) apply(m *model) {
	if g := m.guests[f.UUID]; g != nil {
		f.Name = g.Name
	}
	f.Name = printable.Line(f.Name)
	m.tell(f)
	// One for each guest: there is room for so many only, and the guest has the say how many reasons it gives.
	Problem{"guest " + f.Name + " sends what it must not, which is dropped; see guest show " + f.Name}.apply(m)
}

func (f Said) apply(m *model) {
	g := m.guest(f.Domid)
	if g == nil || f.Address.IsValid() && !reachable(f.Address) {
		return
	}
	before := g.told()
	g.Said = f.Address
	m.address(g, before)
}

func (f Heard) apply(m *model) {
	if g := m.guest(f.Domid); g != nil && slices.Contains(g.MACs, f.MAC) && reachable(f.Address) {
		before := g.told()
		g.Heard, g.HeardAt = f.Address, time.Now()
		m.address(g, before)
	}
}

// reachable says whether a host can have that address on a network.
func reachable(a netip.Addr) bool { return a.IsGlobalUnicast() || a.IsLinkLocalUnicast() }

// told is the address that views know: none before they know that the guest runs.
func (g *Guest) told() netip.Addr {
	if g.Phase != Running {
		return netip.Addr{}
	}
	return g.Address()
}

// address tells where a guest can be reached when that is another place than before.
func (m *model) address(g *Guest, before netip.Addr) {
	if now := g.told(); now.IsValid() && now != before {
		m.tell(GuestAddressed{Name: g.Name, Domid: g.Domid, Address: now})
	}
}
