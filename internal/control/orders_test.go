package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// at returns a domain, an empty one where there is none.
func (w *world) at(domid int) *domain {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.domains[domid]; d != nil {
		return d
	}
	return &domain{}
}

// domid is the number of a guest's domain: guests are made side by side.
func (w *world) domid(name string) int { return w.State.Snapshot().Live(name).Domid }

// obey is what xl does for orders to domains that run.
func (w *world) obey(args []string) ([]byte, []byte, error) {
	failed := errors.New("exit status 1")
	rest := slices.DeleteFunc(slices.Clone(args[1:]), func(a string) bool { return a[0] == '-' })
	domid, _ := strconv.Atoi(rest[0])
	d := w.at(domid)
	set := func(state string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		d.state = state
	}
	switch args[0] {
	case "reboot":
		if d.undriven {
			return nil, []byte("PV control interface not available:\n\texternal graceful shutdown\n"), failed
		}
		if !d.deaf {
			w.ends(domid, "---sr-")
		}
	case "pause":
		set("--p---")
	case "unpause":
		set("-b----")
	case "rename":
		w.mu.Lock()
		d.name = rest[1]
		w.mu.Unlock()
		w.server.Set(fmt.Sprintf("/local/domain/%d/name", domid), rest[1])
	case "mem-set":
		kib, _ := strconv.ParseInt(strings.TrimSuffix(rest[1], "k"), 10, 64)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !d.deaf {
			w.free, d.kib = w.free+d.kib-kib, kib
		}
	case "vcpu-set":
		w.mu.Lock()
		defer w.mu.Unlock()
		if !d.deaf {
			d.vcpus, _ = strconv.Atoi(rest[1])
		}
	case "block-attach":
		vdev, _, _ := strings.Cut(strings.TrimPrefix(rest[1], "vdev="), ",")
		number, _ := guests.VdevNumber(vdev)
		w.server.Set(fmt.Sprintf("/local/domain/0/backend/vbd/%d/%d/frontend", domid, number), "f")
		d.devices += rest[1] + "\n"
	case "block-detach":
		number, _ := guests.VdevNumber(rest[1])
		if d.deaf {
			return nil, []byte("libxl: error: timed out\n"), failed
		}
		w.server.Remove(fmt.Sprintf("/local/domain/0/backend/vbd/%d/%d", domid, number))
	case "network-attach":
		d.devices += strings.Join(rest[1:], " ") + "\n"
	case "network-detach":
	default:
		return nil, []byte("unknown command\n"), failed
	}
	return nil, nil, nil
}

// config is what xl got for a guest last.
func (w *world) config(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Dir, name+".cfg"))
	if err != nil {
		w.t.Error(err)
	}
	return string(text)
}

// fails checks an order's error.
func (w *world) fails(err, kind error, text string) {
	w.t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		w.t.Errorf("error %v, want %q", err, text)
	}
}

func (w *world) works(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
	}
}

// begin starts guests and lets them live for a minute.
func (w *world) started(found ...*guests.Guest) {
	w.t.Helper()
	if n := w.Start(w.t.Context(), found); n != len(found) {
		w.t.Fatalf("%d guests run: %+v", n, w.State.Snapshot().Guests)
	}
	w.settle(time.Minute)
}

// A guest that was stopped by order does not come back, whatever its configuration says, and can be started again.
func TestStopAndStart(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "on_poweroff = 'restart'\n"))
		w.works(w.Stop(w.t.Context(), "a", 0, false))
		if g := w.is("a", host.Stopped, 0); g.Order != "" || g.Wanted != "" || g.Managed {
			t.Errorf("%+v", g)
		}
		w.guest("a", "vcpus = 2\nmemory = 128\n") // somebody edits it
		w.works(w.StartGuest(w.t.Context(), "a"))
		w.settle(lookPause)
		if g := w.is("a", host.Running, 2, "a"); g.VCPUs != 2 || g.MemoryKiB != 128*mib || !g.Source.Trusted {
			t.Errorf("%+v", g)
		}
		if !strings.Contains(w.config("a"), "memory = 128") {
			t.Error(w.config("a"))
		}
		w.fails(w.StartGuest(w.t.Context(), "a"), ErrPhase, "is there already (running)")
		w.fails(w.StartGuest(w.t.Context(), "b"), ErrNoGuest, `there is no guest "b"`)
		w.fails(w.Stop(w.t.Context(), "b", 0, false), ErrNoGuest, `there is no guest "b"`)
	})
}

// One that powers off by itself after a stop that nobody waits for any more stays off; one that reboots comes back.
func TestLateAfterAStop(t *testing.T) {
	for state, want := range map[string]host.Phase{"---s--": host.Stopped, "---sr-": host.Running} {
		live(t, func(w *world) {
			w.started(w.guest("a", "on_poweroff = 'restart'\n"))
			w.at(1).deaf = true
			err := w.Stop(w.t.Context(), "a", time.Second, false)
			w.fails(err, ErrTimeout, "not ended within 1s; wait longer, or force it")
			w.settle(time.Hour)
			w.ends(1, state)
			w.settle(time.Minute)
			if g := w.State.Snapshot().ByName("a"); g.Phase != want || g.Wanted != "" {
				t.Errorf("%s: %+v", state, g)
			}
		})
	}
}

