package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/guestdisk/guestdisktest"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// domain is one of the fake hypervisor's.
type domain struct {
	name, uuid, state string
	kib               int64
	vcpus             int    // 0 is 1
	deaf              bool   // it does not do what it is asked for
	undriven          bool   // it has no Xen drivers
	devices           string // that were attached while it ran, a line each
}

// world is a fake Xen with its xl and its store, and the controller on top of them.
type world struct {
	*Controller
	t      *testing.T
	server *xenstoretest.Server
	ledger *memory.Ledger
	kernel *guestdisktest.Kernel
	store  string // directory of guests

	mu      sync.Mutex // guards what follows
	domains map[int]*domain
	last    int   // domid
	free    int64 // of Xen's memory, KiB
	entries []memory.Entry
	calls   []string
	// create, when it is set, is asked before xl creates: what goes wrong.
	create func(ctx context.Context, d *domain) error
	// fixed are the domains that cannot be destroyed.
	fixed bool
	// deaf says that xl list fails.
	deaf bool
	// linger says that Xen still lists a domain that was destroyed: a backend has pages of it.
	linger bool
	dead   string // lines of those in the list
}

func (w *world) newDisks(state *host.State) *guestdisk.Manager {
	return guestdisk.New(guestdisk.Config{
		Kernel: w.kernel, Load: w.kernel.Load, Ledger: w.ledger, Dir: w.t.TempDir(),
		Budgets: func() guestdisk.Budgets { return guestdisk.NewBudgets(0, nil) },
		Direct:  func(string) bool { return false }, Tell: state.Tell,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, server: xenstoretest.New(), domains: map[int]*domain{}, free: 1000 * mib, store: t.TempDir()}
	w.server.Set("/local/domain/0/name", "Domain-0")
	client := w.server.Client(t)
	state := host.New(t.Context(), "test")
	toolstack := xen.NewToolstack(w.run, client)
	w.ledger = memory.New(memory.Source{
		XenFree: func(context.Context) (int64, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.free, nil
		},
		Available: func() (int64, error) { return 500 * mib, nil },
		GiveUp:    func(context.Context, int64) (int64, error) { return 0, nil },
	}, func(e []memory.Entry) { w.entries = e })
	w.kernel = &guestdisktest.Kernel{Size: 64 << 20}
	w.Controller = New(Config{
		Xen: toolstack, State: state, Ledger: w.ledger, Disks: w.newDisks(state), Dir: t.TempDir(),
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Machine: func() guests.Machine { return guests.Machine{Seed: "seed"} },
	})
	observer := xen.Observer{
		Store: client, Tell: state.Tell, Came: func(int, string) {}, Changed: w.Changed, Log: w.Log,
	}
	go func() { _ = observer.Run(t.Context()) }()
	go w.Run(t.Context())
	return w
}

// guest writes a guest's directory and loads it.
func (w *world) guest(name, settings string) *guests.Guest {
	w.t.Helper()
	dir := filepath.Join(w.store, name)
	config := "kernel = 'k'\nmemory = 96\n" + settings
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "k"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "g.cfg"), []byte(config), 0o644))
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := guests.Load(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	g.Trusted = true
	return g
}

// run is xl.
func (w *world) run(ctx context.Context, _ string, args ...string) ([]byte, []byte, error) {
	w.mu.Lock()
	w.calls = append(w.calls, strings.Join(args, " "))
	w.mu.Unlock()
	switch args[0] {
	case "create":
		return nil, nil, w.make(ctx, args[len(args)-1])
	case "list":
		if w.deaf {
			return nil, nil, errors.New("signal: killed")
		}
		return w.list(), nil, nil
	case "destroy":
		domid, _ := strconv.Atoi(args[1])
		if w.fixed {
			return nil, []byte("it hangs\n"), errors.New("exit status 1")
		}
		w.destroy(domid)
	case "shutdown":
		domid, _ := strconv.Atoi(args[2])
		if !w.at(domid).deaf {
			w.ends(domid, "---s--")
		}
	default:
		return w.obey(args)
	}
	return nil, nil, nil
}

