package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/meter"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// getGuests answers with the paths of guests, with recursion=1 with guests, with recursion=2 with what they use, too.
func (s *server) getGuests(_ http.ResponseWriter, r *http.Request) answer {
	now := s.State.Snapshot()
	depth, err := number(r, "recursion", 0, 0)
	if err != nil {
		return failed(err)
	}
	if depth == 0 {
		paths := []string{}
		for _, g := range now.Guests {
			paths = append(paths, guestPath(g.Name))
		}
		return result{paths}
	}
	if depth == 1 {
		return s.list(now)
	}
	return result{s.guestsInUse(now)}
}

// guestsInUse are all guests with what they use.
func (s *server) guestsInUse(now *host.Snapshot) []Guest {
	cpu, used := s.Meter.CPU(now), s.used()
	views := guestViews(now, cpu, time.Now())
	for i := range views {
		state := stateView(&now.Guests[i], cpu, used)
		views[i].State = &state
	}
	return views
}

// listing is an answer to a request for all guests.
type listing struct {
	of   *host.Snapshot
	at   time.Time
	text encoded
}

// listingLasts is for how long a listing may be used while the state is unchanged: shares of the processors and times
// change every second.
const listingLasts = time.Second

// fits says whether a listing may be used at the given time. There may be none.
func (l *listing) fits(now *host.Snapshot, at time.Time) bool {
	return l != nil && l.of == now && at.Sub(l.at) < listingLasts
}

// list answers with all guests. Requests within a second share an answer while the state is unchanged: to encode it is
// dear.
func (s *server) list(now *host.Snapshot) answer {
	at := time.Now()
	if last := s.listed.Load(); last.fits(now, at) {
		return last.text
	}
	text, err := encode(result{guestViews(now, s.Meter.CPU(now), at)}.envelope())
	if err != nil {
		return failed(err)
	}
	s.listed.Store(&listing{now, at, text})
	return encoded(text)
}

// guestViews are all guests as the API shows them at the given time.
func guestViews(now *host.Snapshot, cpu meter.CPU, at time.Time) []Guest {
	views := make([]Guest, 0, len(now.Guests))
	for i := range now.Guests {
		views = append(views, guestView(&now.Guests[i], cpu, at))
	}
	return views
}

func (s *server) getGuest(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	return result{guestView(g, s.Meter.CPU(s.State.Snapshot()), time.Now())}
}

func (s *server) getGuestState(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	return result{stateView(g, s.Meter.CPU(s.State.Snapshot()), s.used())}
}

func (s *server) getGuestLogs(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	return s.logs(r, g.Name)
}

func (s *server) getDisks(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	return result{diskViews(g)}
}

func (s *server) getNICs(_ http.ResponseWriter, r *http.Request) answer {
	g, err := s.guest(r)
	if err != nil {
		return failed(err)
	}
	nics := []NIC{}
	for _, mac := range g.MACs {
		nics = append(nics, NIC{MAC: mac})
	}
	return result{nics}
}

// guest returns the guest that a request's path names.
func (s *server) guest(r *http.Request) (*host.Guest, error) {
	name := r.PathValue("name")
	if g := s.State.Snapshot().ByName(name); g != nil {
		return g, nil
	}
	return nil, notFound("guest", name)
}

// Status is a guest's phase as people know it.
func Status(g *host.Guest) string {
	switch {
	case g.Paused:
		return "paused"
	case g.Shutdown == host.Suspend:
		return "suspended"
	}
	return string(g.Phase)
}

// guestView is a guest as the API shows it at the given time.
func guestView(g *host.Guest, cpu meter.CPU, at time.Time) Guest {
	view := Guest{
		Name: g.Name, UUID: g.UUID, Status: Status(g), Type: g.Type, Config: g.Origin, Managed: g.Managed,
		Domid: g.Domid, MACs: append([]string{}, g.MACs...), Memory: memoryBytes(g), VCPUs: g.VCPUs,
		Disks: diskViews(g), Restarts: g.Restarts, Problem: g.Problem, CPU: percent(g, cpu), Order: g.Order,
	}
	if g.VCPUs == 0 && g.Spec != nil {
		view.VCPUs = int(g.Spec.Memory.VCPUs)
	}
	if a := g.Address(); a.IsValid() {
		view.Address = a.String()
	}
	if c := g.Changes; c.BudgetKiB != 0 {
		view.Changes = &Changes{Budget: c.BudgetKiB << 10, Used: c.UsedKiB << 10, Full: c.Full}
	}
	if !g.Since.IsZero() {
		view.Since, view.Seconds = g.Since.UTC().Format(time.RFC3339), int64(at.Sub(g.Since).Seconds())
	}
	return view
}