// Neither does one come back that powers off long after a restart that nobody waits for any more.
func TestLateAfterARestart(t *testing.T) {
	for state, want := range map[string]host.Phase{"---s--": host.Stopped, "---sr-": host.Running} {
		live(t, func(w *world) {
			w.started(w.guest("a", "on_reboot = 'destroy'\n"))
			w.at(1).deaf = true
			w.fails(w.Restart(w.t.Context(), "a", time.Second, false), ErrTimeout, "wait longer")
			w.settle(time.Hour)
			w.ends(1, state)
			w.settle(time.Minute)
			if g := w.State.Snapshot().ByName("a"); g.Phase != want || g.Wanted != "" {
				t.Errorf("%s: %+v", state, g)
			}
		})
	}
}

func TestStopByForce(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", ""), w.guest("b", ""))
		w.at(w.domid("a")).deaf = true
		w.works(w.Stop(w.t.Context(), "a", time.Second, true))
		w.is("a", host.Stopped, 0, "b")
		w.works(w.Pause(w.t.Context(), "b"))
		w.fails(w.Pause(w.t.Context(), "b"), ErrPhase, "is paused already")
		w.fails(w.Stop(w.t.Context(), "b", 0, false), ErrPhase, "resume it first, or force it")
		if g := w.is("b", host.Running, w.domid("b"), "b"); !g.Paused {
			t.Error("it is not paused")
		}
		w.works(w.Unpause(w.t.Context(), "b"))
		w.fails(w.Unpause(w.t.Context(), "b"), ErrPhase, "is not paused")
		w.works(w.Pause(w.t.Context(), "b"))
		w.works(w.Stop(w.t.Context(), "b", time.Hour, true))
		w.is("b", host.Stopped, 0)
	})
}

// A guest that somebody has paused by hand can be resumed at once.
func TestUnpauseByHand(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", ""))
		w.ends(1, "--p---")
		w.works(w.Unpause(w.t.Context(), "a"))
		if w.called("unpause 1") != 1 || w.is("a", host.Running, 1, "a").Paused {
			t.Errorf("calls %q", w.calls)
		}
	})
}

// A guest that has no domain stops at once: while it waits for a disk, and between two of its restarts.
func TestStopWithoutDomain(t *testing.T) {
	live(t, func(w *world) {
		late := w.guest("late", "disk = [ 'phy:/dev/vg/late,xvda,r' ]\n")
		w.Start(w.t.Context(), []*guests.Guest{late, w.guest("a", "on_crash = 'restart'\n")})
		w.settle(time.Minute)
		w.fails(w.Restart(w.t.Context(), "late", 0, false), ErrPhase, "has not run yet")
		for domid := 1; domid < 5; domid++ {
			w.ends(domid, "---sc-")
			w.settle(2*time.Second + time.Second<<domid)
		}
		w.ends(5, "---sc-")
		w.settle(time.Second)
		w.is("a", host.Restarting, 0, "a", "late")
		began := time.Now()
		w.works(w.Stop(w.t.Context(), "late", 0, false))
		w.works(w.Stop(w.t.Context(), "a", 0, false))
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
		w.is("late", host.Stopped, 0)
		w.is("a", host.Stopped, 0)
		w.fails(w.StartGuest(w.t.Context(), "late"), ErrWaits, "there is no /dev/vg/late; it starts when that is there")
		w.kernel.Plug("/dev/vg/late")
		w.settle(5 * time.Second)
		w.is("late", host.Running, 6, "late")
	})
}

// A restart that was ordered does not wait as those of a guest do that crashes again and again.
func TestRestart(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "on_reboot = 'destroy'\n"))
		w.works(w.Restart(w.t.Context(), "a", 0, false))
		if g := w.is("a", host.Running, 2, "a"); g.Restarts != 1 || g.Wanted != "" {
			t.Errorf("%+v", g)
		}
		w.at(2).deaf = true
		w.fails(w.Restart(w.t.Context(), "a", time.Second, false), ErrTimeout, "wait longer")
		w.works(w.Restart(w.t.Context(), "a", time.Second, true))
		w.is("a", host.Running, 3, "a")
		w.at(3).undriven = true // it is asked to power off, and made anew
		w.works(w.Restart(w.t.Context(), "a", 0, false))
		w.is("a", host.Running, 4, "a")
		w.ends(4, "---sr-") // by itself
		w.settle(time.Minute)
		w.is("a", host.Stopped, 0)
		w.fails(w.Restart(w.t.Context(), "a", 0, false), ErrPhase, "does not run (stopped); start it first")
	})
}

// The domain of a guest that has crashed is kept until an order says what is to become of it.
func TestOrdersToACrashedGuest(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "on_crash = 'preserve'\n"))
		w.ends(1, "---sc-")
		w.settle(time.Second)
		w.fails(w.Stop(w.t.Context(), "a", 0, false), ErrPhase, "its domain is kept; destroy it")
		w.fails(w.SetVCPUs(w.t.Context(), "a", 1), ErrPhase, "it is crashed")
		w.works(w.Restart(w.t.Context(), "a", 0, true))
		w.is("a", host.Running, 2, "a")
		w.ends(2, "---sc-")
		w.settle(time.Second)
		w.works(w.Destroy(w.t.Context(), "a"))
		w.is("a", host.Stopped, 0)
	})
}