// make is xl create.
func (w *world) make(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	config, err := guests.Parse(file, strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	name, _, _ := config.Text("name")
	uuid, _, _ := config.Text("uuid")
	memory, _ := config.Int("memory", 0, 0, 1<<20)
	vcpus, _ := config.Int("vcpus", 1, 0, 100)
	d := &domain{name: name.Text, uuid: uuid.Text, state: "--p---", kib: memory * mib, vcpus: int(vcpus)}
	if w.has(d.name) {
		return errors.New("exit status 1") // libxl: Domain with name "a" already exists.
	}
	domid := w.add(d)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.create != nil {
		if err := w.create(ctx, d); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.domains[domid] != nil {
		d.state = "-b----"
	}
	return nil
}

// has says whether there is a domain with that name.
func (w *world) has(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.domains {
		if d.name == name {
			return true
		}
	}
	return false
}

// add makes a domain, as any toolstack would.
func (w *world) add(d *domain) int {
	w.mu.Lock()
	w.last++
	domid := w.last
	w.domains[domid] = d
	w.free -= d.kib
	w.mu.Unlock()
	w.server.SetAll(fmt.Sprintf("/local/domain/%d", domid), map[string]string{"vm": "/vm/" + d.uuid, "name": d.name})
	w.server.Fire("@introduceDomain")
	return domid
}

// ends lets a domain shut down, with the state that xl list has then.
func (w *world) ends(domid int, state string) {
	w.mu.Lock()
	if d := w.domains[domid]; d != nil {
		d.state = state
	}
	w.mu.Unlock()
	w.server.Fire("@releaseDomain")
}

func (w *world) destroy(domid int) {
	w.mu.Lock()
	d := w.domains[domid]
	delete(w.domains, domid)
	if d != nil {
		w.free += d.kib
	}
	if d != nil && w.linger {
		w.dead += fmt.Sprintf(listLine, "(null)", domid, 0, 1, "--"+d.state[2:5]+"d", 1.0, d.uuid, "-", "-")
	}
	w.mu.Unlock()
	w.server.Remove(fmt.Sprintf("/local/domain/%d", domid))
	w.server.Fire("@releaseDomain")
}

// listLine is a line of xl list -v.
const listLine = "%-40s %5d %5d %5d     %s  %8.1f %s %8s %16s\n"

func (w *world) list() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := "heading\n" + fmt.Sprintf(listLine, "Domain-0", 0, 256, 1, "r-----", 1.0, "0", "-", "-") + w.dead
	for domid, d := range w.domains {
		out += fmt.Sprintf(listLine, d.name, domid, d.kib>>10, max(1, d.vcpus), d.state, 1.0, d.uuid, "-", "-")
	}
	return []byte(out)
}

// called counts the calls of xl that begin so.
func (w *world) called(prefix string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, call := range w.calls {
		if strings.HasPrefix(call, prefix) {
			n++
		}
	}
	return n
}

// settle lets all that has begun come to rest, which takes so long at most.
func (w *world) settle(limit time.Duration) {
	time.Sleep(limit)
	synctest.Wait()
}

// is checks a guest's phase and domain, and who has memory.
func (w *world) is(name string, phase host.Phase, domid int, owners ...string) *host.Guest {
	w.t.Helper()
	synctest.Wait()
	for _, g := range w.State.Snapshot().Guests {
		if g.Name != name {
			continue
		}
		if g.Phase != phase || g.Domid != domid {
			w.t.Errorf("%s is %s as %d, want %s as %d (%s)", name, g.Phase, g.Domid, phase, domid, g.Problem)
		}
		var have []string
		for _, e := range w.entries {
			have = append(have, e.Owner)
		}
		if !slices.Equal(have, owners) {
			w.t.Errorf("memory is reserved for %q, want %q", have, owners)
		}
		return &g
	}
	w.t.Fatalf("there is no guest %s: %+v", name, w.State.Snapshot().Guests)
	return nil
}

// live runs a test on fake time.
func live(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

func TestLifeOfAGuest(t *testing.T) {
	live(t, func(w *world) {
		if n := w.Start(w.t.Context(), []*guests.Guest{w.guest("a", ""), w.guest("b", "")}); n != 2 {
			t.Errorf("%d guests run", n)
		}
		synctest.Wait()
		a := w.State.Snapshot().Live("a")
		w.is("a", host.Running, a.Domid, "a", "b")
		w.ends(a.Domid, "---s--")
		w.settle(5 * time.Second)
		w.is("a", host.Stopped, 0, "b")
		if w.called("destroy") != 1 {
			t.Errorf("calls %q", w.calls)
		}
	})
}

// A guest whose disk comes late waits for it, and nobody else does for long.
func TestLateDisk(t *testing.T) {
	live(t, func(w *world) {
		soon := w.guest("soon", "disk = [ 'phy:/dev/vg/soon,xvda,r' ]\n")
		late := w.guest("late", "disk = [ 'phy:/dev/vg/late,xvda,r' ]\n")
		running := make(chan int, 1)
		go func() { running <- w.Start(w.t.Context(), []*guests.Guest{soon, late, w.guest("a", "")}) }()
		w.settle(2 * time.Second)
		if now := w.State.Snapshot(); now.Live("a").Phase != host.Running || now.Live("soon").Phase != host.Waiting {
			t.Errorf("%+v", now.Guests)
		}
		w.kernel.Plug("/dev/vg/soon")
		w.settle(diskPatience - 2*time.Second)
		if n := <-running; n != 3 || w.called("create") != 2 {
			t.Errorf("%d guests were not refused, calls %q", n, w.calls)
		}
		w.settle(time.Hour)
		if g := w.is("late", host.Waiting, 0, "a", "late", "soon"); g.Problem != "disk xvda: there is no /dev/vg/late" {
			t.Errorf("%+v", g)
		}
		w.kernel.Plug("/dev/vg/late")
		w.settle(diskLongPause + 2*time.Second)
		w.is("late", host.Running, 3, "a", "late", "soon")
	})
}

// A person does not wait for a guest's disk and makes the guest with another one: it is theirs.
func TestMadeByHandWhileItsDiskIsAwaited(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("late", "disk = [ 'phy:/dev/vg/late,xvda,r' ]\n")})
		g := w.is("late", host.Waiting, 0, "late")
		w.add(&domain{name: "late", uuid: g.UUID, state: "-b----", kib: 96 * mib})
		w.settle(2 * diskLongPause)
		w.kernel.Plug("/dev/vg/late")
		w.settle(2 * diskLongPause)
		if g := w.is("late", host.Running, 1); g.Managed || w.called("create") != 0 || w.called("destroy") != 0 {
			t.Errorf("managed %v, calls %q", g.Managed, w.calls)
		}
	})
}

