package xen

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// toolstack is a fake xl on a fake store.
type toolstack struct {
	server   *xenstoretest.Server
	stubborn map[int]bool // domains that do not shut down
	immortal map[int]bool // domains that cannot be destroyed either
	paused   map[int]bool // domains that are half-built
	late     string       // a domain that appears when another is shut down

	mu    sync.Mutex
	calls []string
}

func newToolstack(guests ...string) *toolstack {
	x := &toolstack{server: xenstoretest.New(), stubborn: map[int]bool{}, immortal: map[int]bool{}, paused: map[int]bool{}}
	x.server.Set("/local/domain/0/name", "Domain-0")
	for i, name := range guests {
		x.server.SetAll(home(i+1), map[string]string{"name": name, "vm": "/vm/" + name})
	}
	return x
}

func (x *toolstack) domains(t *testing.T) *Domains {
	return NewDomains(x.run, x.server.Client(t))
}

func (x *toolstack) run(ctx context.Context, program string, args ...string) ([]byte, []byte, error) {
	x.mu.Lock()
	x.calls = append(x.calls, strings.Join(args, " "))
	x.mu.Unlock()
	if program != XL {
		return nil, nil, errors.New("unexpected program " + program)
	}
	if args[0] == "list" {
		return x.list(), nil, nil
	}
	if args[0] == "shutdown" && x.late != "" {
		x.server.Set(home(9)+"/name", x.late)
	}
	domid, _ := strconv.Atoi(args[len(args)-1])
	if x.stubborn[domid] && args[0] == "shutdown" || x.immortal[domid] {
		return nil, []byte("Shutting down domain 9\n"), nil
	}
	x.server.Remove(home(domid))
	x.server.Fire("@releaseDomain")
	return nil, nil, ctx.Err()
}

func (x *toolstack) list() []byte {
	out := "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
	for domid := range 10 {
		if name, ok := x.server.Get(home(domid) + "/name"); ok {
			state := "-b----"
			if x.paused[domid] {
				state = "--p---"
			}
			out += fmt.Sprintf("%-40s %5d %5d %5d     %s  %8.1f\n", name, domid, 96, 1, state, 1.5)
		}
	}
	return []byte(out)
}