func TestDestroy(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "on_crash = 'restart'\non_poweroff = 'restart'\n"))
		w.works(w.Destroy(w.t.Context(), "a"))
		w.settle(time.Minute)
		w.is("a", host.Stopped, 0)
		w.works(w.StartGuest(w.t.Context(), "a"))
		w.is("a", host.Running, 2, "a")
		w.fixed = true
		w.fails(w.Destroy(w.t.Context(), "a"), nil, "it hangs")
		w.fixed = false
		w.works(w.Destroy(w.t.Context(), "a"))
		w.is("a", host.Stopped, 0)
	})
}

// Who has no patience with a guest that is to stop destroys it. Another order has to wait.
func TestTwoOrders(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", ""))
		w.at(1).deaf = true
		stopped := make(chan error, 1)
		go func() { stopped <- w.Stop(w.t.Context(), "a", time.Hour, false) }()
		w.settle(time.Second)
		w.fails(w.Restart(w.t.Context(), "a", 0, false), ErrPhase, "has an order already (stop)")
		w.works(w.Destroy(w.t.Context(), "a"))
		w.works(<-stopped)
		w.is("a", host.Stopped, 0)
	})
}

// So it is with a guest that was made by hand.
func TestDestroyWhileAStopWaitsByHand(t *testing.T) {
	live(t, func(w *world) {
		w.add(&domain{name: "hand", uuid: "u", state: "-b----", kib: 96 * mib, deaf: true})
		w.settle(time.Second)
		stopped := make(chan error, 1)
		go func() { stopped <- w.Stop(w.t.Context(), "hand", time.Hour, false) }()
		w.settle(time.Second)
		w.fails(w.Pause(w.t.Context(), "hand"), ErrPhase, "has an order already (stop)")
		w.works(w.Destroy(w.t.Context(), "hand"))
		w.works(<-stopped)
		w.is("hand", host.Stopped, 0)
	})
}

// Whoever waits for a restart hears that the guest was destroyed.
func TestDestroyDuringARestart(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", ""))
		w.at(1).deaf = true
		restarted := make(chan error, 1)
		go func() { restarted <- w.Restart(w.t.Context(), "a", time.Hour, false) }()
		w.settle(time.Second)
		w.works(w.Destroy(w.t.Context(), "a"))
		w.fails(<-restarted, ErrPhase, "was not made anew")
	})
}

// Orders wait for a guest that is being created; only to destroy it ends its creation.
func TestOrderDuringCreation(t *testing.T) {
	live(t, func(w *world) {
		w.Start(w.t.Context(), nil)
		hang := true
		w.create = func(ctx context.Context, _ *domain) error {
			if hang {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		results := make(chan int, 1)
		go func() { results <- w.Start(w.t.Context(), []*guests.Guest{w.guest("a", "")}) }()
		w.settle(3 * time.Second)
		w.is("a", host.Creating, 1, "a", "a (being created)")
		w.works(w.Destroy(w.t.Context(), "a"))
		if n := <-results; n != 0 {
			t.Error("a guest that was destroyed counts as started")
		}
		w.is("a", host.Stopped, 0)
		hang = false
		go func() { results <- w.Start(w.t.Context(), []*guests.Guest{w.guest("b", "vcpus = 2\n")}) }()
		w.settle(100 * time.Millisecond)
		w.works(w.SetVCPUs(w.t.Context(), "b", 1))
		w.works(w.Stop(w.t.Context(), "b", 0, false))
		<-results
		w.is("b", host.Stopped, 0)
	})
}

func TestOrderAtTheEnd(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", ""), w.guest("b", ""))
		w.at(w.domid("a")).deaf = true
		stopped := make(chan error, 1)
		go func() { stopped <- w.Stop(w.t.Context(), "a", time.Hour, false) }()
		w.settle(time.Second)
		w.State.Tell(host.Ending{Action: "reboot"})
		w.fails(<-stopped, ErrPhase, "the machine is ending (reboot)")
		w.fails(w.Stop(w.t.Context(), "b", 0, false), ErrPhase, "the machine is ending")
		w.fails(w.StartGuest(w.t.Context(), "b"), ErrPhase, "the machine is ending")
	})
}

// A guest keeps the name that an order gave it, and with it its UUID, and MAC addresses of its first name.
func TestRename(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "vif = [ '' ]\n"), w.guest("b", ""))
		before := w.is("a", host.Running, w.domid("a"), "a", "b")
		w.fails(w.Rename(w.t.Context(), "a", "b"), ErrPhase, `the name "b" already`)
		w.fails(w.Rename(w.t.Context(), "a", "7"), nil, "it is a number")
		w.works(w.Rename(w.t.Context(), "a", "web"))
		w.is("web", host.Running, before.Domid, "b", "web")
		_, err := os.Stat(filepath.Join(w.Dir, "a.cfg"))
		if err == nil || !strings.Contains(w.config("web"), `name = "web"`) {
			t.Error("the configuration is not where it belongs")
		}
		w.works(w.Restart(w.t.Context(), "web", 0, false))
		w.works(w.Stop(w.t.Context(), "web", 0, false))
		w.fails(w.StartGuest(w.t.Context(), "a"), ErrNoGuest, "")
		w.works(w.StartGuest(w.t.Context(), "web"))
		after := w.is("web", host.Running, 4, "b", "web")
		if after.UUID != before.UUID || !slices.Equal(after.MACs, before.MACs) {
			t.Errorf("%+v, before %+v", after, before)
		}
		if n := len(w.State.Snapshot().Guests); n != 2 {
			t.Errorf("%d guests are known", n)
		}
	})
}