// A guest that reboots keeps its name and its memory, and comes back at once under the name it has by then.
func TestReboot(t *testing.T) {
	live(t, func(w *world) {
		w.free = 150 * mib
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.server.Set("/local/domain/1/name", "web")
		w.settle(time.Minute)
		w.ends(1, "---sr-")
		w.settle(500 * time.Millisecond)                        // xl takes a second
		w.is("web", host.Creating, 2, "a", "a (being created)") // memory is booked under the first name
		w.settle(5 * time.Second)
		w.is("web", host.Running, 2, "a")
	})
}

// A guest that was renamed has its configuration under its first name: another guest of that name would replace it.
func TestFirstNameOfARenamedGuest(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.mu.Lock()
		w.domains[1].name = "web"
		w.mu.Unlock()
		w.server.Set("/local/domain/1/name", "web")
		w.settle(time.Second)
		second := w.guest("b", "name = 'a'\nuuid = '6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3a'\n")
		if n := w.Start(w.t.Context(), []*guests.Guest{second}); n != 0 {
			t.Error("two guests have one configuration file")
		}
		if g := w.is("a", host.Refused, 0, "a"); !strings.Contains(g.Problem, `"web" was started as "a"`) {
			t.Errorf("%+v", g)
		}
	})
}

func TestRebootKeepsNameAndMemory(t *testing.T) {
	live(t, func(w *world) {
		w.free = 150 * mib
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.settle(time.Minute)
		w.ends(1, "---sr-")
		w.settle(100 * time.Millisecond)
		second := w.guest("b", "name = 'a'\n")
		third := w.guest("c", "")
		if n := w.Start(w.t.Context(), []*guests.Guest{second, third}); n != 0 {
			t.Errorf("%d guests were started with the name and the memory of one that reboots", n)
		}
		w.settle(5 * time.Second)
		g := w.is("a", host.Running, 2, "a")
		problems := strings.Join(w.State.Snapshot().Host.Problems, " ")
		if g.Restarts != 1 || !strings.Contains(problems, `the name "a" runs already`) {
			t.Errorf("%+v %+v", g, w.State.Snapshot().Host)
		}
		if c := w.is("c", host.Refused, 0, "a"); !strings.Contains(c.Problem, "not enough memory") {
			t.Errorf("%+v", c)
		}
	})
}