// memoryBytes is what a guest has of memory, or what it will have.
func memoryBytes(g *host.Guest) int64 {
	switch {
	case g.Domid != 0 && g.MemoryKiB != 0:
		return g.MemoryKiB << 10
	case g.Spec != nil:
		return g.Spec.Memory.RAM << 10
	}
	return g.NeedKiB << 10 // with what Xen needs for it
}

func diskViews(g *host.Guest) []Disk {
	views := []Disk{}
	for _, d := range g.AllDisks() {
		views = append(views, Disk{
			Vdev: d.Vdev, Target: d.Target, Format: d.Format, Writable: d.Writable, CopyOnWrite: d.CopyOnWrite,
			Problem: d.Problem, ByXL: d.ByXL, Detached: d.Detached,
		})
	}
	return views
}

// use is what the devices of all guests have carried.
type use struct {
	traffic map[int]meter.Traffic       // by domid
	packets map[string]vifrules.Traffic // by UUID
}

func (s *server) used() use { return use{s.Meter.Traffic(), s.Meter.Packets()} }

// stateView is what a guest uses.
func stateView(g *host.Guest, cpu meter.CPU, used use) GuestState {
	view := GuestState{
		Status: Status(g), Domid: g.Domid, Network: map[string]Traffic{}, Disk: map[string]Traffic{},
		CPU: CPUState{Seconds: cpu[g.Domid].Used.Seconds(), Percent: percent(g, cpu)},
	}
	if packets, known := used.packets[strings.ToLower(g.UUID)]; known {
		view.Rules = rulesView(packets)
	}
	if g.Domid == 0 {
		return view
	}
	view.Memory.Usage = memoryBytes(g)
	for name, count := range used.traffic[g.Domid].Network {
		view.Network[name] = Traffic(count)
	}
	for name, count := range used.traffic[g.Domid].Disk {
		view.Disk[name] = Traffic(count)
	}
	return view
}

func rulesView(t vifrules.Traffic) *RulesState {
	view := &RulesState{
		Received: PacketCount(t.Received), Sent: PacketCount(t.Sent), Dropped: map[string]PacketCount{},
	}
	for reason, count := range t.Dropped {
		view.Dropped[string(reason)] = PacketCount(count)
	}
	return view
}

// percent is a guest's share of one processor, nil while that is unknown.
func percent(g *host.Guest, cpu meter.CPU) *float64 {
	share, known := cpu[g.Domid]
	if !known || !share.Known || g.Domid == 0 {
		return nil
	}
	rounded := float64(int(share.Percent*10+0.5)) / 10
	return &rounded
}

// actions are what PUT .../state orders, by the word for it.
var actions = map[string]struct {
	does  string
	order func(ctx context.Context, to Orders, name string, p StatePut) error
}{
	"start": {"starting", func(ctx context.Context, to Orders, name string, _ StatePut) error {
		return to.StartGuest(ctx, name)
	}},
	"stop": {"stopping", func(ctx context.Context, to Orders, name string, p StatePut) error {
		return to.Stop(ctx, name, p.patience(), p.Force)
	}},
	"restart": {"restarting", func(ctx context.Context, to Orders, name string, p StatePut) error {
		return to.Restart(ctx, name, p.patience(), p.Force)
	}},
	"pause": {"pausing", func(ctx context.Context, to Orders, name string, _ StatePut) error {
		return to.Pause(ctx, name)
	}},
	"resume": {"resuming", func(ctx context.Context, to Orders, name string, _ StatePut) error {
		return to.Unpause(ctx, name)
	}},
	"destroy": {"destroying", func(ctx context.Context, to Orders, name string, _ StatePut) error {
		return to.Destroy(ctx, name)
	}},
}

// How long a guest has to shut down, seconds.
const (
	DefaultTimeout = 60
	maxTimeout     = 24 * 60 * 60
)

// patience is how long the guest has.
func (p StatePut) patience() time.Duration {
	if p.Timeout == nil {
		return DefaultTimeout * time.Second
	}
	return time.Duration(*p.Timeout) * time.Second
}
