package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/meter"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

var (
	errNoGuest = errors.New("no such guest any more")
	errPhase   = errors.New("it does not run; guest start starts it")
)

// orders is a controller that writes down what it is ordered to.
type orders struct {
	got  chan string
	fail error
	hold chan struct{} // where it is not nil, Stop waits until it is closed
}

func (o *orders) do(format string, args ...any) error {
	o.got <- fmt.Sprintf(format, args...)
	return o.fail
}

func (o *orders) StartGuest(_ context.Context, name string) error { return o.do("start %s", name) }
func (o *orders) Stop(ctx context.Context, name string, timeout time.Duration, force bool) error {
	if o.hold != nil {
		select {
		case <-o.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return o.do("stop %s %v %v", name, timeout, force)
}
func (o *orders) Restart(_ context.Context, name string, timeout time.Duration, force bool) error {
	return o.do("restart %s %v %v", name, timeout, force)
}
func (o *orders) Pause(_ context.Context, name string) error   { return o.do("pause %s", name) }
func (o *orders) Unpause(_ context.Context, name string) error { return o.do("resume %s", name) }
func (o *orders) Destroy(_ context.Context, name string) error { return o.do("destroy %s", name) }
func (o *orders) Rename(_ context.Context, name, to string) error {
	return o.do("rename %s %s", name, to)
}
func (o *orders) SetMemory(_ context.Context, name string, kib int64) error {
	return o.do("memory %s %d", name, kib)
}
func (o *orders) SetVCPUs(_ context.Context, name string, count int) error {
	return o.do("vcpus %s %d", name, count)
}
func (o *orders) AttachDisk(_ context.Context, name, spec string) (string, error) {
	return "xvdb", o.do("attach disk %s %s", name, spec)
}
func (o *orders) DetachDisk(_ context.Context, name, vdev string) error {
	return o.do("detach disk %s %s", name, vdev)
}
func (o *orders) AttachNIC(_ context.Context, name, spec string) (string, error) {
	return "00:16:3e:00:00:02", o.do("attach nic %s %s", name, spec)
}
func (o *orders) DetachNIC(_ context.Context, name, mac string) error {
	return o.do("detach nic %s %s", name, mac)
}

// hub has one guest's console: what was said, and a pipe of what is said from now on.
type hub struct {
	said  string
	says  io.ReadCloser
	typed chan string
}

type session struct {
	io.Reader
	*hub
}

func (h *hub) Log(uuid string) ([]byte, int64) {
	if uuid != guestUUID {
		return nil, 0
	}
	return []byte(h.said), 100
}
func (h *hub) Open(_ string, from int64) (Session, error) {
	return session{io.MultiReader(strings.NewReader(h.said[from-100:]), h.says), h}, nil
}
func (s session) Write(p []byte) (int, error) { s.typed <- string(p); return len(p), nil }
func (s session) Close() error                { return s.says.Close() }

const guestUUID = "00000000-0000-0000-0000-000000000001"

// world is a server and what it works with.
type world struct {
	t      testing.TB
	state  *host.State
	orders *orders
	hub    *hub
	says   *io.PipeWriter
	save   func(ctx context.Context, tell func(Progress)) error
	socket string
	client *http.Client
	logs   *logs.Store
	logged logged
}

// logged has what the server writes to its log.
type logged chan string

func (l logged) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default: // nobody looks
	}
	return len(p), nil
}

// newWorld starts a server with the guest web, which runs, and old, which was refused.
func newWorld(t testing.TB, granted Access) *world {
	t.Helper()
	w := newWorldWith(t, granted, host.New(t.Context(), "1.0 test"))
	w.tell()
	return w
}

// counted is what the rules have counted.
func counted() ([]vifrules.Traffic, vifrules.HostDrops, error) {
	return []vifrules.Traffic{{
		UUID: guestUUID, Sent: vifrules.Count{Packets: 9, Bytes: 900},
		Dropped: map[vifrules.Reason]vifrules.Count{vifrules.DHCPServer: {Packets: 3, Bytes: 300}},
	}}, vifrules.HostDrops{}, nil
}