// Xen still lists the domain that a rebooting guest had, since a backend has pages of it: the guest is its new one.
func TestRebootWhileTheOldDomainLingers(t *testing.T) {
	live(t, func(w *world) {
		w.linger = true
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.settle(time.Minute)
		w.ends(1, "---sr-")
		w.settle(time.Minute)
		if g := w.is("a", host.Running, 2, "a"); g.Restarts != 1 || w.called("create") != 2 {
			t.Errorf("%d restarts, calls %q", g.Restarts, w.calls)
		}
	})
}

// xl is killed while Xen still lists the guest's last domain: the half-made one is what is destroyed.
func TestCreationFailsWhileTheOldDomainLingers(t *testing.T) {
	live(t, func(w *world) {
		w.linger = true
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "on_reboot = 'restart'\n")})
		w.settle(time.Minute)
		w.create = func(context.Context, *domain) error { return errors.New("signal: killed") }
		w.ends(1, "---sr-")
		w.settle(time.Minute)
		w.is("a", host.Failed, 0)
		if len(w.domains) != 0 {
			t.Errorf("the half-made domain was left: %q", w.calls)
		}
	})
}

// What spoils a guest's restart may pass: it is tried again, and keeps its name and its memory meanwhile.
func TestRestartIsTriedAgain(t *testing.T) {
	live(t, func(w *world) {
		w.free = 150 * mib
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.settle(time.Minute)
		left := 2
		w.create = func(context.Context, *domain) error {
			if left--; left >= 0 {
				return errors.New("signal: killed")
			}
			return nil
		}
		w.ends(1, "---sr-")
		w.settle(2 * time.Second)
		if g := w.is("a", host.Restarting, 0, "a"); !strings.Contains(g.Problem, "signal: killed") ||
			!strings.HasSuffix(g.Problem, "; it is made anew in 2s") {
			t.Errorf("%+v", g)
		}
		w.settle(time.Minute)
		if g := w.is("a", host.Running, 4, "a"); g.Restarts != 1 || g.Problem != "" || len(w.domains) != 1 {
			t.Errorf("%+v, domains %v", g, w.domains)
		}
	})
}

// A person makes a guest by hand while its restart is being tried: what they made stays.
func TestMadeByHandBetweenTwoTries(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.settle(time.Minute)
		w.create = func(context.Context, *domain) error { return errors.New("signal: killed") }
		w.ends(1, "---sr-")
		w.settle(2 * time.Second)
		g := w.is("a", host.Restarting, 0, "a")
		w.add(&domain{name: "a", uuid: g.UUID, state: "-b----", kib: 96 * mib})
		w.settle(time.Minute)
		if g := w.is("a", host.Running, 3); g.Managed || w.called("create") != 2 {
			t.Errorf("%+v, calls %q", g, w.calls)
		}
	})
}