// A guest's network rules are in force before its domain is made, under the name that it has, and go by its own. One
// that has none because they fail is not made.
func TestRules(t *testing.T) {
	live(t, func(w *world) {
		var set []string
		var fault error
		w.Rules = func(own, name, uuid string) error {
			if domain := w.State.Snapshot().ByUUID(uuid); domain.Domid != 0 {
				name += " (runs)"
			}
			set = append(set, own+" "+name)
			return fault
		}
		w.started(w.guest("a", ""))
		w.works(w.Rename(w.t.Context(), "a", "web"))
		w.works(w.Stop(w.t.Context(), "web", 0, false))
		w.works(w.StartGuest(w.t.Context(), "web"))
		if want := []string{"a a", "a web (runs)", "a web"}; !slices.Equal(set, want) {
			t.Errorf("%q, want %q", set, want)
		}
		w.works(w.Stop(w.t.Context(), "web", 0, false))
		fault = errors.New("no tables")
		w.fails(w.StartGuest(w.t.Context(), "web"), nil, "its network rules: no tables")
	})
}

// Rules that have become others hold for guests that run, one that is suspended or just ending left aside.
func TestRefreshRules(t *testing.T) {
	live(t, func(w *world) {
		var mu sync.Mutex
		set := map[string]int{}
		var fault error
		w.Rules = func(own, name, uuid string) error {
			mu.Lock()
			defer mu.Unlock()
			set[own+" "+name]++
			return fault
		}
		w.works(w.RefreshRules(w.t.Context())) // there is no guest
		w.started(w.guest("a", ""), w.guest("b", ""), w.guest("c", ""))
		w.works(w.Rename(w.t.Context(), "a", "web"))
		w.works(w.Stop(w.t.Context(), "c", 0, false))
		clear(set)
		w.works(w.RefreshRules(w.t.Context()))
		if want := map[string]int{"a web": 1, "b b": 1}; !maps.Equal(set, want) {
			t.Errorf("%v, want %v", set, want)
		}
		fault = errors.New("no tables")
		w.fails(w.RefreshRules(w.t.Context()), fault, `guest "web": its network rules: no tables`)
	})
}

func TestSetMemory(t *testing.T) {
	live(t, func(w *world) {
		w.free = 300 * mib
		w.started(w.guest("a", "maxmem = 512\n"))
		need := w.is("a", host.Running, 1, "a").NeedKiB
		w.fails(w.SetMemory(w.t.Context(), "a", 600*mib), nil, "600 MiB are more than the 512 MiB")
		w.fails(w.SetMemory(w.t.Context(), "a", 10*mib), nil, "10 MiB are too little")
		w.fails(w.SetMemory(w.t.Context(), "a", 512*mib), nil, "from 96 to 512 MiB: it takes 416 MiB of Xen's memory")
		w.works(w.SetMemory(w.t.Context(), "a", 200*mib))
		if g := w.is("a", host.Running, 1, "a"); g.NeedKiB != need+104*mib || g.MemoryKiB != 200*mib {
			t.Errorf("%+v", g)
		}
		w.at(1).deaf = true
		w.fails(w.SetMemory(w.t.Context(), "a", 96*mib), nil, "it has 200 MiB in place of 96")
		w.at(1).deaf = false
		w.works(w.SetMemory(w.t.Context(), "a", 64*mib))
		if e := w.entries[0]; e.XenKiB != need-32*mib {
			t.Errorf("%+v, at first %d", e, need)
		}
		w.works(w.Restart(w.t.Context(), "a", 0, false))
		w.is("a", host.Running, 2, "a")
		if w.at(2).kib != 64*mib || !strings.Contains(w.config("a"), `maxmem = "512"`) {
			t.Error(w.config("a"))
		}
	})
}

func TestSetVCPUs(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "maxvcpus = 4\n"))
		w.fails(w.SetVCPUs(w.t.Context(), "a", 5), nil, "more than the 4")
		w.fails(w.SetVCPUs(w.t.Context(), "a", 0), nil, "1 vCPU at least")
		w.works(w.SetVCPUs(w.t.Context(), "a", 3))
		if g := w.is("a", host.Running, 1, "a"); g.VCPUs != 3 {
			t.Errorf("%+v", g)
		}
		w.at(1).deaf = true
		w.fails(w.SetVCPUs(w.t.Context(), "a", 1), nil, "it uses 3 vCPUs in place of 1")
		w.at(1).deaf = false
		w.works(w.Restart(w.t.Context(), "a", 0, false))
		if w.at(2).vcpus != 3 {
			t.Error(w.config("a"))
		}
	})
}

