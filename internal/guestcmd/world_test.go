package guestcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/client"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/meter"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

var errPhase = errors.New("guest web is paused; resume it first")

// controller is one that writes down what it is ordered to.
type controller struct {
	got  chan string
	fail error
	hang bool
}

func (o *controller) do(ctx context.Context, format string, args ...any) error {
	o.got <- fmt.Sprintf(format, args...)
	if o.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return o.fail
}

func (o *controller) StartGuest(ctx context.Context, name string) error {
	return o.do(ctx, "start %s", name)
}
func (o *controller) Stop(ctx context.Context, name string, timeout time.Duration, force bool) error {
	return o.do(ctx, "stop %s %v %v", name, timeout, force)
}
func (o *controller) Restart(ctx context.Context, name string, timeout time.Duration, force bool) error {
	return o.do(ctx, "restart %s %v %v", name, timeout, force)
}
func (o *controller) Pause(ctx context.Context, name string) error {
	return o.do(ctx, "pause %s", name)
}
func (o *controller) Unpause(ctx context.Context, name string) error {
	return o.do(ctx, "resume %s", name)
}
func (o *controller) Destroy(ctx context.Context, name string) error {
	return o.do(ctx, "destroy %s", name)
}
func (o *controller) Rename(ctx context.Context, name, to string) error {
	return o.do(ctx, "rename %s %s", name, to)
}
func (o *controller) SetMemory(ctx context.Context, name string, kib int64) error {
	return o.do(ctx, "memory %s %d", name, kib)
}
func (o *controller) SetVCPUs(ctx context.Context, name string, count int) error {
	return o.do(ctx, "vcpus %s %d", name, count)
}
func (o *controller) AttachDisk(ctx context.Context, name, spec string) (string, error) {
	return "xvdb", o.do(ctx, "attach disk %s %s", name, spec)
}
func (o *controller) DetachDisk(ctx context.Context, name, vdev string) error {
	return o.do(ctx, "detach disk %s %s", name, vdev)
}
func (o *controller) AttachNIC(ctx context.Context, name, spec string) (string, error) {
	return "00:16:3e:00:00:02", o.do(ctx, "attach nic %s %s", name, spec)
}
func (o *controller) DetachNIC(ctx context.Context, name, mac string) error {
	return o.do(ctx, "detach nic %s %s", name, mac)
}

const said = "one\r\ntwo\x1b[2J\r\nlogin: "

// hub has the guests' consoles. What is typed comes back.
type hub struct{}

type session struct {
	io.Reader
	io.WriteCloser
}

func (hub) Log(string) ([]byte, int64) { return []byte(said), 100 }
func (hub) Open(string, int64) (api.Session, error) {
	r, w := io.Pipe()
	return session{r, w}, nil
}

func (hub) Recent(api.Query) ([]api.LogLine, error)   { return nil, nil }
func (hub) Follow(context.Context) <-chan api.LogLine { return nil }

// world is a host with the guests web and db, which run, and old, which was refused.
type world struct {
	t      *testing.T
	state  *host.State
	orders *controller
	config Config
	socket string
	save   func(what api.SavePost)
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, orders: &controller{got: make(chan string, 100)}, socket: filepath.Join(t.TempDir(), "s"),
		save: func(api.SavePost) {},
	}
	state := host.New(t.Context(), "test")
	for i, name := range []string{"web", "db"} {
		uuid := fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		spec := &guests.Resolved{
			Guest: &guests.Guest{Name: name, File: "/g/" + name + ".cfg"}, UUID: uuid, Type: guests.PVH,
			MACs:   []string{fmt.Sprintf("00:16:3e:00:00:%02d", i)},
			Memory: guests.Memory{RAM: 96 << 10, VCPUs: 1, Shadow: -1},
		}
		for _, fact := range []host.Fact{
			host.Planned{Spec: spec}, host.GuestPhase{UUID: uuid, Phase: host.Creating},
			host.Came{Domid: i + 1, UUID: uuid, Name: name}, host.Created{UUID: uuid, Domid: i + 1},
			host.GuestDisks{UUID: uuid, Disks: []host.Disk{{Vdev: "xvda", Target: "/x.img", Format: "raw"}}},
			host.Served{Domid: i + 1, Disks: []host.Disk{
				{Vdev: "xvdc", Target: "/c.img", Format: "raw", Writable: true},
			}},
			host.Said{Domid: i + 1, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})},
		} {
			state.Tell(fact)
		}
	}
	state.Tell(host.GuestRefused{Name: "old", Origin: "/old.cfg", Err: errors.New("not enough memory: " +
		"it needs 4096 MiB, 100 MiB are free; give it less, or end other guests")})
	w.config = Config{Client: client.New(w.socket), In: strings.NewReader("")}
	w.state = state
	w.serve(state)
	return w
}

// counted is what the rules have counted.
func counted() ([]vifrules.Traffic, vifrules.HostDrops, error) {
	return []vifrules.Traffic{{
		UUID: "00000000-0000-0000-0000-000000000000", Received: vifrules.Count{Packets: 7},
		Dropped: map[vifrules.Reason]vifrules.Count{vifrules.DHCPServer: {Packets: 3, Bytes: 300}},
	}}, vifrules.HostDrops{}, nil
}

func (w *world) serve(state *host.State) {
	listener, err := api.Listen(w.socket)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = api.Serve(w.t.Context(), listener, api.Control, api.Config{
			State: state, Orders: w.orders, Consoles: hub{}, Logs: hub{},
			Meter: meter.New(fstest.MapFS{}, fstest.MapFS{}, noXen).WithRules(counted),
			Log:   slog.New(slog.DiscardHandler),
			Save: func(
				_ context.Context, guest string, p api.SavePost, tell func(api.Progress), note func(string),
			) error {
				w.save(p)
				tell(api.Progress{Step: "copying", Done: 1, Total: 2})
				note("saved " + guest)
				return nil
			},
			Status: func(err error) int {
				if errors.Is(err, errPhase) {
					return http.StatusConflict
				}
				return http.StatusInternalServerError
			},
		})
	}()
}

// guest runs the command, words separated by blanks.
func (w *world) guest(line string) (status int, out, errors string) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	w.config.Out, w.config.Err = &stdout, &stderr
	status = Main(strings.Fields(line), w.config)
	return status, stdout.String(), stderr.String()
}

func noXen() (map[int]time.Duration, error) { return nil, errors.ErrUnsupported }