// A guest that crashes again and again comes back ever more slowly, and never keeps dom0 busy.
func TestCrashLoop(t *testing.T) {
	live(t, func(w *world) {
		w.create = func(_ context.Context, d *domain) error {
			time.AfterFunc(2*time.Second, func() {
				w.mu.Lock()
				d.state = "---sc-"
				w.mu.Unlock()
				w.server.Fire("@releaseDomain")
			})
			return nil
		}
		said := make(chan string, 100)
		updates := w.State.Subscribe(w.t.Context())
		go func() {
			for {
				select {
				case update := <-updates:
					for _, e := range update.Events {
						if e, ok := e.(host.GuestRestarts); ok {
							said <- e.Problem
						}
					}
				case <-w.t.Context().Done():
					return
				}
			}
		}()
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "on_crash = 'restart'\n")})
		w.settle(10 * time.Minute)
		for _, want := range []string{"2s", "4s", "8s", "16s", "32s", "1m0s", "1m0s"} {
			if got := <-said; got != "it crashed; it is made anew in "+want {
				t.Errorf("%q, want %s", got, want)
			}
		}
		if n := w.called("create"); n < 8 || n > 20 {
			t.Errorf("created %d times in 10 minutes", n)
		}
		g := w.State.Snapshot().Live("a")
		if g == nil || g.Restarts < 7 || len(w.entries) == 0 {
			t.Errorf("%+v", g)
		}
	})
}

// xl refuses: the guest has failed, and nothing of it is left.
func TestRefusedByXl(t *testing.T) {
	live(t, func(w *world) {
		w.create = func(_ context.Context, d *domain) error {
			w.destroy(w.last)
			return errors.New("exit status 3")
		}
		if n := w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")}); n != 0 {
			t.Error("a guest that xl refuses counts as started")
		}
		w.settle(time.Second)
		if g := w.is("a", host.Failed, 0); !strings.Contains(g.Problem, "exit status 3") {
			t.Errorf("%+v", g)
		}
	})
}

// xl is killed for want of memory while it builds a domain: the half-made domain is destroyed.
func TestKilledXl(t *testing.T) {
	live(t, func(w *world) {
		w.create = func(context.Context, *domain) error { return errors.New("signal: killed") }
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.settle(time.Second)
		w.is("a", host.Failed, 0)
		if w.called("destroy 1") != 1 || len(w.domains) != 0 {
			t.Errorf("calls %q", w.calls)
		}
	})
}

// A half-made domain that does not go keeps its memory until it does.
func TestHalfMadeDomainThatStays(t *testing.T) {
	live(t, func(w *world) {
		w.fixed = true
		w.create = func(context.Context, *domain) error { return errors.New("signal: killed") }
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.settle(2 * time.Minute)
		w.is("a", host.Failed, 1, "a")
		w.fixed = false
		w.settle(time.Minute)
		w.is("a", host.Failed, 0)
	})
}

// A person makes a guest by hand that could not be created, while the controller could not yet look what was left
// of it: what they made stays.
func TestMadeByHandAfterItsFailure(t *testing.T) {
	live(t, func(w *world) {
		w.create = func(context.Context, *domain) error {
			w.destroy(w.last)
			w.deaf = true
			return errors.New("signal: killed")
		}
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		g := w.is("a", host.Failed, 0, "a")
		w.add(&domain{name: "a", uuid: g.UUID, state: "-b----", kib: 96 * mib})
		w.settle(time.Second)
		w.deaf = false
		w.settle(time.Minute)
		w.is("a", host.Running, 2)
		if w.called("destroy") != 0 {
			t.Errorf("calls %q", w.calls)
		}
	})
}

// A domain that does not go holds up nobody: other guests get what is free, and those that do not fit hear it.
func TestDomainThatStaysHoldsUpNobody(t *testing.T) {
	for name, story := range map[string]func(w *world){
		"half made": func(w *world) {
			w.create = func(_ context.Context, d *domain) error {
				if d.name == "a" {
					return errors.New("signal: killed")
				}
				return nil
			}
			w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		},
		"taken down": func(w *world) {
			w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
			w.ends(1, "---sr-")
			w.settle(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, func(w *world) {
				w.fixed, w.free = true, 200*mib
				story(w)
				started := make(chan int, 1)
				go func() {
					started <- w.Start(w.t.Context(), []*guests.Guest{w.guest("b", ""), w.guest("c", "")})
				}()
				w.settle(10 * time.Minute)
				select {
				case n := <-started:
					if n != 1 {
						t.Errorf("%d guests run", n)
					}
					w.is("b", host.Running, 2, "a", "b")
					w.is("c", host.Refused, 0, "a", "b")
				default:
					t.Error("the guests wait for a domain that does not go")
				}
				w.fixed = false // else the test's end does not come
			})
		})
	}
}

