package xen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// fakeXL is a fake xl, with the hypervisor behind it, on a fake store.
type fakeXL struct {
	server   *xenstoretest.Server
	stubborn map[int]bool   // domains that do not shut down
	immortal map[int]bool   // domains that cannot be destroyed either
	states   map[int]string // of domains, in "xl list"; "-b----" where there is none
	late     string         // a domain that appears when another is shut down
	fail     func(args []string) error

	mu       sync.Mutex
	calls    []string
	running  int // commands that run now
	most     int // that ran at the same time
	duration time.Duration
}

func newFakeXL(names ...string) *fakeXL {
	x := &fakeXL{
		server: xenstoretest.New(), stubborn: map[int]bool{}, immortal: map[int]bool{}, states: map[int]string{},
		fail: func([]string) error { return nil },
	}
	x.server.Set("/local/domain/0/name", "Domain-0")
	for i, name := range names {
		x.add(i+1, name)
	}
	return x
}

func (x *fakeXL) add(domid int, name string) {
	x.server.SetAll(home(domid), map[string]string{"vm": "/vm/" + uuidOf(domid), "name": name})
}

// uuidOf is the UUID of a fake domain.
func uuidOf(domid int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", domid) }

func (x *fakeXL) toolstack(t *testing.T) *Toolstack {
	toolstack := NewToolstack(x.run, x.server.Client(t))
	toolstack.gone, toolstack.pause = 100*time.Millisecond, 20*time.Millisecond
	return toolstack
}

func (x *fakeXL) run(ctx context.Context, program string, args ...string) ([]byte, []byte, error) {
	x.mu.Lock()
	x.calls = append(x.calls, strings.Join(args, " "))
	x.running++
	x.most = max(x.most, x.running)
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.running--
	}()
	time.Sleep(x.duration)
	if err := x.fail(args); err != nil {
		return nil, nil, err
	}
	return x.obey(ctx, program, args)
}

func (x *fakeXL) obey(ctx context.Context, program string, args []string) ([]byte, []byte, error) {
	domid, _ := strconv.Atoi(args[len(args)-1])
	switch {
	case program != XL:
		return nil, nil, errors.New("unexpected program " + program)
	case args[0] == "list":
		return x.list(), nil, nil
	case args[0] == "shutdown":
		if x.late != "" {
			x.add(9, x.late)
		}
		if !x.stubborn[domid] && !x.immortal[domid] {
			x.mu.Lock()
			x.states[domid] = "---s--"
			x.mu.Unlock()
			x.server.Fire("@releaseDomain")
		}
		return nil, []byte("Shutting down domain 9\n"), nil
	case x.immortal[domid]:
		return nil, nil, nil
	}
	x.server.Remove(home(domid))
	x.server.Fire("@releaseDomain")
	return nil, nil, ctx.Err()
}

func (x *fakeXL) list() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := listHeading
	for domid := range 30 {
		if name, ok := x.server.Get(home(domid) + "/name"); ok {
			state := cmp.Or(x.states[domid], "-b----")
			out += fmt.Sprintf("%-40s %5d %5d %5d     %s  %8.1f %s %8s %16s\n",
				name, domid, 96, 1, state, 1.5, uuidOf(domid), "-", "-")
		}
	}
	return []byte(out)
}

// called says whether xl was called so.
func (x *fakeXL) called(call string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Contains(x.calls, call)
}

const listHeading = "Name                                        ID   Mem VCPUs\tState\tTime(s)   " +
	"UUID                            Reason-Code\tSecurity Label\n"