// A disk that was attached by order is made as others are, and there again in the guest's next domain.
func TestAttachAndDetachDisk(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", ""))
		image := filepath.Join(w.store, "a", "disk.img")
		w.works(os.WriteFile(image, make([]byte, 4096), 0o644))
		_, err := w.AttachDisk(w.t.Context(), "a", "none.img,raw,xvdb,rw")
		w.fails(err, nil, "disk xvdb is missing")
		vdev, err := w.AttachDisk(w.t.Context(), "a", "disk.img,raw,xvdb,rw")
		if err != nil || vdev != "xvdb" {
			t.Fatal(vdev, err)
		}
		g := w.is("a", host.Running, 1, "a", "a (changes to its disks)")
		gate := "/dev/mapper/guest-" + g.UUID + "-xvdb"
		if len(g.Disks) != 1 || !g.Disks[0].CopyOnWrite || !strings.Contains(w.at(1).devices, "target="+gate) {
			t.Errorf("%+v %q", g, w.at(1).devices)
		}
		_, err = w.AttachDisk(w.t.Context(), "a", "disk.img,raw,51728,r")
		w.fails(err, nil, "it has a disk 51728 already")
		w.works(w.Restart(w.t.Context(), "a", 0, false))
		if !strings.Contains(w.config("a"), "target="+gate) {
			t.Error(w.config("a"))
		}
		w.server.Set("/local/domain/0/backend/vbd/2/51728/frontend", "f") // xl create makes it
		w.at(2).deaf = true
		w.fails(w.DetachDisk(w.t.Context(), "a", "xvdb"), nil, "unmount it in the guest")
		w.at(2).deaf = false
		w.works(w.DetachDisk(w.t.Context(), "a", "51728"))
		w.fails(w.DetachDisk(w.t.Context(), "a", "xvdb"), ErrNoDevice, `it has no disk "xvdb"`)
		if g := w.State.Snapshot().Live("a"); len(g.Disks) != 0 || strings.Contains(w.config("a"), gate) {
			t.Errorf("%+v %s", g, w.config("a"))
		}
		if calls := strings.Join(w.kernel.Calls(), "; "); !strings.Contains(calls, "remove guest-"+g.UUID+"-xvdb") {
			t.Error(calls)
		}
		_, err = w.AttachDisk(w.t.Context(), "a", "disk.img,raw,xvdb,rw") // nothing of the first is in the way
		w.works(err)
		_, _, err = w.obey([]string{"block-attach", "2", "vdev=xvdc,target=/c.img"}) // by hand
		w.works(err)
		_, err = w.AttachDisk(w.t.Context(), "a", "disk.img,raw,xvdc,rw")
		w.fails(err, nil, "it has a disk xvdc already, by xl")
		w.works(w.DetachDisk(w.t.Context(), "a", "xvdc"))
		w.fails(w.DetachDisk(w.t.Context(), "a", "xvdc"), ErrNoDevice, `it has no disk "xvdc"`)
		w.works(w.Stop(w.t.Context(), "a", 0, false))
		w.is("a", host.Stopped, 0)
	})
}

// A guest that nobody vouches for gets by an order what its configuration could ask for.
func TestAttachToAGuestThatIsNotTrusted(t *testing.T) {
	live(t, func(w *world) {
		g := w.guest("a", "")
		g.Trusted = false
		w.started(g)
		_, err := w.AttachDisk(w.t.Context(), "a", "/etc/passwd,raw,xvdb,r")
		w.fails(err, nil, "outside of the guest's directory")
		_, err = w.AttachNIC(w.t.Context(), "a", "bridge=other")
		w.fails(err, nil, "reaches beyond the guest")
		if w.called("block-attach")+w.called("network-attach") != 0 {
			t.Errorf("calls %q", w.calls)
		}
	})
}

func TestAttachAndDetachNIC(t *testing.T) {
	live(t, func(w *world) {
		w.started(w.guest("a", "vif = [ '' ]\n"))
		first := w.is("a", host.Running, 1, "a").MACs[0]
		mac, err := w.AttachNIC(w.t.Context(), "a", "rate=10Mb/s")
		if err != nil || mac == first {
			t.Fatal(mac, err)
		}
		if want := "rate=10Mb/s bridge=xenbr0 devid=1 mac=" + mac + "\n"; w.at(1).devices != want {
			t.Errorf("%q, want %q", w.at(1).devices, want)
		}
		if g := w.State.Snapshot().ByMAC(mac); g == nil || g.Name != "a" {
			t.Error("nobody has the MAC address")
		}
		_, err = w.AttachNIC(w.t.Context(), "a", "mac="+mac)
		w.fails(err, nil, "already")
		w.works(w.Restart(w.t.Context(), "a", 0, false))
		w.works(w.DetachNIC(w.t.Context(), "a", strings.ToUpper(first)))
		w.fails(w.DetachNIC(w.t.Context(), "a", first), ErrNoDevice, "no network interface with that MAC")
		w.State.Tell(host.Plugged{Domid: 2, MACs: []string{mac, "00:16:3e:00:00:77"}}) // the second by hand
		w.works(w.DetachNIC(w.t.Context(), "a", "00:16:3e:00:00:77"))
		if c := w.config("a"); !strings.Contains(c, "devid=1,mac="+mac) || strings.Contains(c, first) {
			t.Error(c)
		}
	})
}