// An xl that hangs is killed, and neither holds up other guests nor leaves anything.
func TestHungXl(t *testing.T) {
	live(t, func(w *world) {
		w.create = func(ctx context.Context, d *domain) error {
			if d.name == "a" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		if n := w.Start(w.t.Context(), []*guests.Guest{w.guest("a", ""), w.guest("b", "")}); n != 1 {
			t.Errorf("%d guests run", n)
		}
		w.settle(time.Second)
		if g := w.is("a", host.Failed, 0, "b"); !strings.Contains(g.Problem, "xl hung and was killed") {
			t.Errorf("%+v", g)
		}
	})
}

// A crashed domain that is kept is not running, has its memory, and is dropped by hand.
func TestPreserved(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "on_crash = 'preserve'\n")})
		w.ends(1, "---sc-")
		w.settle(time.Minute)
		w.is("a", host.Crashed, 1, "a")
		if w.State.Snapshot().Running() != 0 || w.called("destroy") != 0 {
			t.Errorf("calls %q", w.calls)
		}
		w.destroy(1)
		w.settle(time.Second)
		w.is("a", host.Stopped, 0)
	})
}

// "xl save -c" suspends a guest and lets it go on: nothing has ended.
func TestSuspendedAndResumed(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.ends(1, "---ss-")
		w.settle(5 * time.Second)
		if n := w.State.Snapshot().Running(); n != 0 {
			t.Errorf("%d guests run while it is suspended", n)
		}
		w.ends(1, "-b----")
		w.settle(lookPause + time.Second)
		if g := w.is("a", host.Running, 1, "a"); g.Problem != "" || !g.Managed {
			t.Errorf("%+v", g)
		}
		w.ends(1, "---sr-")
		w.settle(5 * time.Second)
		w.is("a", host.Running, 2, "a")
	})
}

// A guest that was made by hand and is kept after its crash does not run.
func TestGuestMadeByHandCrashes(t *testing.T) {
	live(t, func(w *world) {
		w.add(&domain{name: "a", uuid: "00000000-0000-0000-0000-000000000001", state: "-b----", kib: 96 * mib})
		w.settle(time.Second)
		w.ends(1, "---sc-")
		w.settle(time.Minute)
		w.is("a", host.Crashed, 1)
		if n := w.State.Snapshot().Running(); n != 0 {
			t.Errorf("%d guests run", n)
		}
		w.destroy(1)
		w.settle(time.Second)
		w.is("a", host.Stopped, 0)
	})
}

// A person destroys a guest, and makes it anew with the same configuration.
func TestDestroyedByHand(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "on_crash = 'restart'\n")})
		w.settle(time.Second)
		uuid := w.State.Snapshot().Live("a").UUID
		w.destroy(1)
		w.settle(time.Second)
		w.is("a", host.Stopped, 0)
		w.add(&domain{name: "a", uuid: uuid, state: "-b----", kib: 96 * mib})
		w.settle(time.Second)
		if g := w.is("a", host.Running, 2); g.Managed {
			t.Error("a guest that was made by hand counts as the controller's")
		}
	})
}

// A person does not wait until a guest that crashes again and again is made anew, and makes it: it is theirs.
func TestMadeByHandBeforeItsRestart(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "on_crash = 'restart'\n")})
		for domid := 1; domid < 6; domid++ {
			w.ends(domid, "---sc-")
			w.settle(time.Second << domid)
			w.settle(2 * time.Second)
		}
		g := w.is("a", host.Running, 6, "a")
		w.ends(6, "---sc-")
		w.settle(2 * time.Second)
		w.is("a", host.Restarting, 0, "a")
		w.add(&domain{name: "a", uuid: g.UUID, state: "-b----", kib: 96 * mib})
		w.settle(2 * time.Minute)
		if g := w.is("a", host.Running, 7); g.Managed || w.called("destroy 7") != 0 {
			t.Errorf("managed %v, calls %q", g.Managed, w.calls)
		}
	})
}