func TestParseList(t *testing.T) {
	got, err := parseList(strings.NewReader(
		"Name                                        ID   Mem VCPUs\tState\tTime(s)\n" +
			"Domain-0                                     0   256     2     r-----      10.2\n" +
			"a name  with spaces 7                       12    96     1     ---s-d       0.1\n" +
			"(null)                                       3     0     0     --ps-d       0.4\n"))
	want := []Domain{
		{0, "Domain-0", 256 << 10, 2, "r-----"},
		{12, "a name  with spaces 7", 96 << 10, 1, "---s-d"},
		{3, "(null)", 0, 0, "--ps-d"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].Dying() || !got[1].Dying() {
		t.Error("Dying is wrong")
	}
	if got[0].Paused() || got[1].Paused() || !got[2].Paused() {
		t.Error("Paused is wrong")
	}
	if _, err := parseList(strings.NewReader("Name\nbroken line\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("Name ID\nDomain-0  0   256     2     r-----      10.2\n")
	f.Add("\n 1 2 3 4 5 6")
	f.Fuzz(func(t *testing.T, text string) {
		domains, err := parseList(strings.NewReader(text))
		for _, d := range domains {
			if d.ID < 0 || d.MemoryKiB < 0 {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}

func TestCreate(t *testing.T) {
	const said = `libxl: error: libxl_device.c:1259:device_hotplug_child_death_cb: script: bridge xenbr9 (create it): no such link
libxl: error: libxl_create.c:1970:domcreate_attach_devices: Domain 5:unable to add vif devices
libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain 5:Non-existant domain
libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 5:Unable to destroy guest
`
	d := NewDomains(func(context.Context, string, ...string) ([]byte, []byte, error) {
		return nil, []byte(said), errors.New("exit status 3")
	}, nil)
	err := d.Create(t.Context(), "/run/zerodisc/guests/tty1.cfg")
	want := "create domain from /run/zerodisc/guests/tty1.cfg: bridge xenbr9 (create it): no such link (exit status 3)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCleanError(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"configuration", "/g/a.cfg:3: config parsing error near `=': syntax error\nFailed to parse config: Invalid argument\n", "/g/a.cfg:3: config parsing error near `=': syntax error; Failed to parse config: Invalid argument"},
		{"memory", "failed to free memory for the domain\n", "failed to free memory for the domain"},
		{"xc", "xc: error: panic: xg_dom_core.c:756: xc_dom_find_loader: no loader found: Invalid kernel\nlibxl: error: libxl_dom.c:573:libxl__build_dom: xc_dom_parse_image failed\nlibxl: error: libxl_create.c:1709:domcreate_rebuild_done: Domain 2:cannot (re-)build domain: -3\n",
			"panic: xg_dom_core.c:756: xc_dom_find_loader: no loader found: Invalid kernel; xc_dom_parse_image failed"},
		{"only consequences", "libxl: error: libxl_exec.c:117:report: x exited with error status 1\n", "x exited with error status 1"},
		{"repetition", "a\na\nb\n", "a; b"},
		{"too many", "a\nb\nc\nd\n", "b; c; d"},
	}
	for _, test := range tests {
		if got := cleanError(test.in); got != test.want {
			t.Errorf("%s:\ngot  %q\nwant %q", test.name, got, test.want)
		}
	}
}

func FuzzCleanError(f *testing.F) {
	f.Add("libxl: error: libxl_dom.c:573:libxl__build_dom: Domain 1:failed\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got := cleanError(text); len(got) > maxErrorBytes+len("...") || strings.Contains(got, "\n") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	})
}

func TestDomID(t *testing.T) {
	d := newToolstack("tty1", "tty2").domains(t)
	if domid, err := d.DomID(t.Context(), "tty2"); err != nil || domid != 2 {
		t.Error(domid, err)
	}
	if _, err := d.DomID(t.Context(), "2"); !errors.Is(err, ErrNoDomain) {
		t.Error(err)
	}
}

func TestWait(t *testing.T) {
	x := newToolstack("tty1")
	d := x.domains(t)
	time.AfterFunc(20*time.Millisecond, func() { x.server.Fire("@releaseDomain") }) // of another domain
	time.AfterFunc(60*time.Millisecond, func() { x.server.Remove(home(1)) })
	start := time.Now()
	if err := d.Wait(t.Context(), 1); err != nil || time.Since(start) < 60*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if err := d.Wait(t.Context(), 1); err != nil {
		t.Errorf("a domain that is gone: %v", err)
	}
	if n := x.server.Watches(); n != 0 {
		t.Errorf("%d watches left", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestShutdownAll(t *testing.T) {
	x := newToolstack("good", "stubborn", "immortal")
	x.stubborn[2] = true
	x.immortal[3] = true
	d := x.domains(t)
	d.gone = 100 * time.Millisecond
	forced := map[string]bool{}
	var mu sync.Mutex
	err := d.ShutdownAll(t.Context(), 100*time.Millisecond, func(e Ended) {
		mu.Lock()
		defer mu.Unlock()
		forced[e.Domain.Name] = e.Forced
	})
	if err == nil || !strings.Contains(err.Error(), "wait for domain 3") || strings.Contains(err.Error(), "domain 2") {
		t.Errorf("error %v", err)
	}
	if want := map[string]bool{"good": false, "stubborn": true, "immortal": true}; !reflect.DeepEqual(forced, want) {
		t.Errorf("forced %v, want %v", forced, want)
	}
	if slices.Contains(x.calls, "destroy 1") || !slices.Contains(x.calls, "destroy 2") || !slices.Contains(x.calls, "shutdown -F 1") {
		t.Errorf("calls %q", x.calls)
	}
}

// Nobody waits for a domain that an "xl create" has left half-built, and none that comes late stays.
func TestShutdownAllOfUnfinishedDomains(t *testing.T) {
	x := newToolstack("half-built", "good", "immortal")
	x.paused[1] = true
	x.immortal[3] = true
	x.late = "late"
	d := x.domains(t)
	d.gone = 100 * time.Millisecond
	var mu sync.Mutex
	ends := map[string]error{}
	err := d.ShutdownAll(t.Context(), time.Second, func(e Ended) {
		mu.Lock()
		defer mu.Unlock()
		if ends[e.Domain.Name] = e.Err; e.Forced != (e.Err != nil) {
			t.Errorf("%+v", e)
		}
	})
	if err == nil || strings.Count(err.Error(), "domain") != 1 || !strings.Contains(err.Error(), "wait for domain 3") {
		t.Errorf("error %v", err)
	}
	if len(ends) != 4 || !errors.Is(ends["half-built"], errPaused) || ends["good"] != nil || !errors.Is(ends["late"], errLate) {
		t.Errorf("ended %v", ends)
	}
	for _, domid := range []int{1, 2, 9} {
		if _, left := x.server.Get(home(domid) + "/name"); left {
			t.Errorf("domain %d is still there", domid)
		}
	}
	if slices.Contains(x.calls, "shutdown -F 1") || slices.Contains(x.calls, "shutdown -F 9") {
		t.Errorf("calls %q", x.calls)
	}
	once := func(call string) bool { return call == "destroy 3" }
	if first := slices.IndexFunc(x.calls, once); first < 0 || slices.ContainsFunc(x.calls[first+1:], once) {
		t.Errorf("what cannot be destroyed is tried once: %q", x.calls)
	}
}

// A second request to power off ends the context: what is left is destroyed at once.
func TestShutdownAllForced(t *testing.T) {
	x := newToolstack("stubborn")
	x.stubborn[1] = true
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err := x.domains(t).ShutdownAll(ctx, time.Hour, func(Ended) {})
	if _, left := x.server.Get(home(1)); err != nil || left {
		t.Errorf("%v, still there %v", err, left)
	}
}

func TestWatchGuests(t *testing.T) {
	x := newToolstack("tty1")
	x.server.Set(addressKey(1), "10.0.2.16")
	came, found := make(chan int, 10), make(chan Address, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- WatchGuests(ctx, x.server.Client(t), func(domid int) { came <- domid }, func(a Address) { found <- a })
	}()
	expect := func(domid int, name, address string) {
		t.Helper()
		select {
		case got := <-found:
			if want := (Address{domid, name, netip.MustParseAddr(address)}); got != want {
				t.Errorf("found %v, want %v", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("no address for domain %d within 5 s", domid)
		}
	}
	expect(1, "tty1", "10.0.2.16")
	x.server.Set(home(2)+"/name", "tty2")
	x.server.Fire("@introduceDomain")
	x.server.Set(addressKey(2), "10.0.2.17")
	expect(2, "tty2", "10.0.2.17")
	if first, second := <-came, <-came; first != 1 || second != 2 {
		t.Errorf("guests %d and %d came, want 1 and 2", first, second)
	}
	x.server.Set(addressKey(2), "10.0.2.17")     // the same again
	x.server.Set(addressKey(2), "level=ERROR x") // rubbish
	x.server.Set(addressKey(2), "10.0.2.18")
	expect(2, "tty2", "10.0.2.18")

	x.server.Remove(home(2))
	x.server.Fire("@releaseDomain")
	x.server.Set(addressKey(1), "10.0.2.20")
	expect(1, "tty1", "10.0.2.20")
	for range 500 {
		if x.server.Watches() == 3 { // two special ones and domain 1
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := x.server.Watches(); n != 3 {
		t.Errorf("%d watches after a domain went", n)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(found) > 0 {
		t.Errorf("unexpected %v", <-found)
	}
}

func TestWatchGuestsEndsWithConnection(t *testing.T) {
	x := newToolstack()
	client := x.server.Client(t)
	time.AfterFunc(20*time.Millisecond, x.server.Disconnect)
	if err := WatchGuests(t.Context(), client, func(int) {}, func(Address) {}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}

func TestExec(t *testing.T) {
	stdout, stderr, err := Exec(t.Context(), "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
	if string(stdout) != "out\n" || string(stderr) != "err\n" || err == nil || err.Error() != "exit status 3" {
		t.Errorf("%q %q %v", stdout, stderr, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := Exec(ctx, "/bin/sh", "-c", "exec sleep 60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