func newWorldWith(t testing.TB, granted Access, state *host.State) *world {
	t.Helper()
	r, says := io.Pipe()
	w := &world{
		t: t, orders: &orders{got: make(chan string, 100)}, says: says,
		hub: &hub{said: "hello\r\nworld", says: r, typed: make(chan string, 10)}, logged: make(logged, 100),
	}
	log := slog.New(slog.NewTextHandler(w.logged, nil))
	dir := t.TempDir()
	w.logs = logs.Open(logs.Options{Dir: dir})
	w.state = state
	m := meter.New(fstest.MapFS{
		"thread-self/net/dev": &fstest.MapFile{Data: []byte("vif3.0: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n")},
	}, fstest.MapFS{}, func() (map[int]time.Duration, error) { return nil, errors.ErrUnsupported }).WithRules(counted)
	l, err := Listen(filepath.Join(t.TempDir(), "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	w.socket = l.Addr().String()
	w.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
		},
	}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, granted, Config{
			State: w.state, Orders: w.orders, Consoles: w.hub, Meter: m, Log: log,
			Logs: HostLog{dir, "init"},
			Save: func(ctx context.Context, guest string, _ SavePost, tell func(Progress), note func(string)) error {
				note("saved " + guest)
				return w.save(ctx, tell)
			},
			Status: func(err error) int {
				switch {
				case errors.Is(err, errNoGuest):
					return http.StatusNotFound
				case errors.Is(err, errPhase):
					return http.StatusConflict
				}
				return http.StatusInternalServerError
			},
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// tell makes the state of a host with guests.
func (w *world) tell() {
	spec := &guests.Resolved{
		Guest: &guests.Guest{Name: "web", File: "/media/boot/guests/web/web.cfg"}, UUID: guestUUID, Type: guests.PVH,
		MACs:   []string{"00:16:3e:00:00:01"},
		Memory: guests.Memory{RAM: 96 << 10, MaxRAM: 96 << 10, VCPUs: 1, Shadow: -1},
	}
	for _, fact := range []host.Fact{
		host.Machine{Xen: "4.20", CPUs: 2, TotalKiB: 1 << 20, GuestType: "pvh"},
		host.Network{Kind: host.Lease, Interface: "xenbr0", NIC: "eth0", Primary: true,
			Address: netip.MustParsePrefix("10.0.0.9/24")},
		host.Daemon{Name: "xenstored", Phase: "running", PID: 7},
		host.Volume{Device: "/dev/sda1", Trusted: true, Guests: []string{"web"}},
		host.StateVolume{Device: "/dev/sdb1", Mount: "/state", Bytes: 10, Free: 5},
		host.Reserved{{Owner: "web", XenKiB: 96 << 10}},
		host.Planned{Spec: spec},
		host.GuestPhase{UUID: guestUUID, Phase: host.Creating},
		host.Came{Domid: 3, UUID: guestUUID, Name: "web"},
		host.Created{UUID: guestUUID, Domid: 3},
		host.GuestDisks{
			UUID: guestUUID, Changes: host.Changes{BudgetKiB: 64 << 10, UsedKiB: 1},
			Disks: []host.Disk{{Vdev: "xvda", Target: "/x.img", Format: "raw", Writable: true, CopyOnWrite: true}},
		},
		host.Served{Domid: 3, Disks: []host.Disk{{Vdev: "xvdc", Target: "/c.img", Format: "raw"}}},
		host.Said{Domid: 3, Address: netip.MustParseAddr("10.0.0.2")},
		host.GuestRefused{Name: "old", Origin: "/old.cfg", Err: errors.New("no memory")},
	} {
		w.state.Tell(fact)
	}
}

// ask sends a request and returns the answer with its body, which it has held to the description.
func (w *world) ask(method, path, body string) (*http.Response, string) {
	w.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://host"+path, content)
	r.RequestURI = ""
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := w.client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	described(w.t, r, answer, text)
	return answer, string(text)
}