// A guest that was made by hand keeps its name and its memory while its own xl reboots it.
func TestGuestMadeByHandReboots(t *testing.T) {
	live(t, func(w *world) {
		d := &domain{name: "a", uuid: "00000000-0000-0000-0000-000000000001", state: "-b----", kib: 96 * mib}
		w.add(d)
		w.settle(time.Minute)
		w.ends(1, "---sr-")
		w.settle(100 * time.Millisecond)
		w.destroy(1)
		w.settle(2 * time.Second)
		w.is("a", host.Restarting, 0, "a")
		w.add(&domain{name: "a", uuid: d.uuid, state: "-b----", kib: 96 * mib})
		w.settle(2 * time.Second)
		w.is("a", host.Running, 2)
		w.ends(2, "---sr-")
		w.settle(100 * time.Millisecond)
		w.destroy(2) // and its xl was killed
		w.settle(time.Minute)
		w.is("a", host.Stopped, 0)
	})
}

func TestPausedByHand(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
		w.mu.Lock()
		w.domains[1].state = "--p---"
		w.mu.Unlock()
		w.settle(lookPause + time.Second)
		if g := w.is("a", host.Running, 1, "a"); !g.Paused {
			t.Error("the pause was not noticed")
		}
		w.mu.Lock()
		w.domains[1].state = "-b----"
		w.mu.Unlock()
		w.settle(2 * pausedPause)
		if g := w.is("a", host.Running, 1, "a"); g.Paused {
			t.Error("that it runs again was not noticed")
		}
	})
}

func TestTwoGuestsWithOneUUID(t *testing.T) {
	live(t, func(w *world) {
		const uuid = "uuid = '6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3a'\n"
		if n := w.Start(w.t.Context(), []*guests.Guest{w.guest("a", uuid), w.guest("b", uuid)}); n != 1 {
			t.Errorf("%d guests run", n)
		}
		if n := w.Start(w.t.Context(), []*guests.Guest{w.guest("c", uuid)}); n != 0 {
			t.Error("a guest with the UUID of one that runs was started")
		}
		synctest.Wait()
		for _, name := range []string{"b", "c"} {
			if g := w.is(name, host.Refused, 0, "a"); !strings.Contains(g.Problem, "UUID") {
				t.Errorf("%+v", g)
			}
		}
	})
}

// A guest that has ended is not started before its life has let go of it: two lives would follow one domain.
func TestStartBeforeTheLastLifeHasLetGo(t *testing.T) {
	live(t, func(w *world) {
		g := w.guest("a", "")
		spec, err := g.Resolve(w.Machine())
		if err != nil {
			t.Fatal(err)
		}
		w.State.Tell(host.Planned{Spec: spec})
		w.State.Tell(host.GuestPhase{UUID: spec.UUID, Phase: host.Stopped})
		if n := w.Start(w.t.Context(), []*guests.Guest{g}); n != 0 {
			t.Error("a guest was started while the controller still had it")
		}
		w.State.Tell(host.Unmanaged{UUID: spec.UUID})
		if n := w.Start(w.t.Context(), []*guests.Guest{g}); n != 1 {
			t.Error("a guest that has ended was not started again")
		}
		w.is("a", host.Running, 1, "a")
	})
}

// One that could not be created can be tried again as soon as that is known.
func TestStartAgainAfterAFailure(t *testing.T) {
	live(t, func(w *world) {
		for range 20 {
			w.create = func(context.Context, *domain) error { return errors.New("exit status 3") }
			w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")})
			if g := w.State.Snapshot().Guests[0]; g.Managed || g.Phase != host.Failed {
				t.Fatalf("%+v", g)
			}
		}
	})
}

func TestUnknownPolicy(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "on_crash = 'rename-restart'\n")})
		g := w.is("a", host.Refused, 0)
		if !strings.Contains(g.Problem, "g.cfg:3:12") || !strings.Contains(g.Problem, "preserve") {
			t.Errorf("%+v", g)
		}
	})
}