// A guest that was made by hand gets orders, too; its own xl does what its configuration says.
func TestOrdersToAGuestMadeByHand(t *testing.T) {
	live(t, func(w *world) {
		d := &domain{name: "hand", uuid: "00000000-0000-0000-0000-000000000001", state: "-b----", kib: 96 * mib}
		w.add(d)
		w.settle(time.Second)
		w.works(w.Pause(w.t.Context(), "hand"))
		w.works(w.Unpause(w.t.Context(), "hand"))
		w.works(w.SetMemory(w.t.Context(), "hand", 128*mib))
		for cpu := range 2 {
			w.server.Set(fmt.Sprintf("/local/domain/1/cpu/%d/availability", cpu), "online")
		}
		w.works(w.SetVCPUs(w.t.Context(), "hand", 2))
		w.fails(w.SetVCPUs(w.t.Context(), "hand", 3), nil, "more than the 2")
		mac, err := w.AttachNIC(w.t.Context(), "hand", "")
		w.works(err)
		image := filepath.Join(w.store, "disk.img")
		w.works(os.WriteFile(image, make([]byte, 4096), 0o644))
		_, err = w.AttachDisk(w.t.Context(), "hand", image+",qcow2,xvdb,rw")
		w.fails(err, nil, "raw disks only")
		_, err = w.AttachDisk(w.t.Context(), "hand", image+",raw,xvdb,rw")
		w.works(err)
		want := "bridge=xenbr0 mac=" + mac + "\nvdev=xvdb,format=raw,access=rw,target=" + image + "\n"
		if d.devices != want {
			t.Errorf("%q, want %q", d.devices, want)
		}
		w.works(w.DetachDisk(w.t.Context(), "hand", "xvdb"))
		w.works(w.Rename(w.t.Context(), "hand", "web"))
		w.is("web", host.Running, 1)
		go func() { // its own xl
			w.settle(time.Second)
			w.destroy(1)
			time.Sleep(2 * time.Second)
			w.add(&domain{name: "web", uuid: d.uuid, state: "-b----", kib: 96 * mib})
		}()
		w.works(w.Restart(w.t.Context(), "web", 0, false))
		w.is("web", host.Running, 2)
		w.settle(time.Minute)
		w.works(w.Stop(w.t.Context(), "web", 0, false))
		w.works(w.Destroy(w.t.Context(), "web"))
		w.is("web", host.Stopped, 0)
		w.fails(w.StartGuest(w.t.Context(), "web"), ErrPhase, "made by hand")
	})
}

// Guests that were only found are started by order, as are those that were refused, once what was wrong is mended.
func TestStartOfAFoundGuest(t *testing.T) {
	live(t, func(w *world) {
		w.Found([]*guests.Guest{w.guest("a", ""), w.guest("gone", "")})
		if g := w.is("a", host.Stopped, 0); !g.IsFound() || g.Origin == "" {
			t.Errorf("%+v", g)
		}
		w.works(w.StartGuest(w.t.Context(), "a"))
		w.is("a", host.Running, 1, "a")
		w.works(os.RemoveAll(filepath.Join(w.store, "gone")))
		w.fails(w.StartGuest(w.t.Context(), "gone"), nil, "is not there any more")

		w.Start(w.t.Context(), []*guests.Guest{w.guest("big", "memory = 4000\n")})
		w.is("big", host.Refused, 0, "a")
		w.fails(w.StartGuest(w.t.Context(), "big"), nil, "not enough memory")
		w.guest("big", "")
		w.works(w.StartGuest(w.t.Context(), "big"))
		w.is("big", host.Running, 2, "a", "big")

		bad := w.guest("bad", "")
		w.works(os.WriteFile(bad.File, []byte("memory = \n"), 0o644))
		_, err := guests.Load(bad.Dir)
		var fault *guests.Error
		if !errors.As(err, &fault) {
			t.Fatal(err)
		}
		w.RefuseAt(fault, "", true)
		w.fails(w.StartGuest(w.t.Context(), "bad"), nil, "g.cfg:1")
		w.guest("bad", "name = 'good'\n")
		w.works(w.StartGuest(w.t.Context(), "bad"))
		w.is("good", host.Running, 3, "a", "big", "good")
		if w.State.Snapshot().ByName("bad") != nil {
			t.Error("one directory is two guests")
		}
	})
}