func TestParseList(t *testing.T) {
	const list = listHeading +
		"Domain-0                                     0   256     2     r-----      10.2 " +
		"00000000-0000-0000-0000-000000000000        -                -\n" +
		"a name  with spaces 7                       12    96     1     ---srd       0.1 " +
		"6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3a        1                -\n" +
		"(null)                                       3     0     0     --ps-d       0.4 " +
		"6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3b        0 system_u:object_r:domU_t\n" +
		"crashed                                      4    64     1     ---sc-       0.4 " +
		"6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3c        3                -\n" +
		"reset                                        5    64     1     ---s?-       0.4 " +
		"6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3d        5                -\n"
	got, err := parseList(strings.NewReader(list))
	want := []host.Domain{
		{
			Domid: 12, UUID: "6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3a", Name: "a name  with spaces 7",
			MemoryKiB: 96 << 10, VCPUs: 1, CPUSeconds: 0.1, Dying: true, Shutdown: host.Reboot,
		},
		{
			Domid: 3, UUID: "6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3b",
			CPUSeconds: 0.4, Paused: true, Dying: true, Shutdown: host.PowerOff,
		},
		{
			Domid: 4, UUID: "6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3c", Name: "crashed",
			MemoryKiB: 64 << 10, VCPUs: 1, CPUSeconds: 0.4, Shutdown: host.Crash,
		},
		{
			Domid: 5, UUID: "6c1f2b1a-7d4e-4b52-8f0e-0e7a0d1c2b3d", Name: "reset",
			MemoryKiB: 64 << 10, VCPUs: 1, CPUSeconds: 0.4, Shutdown: host.SoftReset,
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		listHeading + "broken line\n":              "line 2",
		strings.Replace(list, " 0.4 ", " NaN ", 1): "no number of seconds",
		listHeading: "dom0 is not in it",
		"":          "dom0 is not in it",
	} {
		if _, err := parseList(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add(listHeading + "Domain-0  0   256     2     r-----      10.2 0-0 - -\n")
	f.Add("\n 1 2 3 4 5 ------ 6 7 8")
	f.Fuzz(func(t *testing.T, text string) {
		domains, err := parseList(strings.NewReader(text))
		for _, d := range domains {
			if d.Domid <= 0 || d.MemoryKiB < 0 {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}

func TestCreate(t *testing.T) {
	const said = "libxl: error: libxl_device.c:1259:device_hotplug_child_death_cb: " +
		"script: bridge xenbr9 (create it): no such link\n" +
		"libxl: error: libxl_create.c:1970:domcreate_attach_devices: Domain 5:unable to add vif devices\n" +
		"libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain 5:Non-existant domain\n" +
		"libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 5:Unable to destroy guest\n"
	x := NewToolstack(func(context.Context, string, ...string) ([]byte, []byte, error) {
		return nil, []byte(said), errors.New("exit status 3")
	}, nil)
	err := x.Create(t.Context(), "/run/zerodisc/guests/tty1.cfg")
	want := "create domain from /run/zerodisc/guests/tty1.cfg: bridge xenbr9 (create it): no such link (exit status 3)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCleanError(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"configuration",
			"/g/a.cfg:3: config parsing error near `=': syntax error\nFailed to parse config: Invalid argument\n",
			"/g/a.cfg:3: config parsing error near `=': syntax error; Failed to parse config: Invalid argument"},
		{"memory", "failed to free memory for the domain\n", "failed to free memory for the domain"},
		{"xc", "xc: error: panic: xg_dom_core.c:756: xc_dom_find_loader: no loader found: Invalid kernel\n" +
			"libxl: error: libxl_dom.c:573:libxl__build_dom: xc_dom_parse_image failed\n" +
			"libxl: error: libxl_create.c:1709:domcreate_rebuild_done: Domain 2:cannot (re-)build domain: -3\n",
			"panic: xg_dom_core.c:756: xc_dom_find_loader: no loader found: Invalid kernel; xc_dom_parse_image failed"},
		{"only consequences", "libxl: error: libxl_exec.c:117:report: x exited with error status 1\n",
			"x exited with error status 1"},
		{"repetition", "a\na\nb\n", "a; b"},
		{"too many", "a\nb\nc\nd\n", "b; c; d"},
		{"escapes", "libxl: error: x: \x1b[2J\xff\n", `x: \x1b[2J\xff`},
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