// The machine ends while xl creates a guest: nobody says that the guest was refused, and nothing hangs.
func TestEndWhileCreating(t *testing.T) {
	live(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.t.Context())
		w.create = func(ctx context.Context, _ *domain) error {
			<-ctx.Done()
			return ctx.Err()
		}
		time.AfterFunc(3*time.Second, cancel)
		if n := w.Start(ctx, []*guests.Guest{w.guest("a", "")}); n != 0 {
			t.Errorf("%d guests run", n)
		}
		w.is("a", host.Creating, 1, "a")
		w.State.Tell(host.Ending{Action: "poweroff"})
		if err := End(w.t.Context(), w.Xen, time.Minute, w.State.Tell); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		w.is("a", host.Stopped, 0, "a")
	})
}

// Another controller, in another process, goes on where the first was when it crashed.
func TestResume(t *testing.T) {
	live(t, func(w *world) {
		ctx, crash := context.WithCancel(w.t.Context())
		w.Start(ctx, []*guests.Guest{
			w.guest("a", ""), w.guest("b", "on_crash = 'restart'\n"), w.guest("c", ""), w.guest("d", ""),
		})
		w.add(&domain{name: "hand", uuid: "00000000-0000-0000-0000-000000000001", state: "-b----", kib: 96 * mib})
		w.settle(time.Second)
		left := w.State.Snapshot()
		crash()
		synctest.Wait()
		w.destroy(left.Live("c").Domid)
		w.ends(left.Live("b").Domid, "---sc-")

		w.State = host.New(w.t.Context(), "test")
		w.ledger = memory.New(memory.Source{
			XenFree:   func(context.Context) (int64, error) { return 0, nil },
			Available: func() (int64, error) { return 500 * mib, nil },
		}, func(e []memory.Entry) { w.entries = e })
		c := New(Config{
			Xen: w.Xen, State: w.State, Ledger: w.ledger, Disks: w.newDisks(w.State), Dir: w.Dir, Log: w.Log,
		})
		go c.Run(w.t.Context())
		observer := xen.Observer{
			Store: w.server.Client(w.t), Tell: w.State.Tell, Came: func(int, string) {}, Changed: c.Changed, Log: w.Log,
		}
		go func() { _ = observer.Run(w.t.Context()) }()
		c.Resume(w.t.Context(), left)
		w.settle(time.Minute)
		w.is("a", host.Running, left.Live("a").Domid, "a", "b", "d")
		if b := w.is("b", host.Running, 6, "a", "b", "d"); b.Restarts != 1 || !b.Managed {
			t.Errorf("%+v", b)
		}
		w.is("c", host.Stopped, 0, "a", "b", "d")
		w.is("hand", host.Running, left.Live("hand").Domid, "a", "b", "d")
		w.ends(left.Live("d").Domid, "---s--")
		w.settle(time.Minute)
		w.is("d", host.Stopped, 0, "a", "b")
	})
}

// What nobody leads on is not kept: the name of a guest that its own xl was rebooting, the memory of one whose
// configuration cannot be understood any more.
func TestResumeOfWhatCannotBeLedOn(t *testing.T) {
	live(t, func(w *world) {
		const config = "name = 'odd'\nuuid = 'u2'\ntype = 'pv'\non_crash = 'rename-restart'\n"
		if err := os.WriteFile(filepath.Join(w.Dir, "odd.cfg"), []byte(config), 0o644); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait() // the first look at Xen's list: in life, the domain has been there for long
		w.add(&domain{name: "odd", uuid: "u2", state: "-b----", kib: 96 * mib})
		w.Resume(w.t.Context(), &host.Snapshot{Guests: []host.Guest{
			{Name: "hand", UUID: "u1", Phase: host.Restarting},
			{Name: "odd", UUID: "u2", Phase: host.Running, Domid: 1, Managed: true},
			{Name: "waits", UUID: "u3", Phase: host.Waiting, Managed: true},
		}})
		w.settle(time.Second)
		w.is("waits", host.Refused, 0)
		if w.State.Snapshot().Live("hand") != nil {
			w.t.Error("a guest that nobody leads on keeps its name")
		}
		if g := w.is("odd", host.Running, 1); g.Managed {
			w.t.Errorf("%+v", g)
		}
	})
}