// What the host's owner wants goes before what configurations say.
func TestOverride(t *testing.T) {
	live(t, func(w *world) {
		no, yes := false, true
		w.Override = func(name string) guests.Override {
			return map[string]guests.Override{
				"a": {Order: 2, Delay: 10 * time.Second}, "b": {Order: 1, MemoryMiB: 128, VCPUs: 2},
				"c": {Autostart: &no}, "d": {Autostart: &yes, Restart: guests.Always}, "e": {Restart: "sometimes"},
			}[name]
		}
		began := time.Now()
		n := w.Offer(w.t.Context(), []*guests.Guest{w.guest("a", ""), w.guest("b", ""), w.guest("c", "")}, true)
		if took := time.Since(began); n != 3 || took < 10*time.Second {
			t.Errorf("%d guests after %s", n, took)
		}
		w.is("b", host.Running, 1, "a", "b")
		w.is("a", host.Running, 2, "a", "b")
		w.is("c", host.Stopped, 0, "a", "b")
		if w.at(1).kib != 128*mib || w.at(1).vcpus != 2 {
			t.Errorf("%+v", w.at(1))
		}
		w.Offer(w.t.Context(), []*guests.Guest{w.guest("d", ""), w.guest("e", "")}, false)
		w.settle(time.Minute)
		w.is("d", host.Running, 3, "a", "b", "d")
		w.ends(3, "---s--")
		w.settle(time.Minute)
		w.is("d", host.Running, 4, "a", "b", "d")
		w.works(w.Stop(w.t.Context(), "d", 0, false))
		w.fails(w.StartGuest(w.t.Context(), "e"), nil, `no restart policy "sometimes"`)
	})
}

// Each policy of the host's owner, with each way in which a guest ends.
func TestRestartPolicies(t *testing.T) {
	const powerOff, reboot, crash, watchdog = "---s--", "---sr-", "---sc-", "---sw-"
	for _, test := range []struct {
		policy guests.Restart
		end    string
		again  bool
	}{
		{guests.Always, powerOff, true}, {guests.Always, reboot, true}, {guests.Always, crash, true},
		{guests.Always, watchdog, true},
		{guests.OnFailure, powerOff, false}, {guests.OnFailure, reboot, true}, {guests.OnFailure, crash, true},
		{guests.OnFailure, watchdog, true},
		{guests.Never, powerOff, false}, {guests.Never, reboot, false}, {guests.Never, crash, false},
		{guests.Never, watchdog, false},
		{guests.AsConfigured, powerOff, false}, {guests.AsConfigured, reboot, true},
		{guests.AsConfigured, crash, false}, {guests.AsConfigured, watchdog, false},
	} {
		t.Run(string(test.policy)+test.end, func(t *testing.T) {
			live(t, func(w *world) {
				w.Override = func(string) guests.Override { return guests.Override{Restart: test.policy} }
				w.started(w.guest("a", ""))
				w.ends(1, test.end)
				w.settle(time.Minute)
				if test.again {
					w.is("a", host.Running, 2, "a")
				} else {
					w.is("a", host.Stopped, 0)
				}
			})
		})
	}
}

// A guest is made once those with a lower order are, whatever their names; others are made side by side.
func TestOrder(t *testing.T) {
	live(t, func(w *world) {
		w.Override = func(name string) guests.Override {
			return guests.Override{Order: map[string]int{"a": 3, "b": 2, "c": 1, "d": 0, "e": -1}[name]}
		}
		var found []*guests.Guest
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			found = append(found, w.guest(name, ""))
		}
		w.started(found...)
		for i, name := range []string{"e", "d", "c", "b", "a"} {
			if domid := w.domid(name); domid != i+1 {
				t.Errorf("%s has domid %d", name, domid)
			}
		}
	})
}

// A guest that waits for its turn, or out its delay, is stopped at once, and one that somebody makes by hand meanwhile
// is theirs. Those that come after it keep their order.
func TestOrdersToGuestsThatWaitForTheirTurn(t *testing.T) {
	live(t, func(w *world) {
		w.Override = func(name string) guests.Override {
			wanted := guests.Override{Order: map[string]int{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}[name]}
			if name == "a" {
				wanted.Delay = time.Hour
			}
			return wanted
		}
		found := []*guests.Guest{
			w.guest("a", ""), w.guest("b", ""), w.guest("c", ""), w.guest("d", ""), w.guest("e", ""),
		}
		result := make(chan int, 1)
		go func() { result <- w.Start(w.t.Context(), found) }()
		w.settle(time.Second)
		byHand := w.is("d", host.Waiting, 0, "a", "b", "c", "d", "e")
		w.add(&domain{name: "d", uuid: byHand.UUID, state: "-b----", kib: 96 * mib})
		w.settle(time.Second)
		if g := w.is("d", host.Running, 1, "a", "b", "c", "e"); g.Managed {
			t.Error("it has two owners")
		}
		began := time.Now()
		w.works(w.Stop(w.t.Context(), "b", 0, false))
		w.works(w.Destroy(w.t.Context(), "c"))
		w.is("b", host.Stopped, 0, "a", "e")
		w.is("c", host.Stopped, 0, "a", "e")
		w.is("e", host.Waiting, 0, "a", "e")
		w.works(w.Stop(w.t.Context(), "a", 0, false))
		if took := time.Since(began); took > time.Second {
			t.Errorf("the orders took %s", took)
		}
		w.settle(2 * time.Second)
		w.is("e", host.Running, 2, "e")
		if n := <-result; n != 1 || w.called("create") != 1 || w.called("destroy") != 0 {
			t.Errorf("%d guests run, calls %q", n, w.calls)
		}
		w.works(w.StartGuest(w.t.Context(), "b"))
		w.is("b", host.Running, 3, "b", "e")
	})
}

// Whoever starts a guest that somebody else stops before it runs is told so.
func TestStartThatIsCalledOff(t *testing.T) {
	live(t, func(w *world) {
		w.Found([]*guests.Guest{w.guest("late", "disk = [ 'phy:/dev/vg/late,xvda,r' ]\n")})
		result := make(chan error, 1)
		go func() { result <- w.StartGuest(w.t.Context(), "late") }()
		w.settle(time.Second)
		w.works(w.Stop(w.t.Context(), "late", 0, false))
		w.fails(<-result, ErrPhase, "stopped before it has run")
		w.is("late", host.Stopped, 0)
	})
}

// A clock that is set while a guest is made ends libxl's timeouts all at once. The guest is made once more.
func TestClockIsSetDuringACreation(t *testing.T) {
	live(t, func(w *world) {
		times := 0
		w.create = func(context.Context, *domain) error {
			if times++; times == 1 {
				return fmt.Errorf("%w: exit status 1", xen.ErrClockSet)
			}
			return nil
		}
		w.started(w.guest("a", ""))
		w.is("a", host.Running, 2, "a")
		w.create = func(context.Context, *domain) error { return fmt.Errorf("%w: exit status 1", xen.ErrClockSet) }
		if n := w.Start(w.t.Context(), []*guests.Guest{w.guest("b", "")}); n != 0 || w.called("create") != 4 {
			t.Errorf("%d guests run, calls %q", n, w.calls)
		}
		w.is("b", host.Failed, 0, "a")
	})
}

func TestLook(t *testing.T) {
	live(t, func(w *world) {
		w.settle(time.Second)
		before := w.called("list")
		for range 10 {
			w.works(w.Look(w.t.Context()))
		}
		w.settle(time.Second)
		w.works(w.Look(w.t.Context()))
		if n := w.called("list") - before; n < 1 || n > 2 {
			t.Errorf("xl was asked %d times", n)
		}
	})
}

// init crashes between an order and its end: the next one brings it to that end.
func TestCrashDuringAnOrder(t *testing.T) {
	live(t, func(w *world) {
		ctx, crash := context.WithCancel(w.t.Context())
		const config = "on_poweroff = 'restart'\non_reboot = 'destroy'\n"
		w.Start(ctx, []*guests.Guest{
			w.guest("destroyed", config), w.guest("ended", config),
			w.guest("restarted", config), w.guest("stopped", config),
		})
		w.settle(time.Minute)
		w.works(w.Stop(ctx, "ended", 0, false))
		wants := map[string]host.Want{
			"destroyed": host.WantDestroy, "restarted": host.WantRestart, "stopped": host.WantStop,
		}
		for name, want := range wants {
			uuid := w.State.Snapshot().Live(name).UUID
			w.State.Tell(host.Ordered{UUID: uuid, Order: string(want)})
			w.State.Tell(host.Wanted{UUID: uuid, Want: want})
		}
		left := w.State.Snapshot()
		crash()
		synctest.Wait()
		w.keep(left)
		w.settle(time.Minute)
		w.is("destroyed", host.Stopped, 0, "restarted")
		w.is("stopped", host.Stopped, 0, "restarted")
		w.is("restarted", host.Running, 5, "restarted")
		if g := w.is("ended", host.Stopped, 0, "restarted"); g.Source.Dir == "" {
			t.Errorf("%+v", g)
		}
		w.works(w.StartGuest(w.t.Context(), "ended"))
		w.is("ended", host.Running, 6, "ended", "restarted")
	})
}

// A guest that waits for a disk while init crashes starts when that comes, as it would have.
func TestCrashWhileAGuestWaits(t *testing.T) {
	live(t, func(w *world) {
		ctx, crash := context.WithCancel(w.t.Context())
		w.Start(ctx, []*guests.Guest{w.guest("late", "disk = [ 'phy:/dev/vg/late,xvda,r' ]\n")})
		w.is("late", host.Waiting, 0, "late")
		left := w.State.Snapshot()
		crash()
		synctest.Wait()
		w.keep(left)
		w.settle(time.Minute)
		w.is("late", host.Waiting, 0, "late")
		w.kernel.Plug("/dev/vg/late")
		w.settle(time.Minute)
		w.is("late", host.Running, 1, "late")
	})
}

// keep makes the controller of another process, which goes on from a snapshot.
func (w *world) keep(left *host.Snapshot) {
	state := host.New(w.t.Context(), "test")
	w.ledger = memory.New(memory.Source{
		XenFree:   func(context.Context) (int64, error) { return 500 * mib, nil },
		Available: func() (int64, error) { return 500 * mib, nil },
	}, func(e []memory.Entry) { w.entries = e })
	w.Controller = New(Config{
		Xen: w.Xen, State: state, Ledger: w.ledger, Disks: w.newDisks(state), Dir: w.Dir, Log: w.Log,
		Machine: w.Machine,
	})
	go w.Run(w.t.Context())
	observer := xen.Observer{
		Store: w.server.Client(w.t), Tell: w.State.Tell, Came: func(int, string) {}, Changed: w.Changed, Log: w.Log,
	}
	go func() { _ = observer.Run(w.t.Context()) }()
	w.Resume(w.t.Context(), left)
}
