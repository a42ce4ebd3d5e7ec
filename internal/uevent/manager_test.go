package uevent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// sysFixture is a machine with a disk controller, a disk and a network card.
func sysFixture() fstest.MapFS {
	sys := fstest.MapFS{}
	device := func(path, uevent string, links ...string) {
		sys["devices/"+path+"/uevent"] = &fstest.MapFile{Data: []byte(uevent)}
		for _, link := range links {
			up := strings.Repeat("../", strings.Count(link, "/"))
			sys[link] = &fstest.MapFile{Data: []byte(up + "devices/" + path), Mode: fs.ModeSymlink}
		}
	}
	device("pci0000:00/0000:00:01.0", "DRIVER=ahci\nPCI_ID=8086:2922\nMODALIAS=pci:ahci\n",
		"bus/pci/devices/0000:00:01.0")
	device("pci0000:00/0000:00:02.0", "MODALIAS=pci:e1000\n", "bus/pci/devices/0000:00:02.0")
	device("pci0000:00/0000:00:03.0", "MODALIAS=pci:e1000\n", "bus/pci/devices/0000:00:03.0")
	device("pci0000:00/0000:00:01.0/block/sda", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n", "class/block/sda")
	sys["class/net/bonding_masters"] = &fstest.MapFile{} // a file among the links
	return sys
}

func TestColdplug(t *testing.T) {
	var got []string
	err := Coldplug(t.Context(), sysFixture(), func(e Event) {
		got = append(got, e.Action+" "+e.Subsystem+" "+e.DevPath+" "+e.DevName+e.Modalias)
	})
	want := []string{
		"add pci /devices/pci0000:00/0000:00:01.0 pci:ahci",
		"add pci /devices/pci0000:00/0000:00:02.0 pci:e1000",
		"add pci /devices/pci0000:00/0000:00:03.0 pci:e1000",
		"add block /devices/pci0000:00/0000:00:01.0/block/sda sda",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Coldplug: %v, got\n%q, want\n%q", err, got, want)
	}
}

// TestColdplugThisMachine holds the walk to a real /sys.
func TestColdplugThisMachine(t *testing.T) {
	if _, err := os.Stat("/sys/bus"); err != nil {
		t.Skip("no /sys here")
	}
	found, aliases := 0, 0
	err := Coldplug(t.Context(), os.DirFS("/sys"), func(e Event) {
		found++
		if e.Modalias != "" {
			aliases++
		}
		if _, err := os.Stat("/sys" + e.DevPath); err != nil {
			t.Errorf("%s: %v", e.DevPath, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d devices, %d with a modalias", found, aliases)
}

// source is a Source that a test feeds.
type source struct {
	events chan Event
	lost   chan struct{}
	closed chan struct{}
}

func newSource() *source {
	return &source{make(chan Event), make(chan struct{}), make(chan struct{})}
}

func (s *source) Receive() (Event, error) {
	select {
	case e := <-s.events:
		return e, nil
	case <-s.lost:
		return Event{}, ErrOverflow
	case <-s.closed:
		return Event{}, os.ErrClosed
	}
}

func (s *source) Close() error { close(s.closed); return nil }

// recorder is a Load that takes a second a module and counts.
type recorder struct {
	mu          sync.Mutex
	loads       map[string]int
	now, most   int
	fail, final map[string]bool
}

var errFinal = errors.New("no device")

func (r *recorder) load(ctx context.Context, alias string) error {
	r.mu.Lock()
	r.loads[alias]++
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	time.Sleep(time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	switch {
	case r.fail[alias]:
		return errors.New("broken")
	case r.final[alias]:
		return errFinal
	}
	return nil
}

// start runs a manager on the fixture for the length of the test.
func start(t *testing.T, r *recorder, workers int) (*Manager, *source) {
	return startOn(t, sysFixture(), r, workers)
}

func startOn(t *testing.T, sys fs.FS, r *recorder, workers int) (*Manager, *source) {
	r.loads = map[string]int{}
	src := newSource()
	m := NewManager(Config{
		Source: src, Sys: sys, Load: r.load, Workers: workers,
		Final: func(err error) bool { return errors.Is(err, errFinal) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m, src
}

func TestManagerLoadsOnceAndSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m, _ := start(t, &r, 8)
		began := time.Now()
		if err := m.Settle(t.Context(), 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 1300*time.Millisecond {
			t.Errorf("settled after %v, want the load's 1 s and 300 ms of quiet", took)
		}
		if r.loads["pci:ahci"] != 1 || r.loads["pci:e1000"] != 1 || r.most != 2 {
			t.Errorf("loads %v, %d at once: want each once, in parallel", r.loads, r.most)
		}
	})
}

func TestManagerBoundsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m, src := start(t, &r, 3)
		for _, alias := range []string{"a", "b", "c", "d", "e", "f"} {
			src.events <- Event{Action: "add", DevPath: "/" + alias, Modalias: alias}
		}
		if err := m.Settle(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if len(r.loads) != 8 || r.most != 3 {
			t.Errorf("%d modaliases, %d at once; want 8, 3 at once", len(r.loads), r.most)
		}
	})
}

// TestManagerSecondDriver follows a device that comes because a driver was loaded: settling
// waits for that one's driver, too. Changes do not disturb the quiet.
func TestManagerSecondDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m, src := start(t, &r, 8)
		go func() {
			time.Sleep(1200 * time.Millisecond)
			src.events <- Event{Action: "add", DevPath: "/target0", Subsystem: "scsi", Modalias: "scsi:t-0x00"}
			for range 10 {
				time.Sleep(200 * time.Millisecond)
				src.events <- Event{Action: "change", DevPath: "/battery"}
			}
		}()
		began := time.Now()
		if err := m.Settle(t.Context(), 500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2700*time.Millisecond || r.loads["scsi:t-0x00"] != 1 {
			t.Errorf("settled after %v with loads %v; want 2.7s", took, r.loads)
		}
		time.Sleep(time.Minute) // lets the changes through
	})
}

// TestManagerRetries: what failed is tried again with the next such device, what found no
// device is not.
func TestManagerRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{fail: map[string]bool{"pci:ahci": true}, final: map[string]bool{"pci:e1000": true}}
		m, src := start(t, &r, 8)
		m.Settle(t.Context(), 0)
		src.events <- Event{Action: "add", DevPath: "/a", Modalias: "pci:ahci"}
		src.events <- Event{Action: "add", DevPath: "/b", Modalias: "pci:e1000"}
		synctest.Wait() // else the question may be heard before the events
		m.Settle(t.Context(), 0)
		if r.loads["pci:ahci"] != 2 || r.loads["pci:e1000"] != 1 {
			t.Errorf("loads %v", r.loads)
		}
	})
}

func TestManagerOverflowColdplugs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{fail: map[string]bool{"pci:ahci": true}}
		m, src := start(t, &r, 8)
		m.Settle(t.Context(), 0)
		src.lost <- struct{}{}
		synctest.Wait()
		m.Settle(t.Context(), 0)
		if r.loads["pci:ahci"] != 2 {
			t.Errorf("loads %v: want the second coldplug to find the failed one again", r.loads)
		}
	})
}

// sdaDir is where the fixture's disk is in /sys.
const sdaDir = "devices/pci0000:00/0000:00:01.0/block/sda"

// What was unplugged while events were lost is gone for subscribers, old and new.
func TestManagerOverflowTakesAwayWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		sys := sysFixture()
		m, src := startOn(t, sys, &r, 8)
		m.Settle(t.Context(), 0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		block := func(e Event) bool { return e.Subsystem == "block" }
		events, err := m.Subscribe(ctx, block)
		if err != nil {
			t.Fatal(err)
		}
		if e := <-events; e.Action != "add" || e.DevName != "sda" {
			t.Fatalf("first event %s %s", e.Action, e.DevName)
		}
		delete(sys, sdaDir+"/uevent")
		delete(sys, "class/block/sda")
		src.lost <- struct{}{}
		if e := <-events; e.Action != "remove" || e.DevName != "sda" || e.DevPath != "/"+sdaDir {
			t.Errorf("event %s %s %s, want the disk's removal", e.Action, e.DevName, e.DevPath)
		}
		later, err := m.Subscribe(ctx, block)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case e := <-later:
			t.Errorf("a new subscriber is told %s %s", e.Action, e.DevName)
		default:
		}
	})
}

// Coldplug saw a disk that was unplugged before coldplug's word of it was taken in.
func TestColdplugDoesNotBringBackWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := sysFixture()
		s := newState(t.Context(), NewManager(Config{Sys: sys}).config)
		s.event(Event{Action: "remove", DevPath: "/" + sdaDir, Subsystem: "block"})
		s.event(Event{Action: "add", DevPath: "/" + sdaDir, Subsystem: "block"})
		delete(sys, sdaDir+"/uevent")
		s.handle(message{coldplugDone: true})
		if len(s.present) > 0 {
			t.Errorf("present: %v", s.present)
		}
	})
}

// handler is a Handle that is through when the test says so.
type handler struct {
	mu   sync.Mutex
	done []func()
}

func (h *handler) handle(e Event, done func(Event)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, func() { done(e) })
}

// finish lets everything be done that was begun, and says how much that was.
func (h *handler) finish() int {
	h.mu.Lock()
	done := h.done
	h.done = nil
	h.mu.Unlock()
	for _, f := range done {
		f()
	}
	return len(done)
}

// Subscribers hear of an event, and of a device that is there, once it has been handled; modules load meanwhile.
func TestManagerHandlesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var h handler
		var busy []bool
		r.loads = map[string]int{}
		src, sys := newSource(), sysFixture()
		m := NewManager(Config{
			Source: src, Sys: sys, Load: r.load, Handle: h.handle, Busy: func(b bool) { busy = append(busy, b) },
		})
		go m.Run(t.Context())
		settled := make(chan error, 1)
		go func() { settled <- m.Settle(t.Context(), 0) }()
		events, err := m.Subscribe(t.Context(), func(e Event) bool { return e.Subsystem == "block" })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.loads) != 2 || len(events) > 0 || len(settled) > 0 {
			t.Errorf("before it is handled: loads %v, %d events, settled %v", r.loads, len(events), len(settled) > 0)
		}
		if n := h.finish(); n != 4 {
			t.Errorf("%d events were handled, want 4", n)
		}
		if e := <-events; e.DevName != "sda" || <-settled != nil {
			t.Errorf("%+v", e)
		}
		synctest.Wait()
		if !slices.Equal(busy, []bool{true, false}) {
			t.Errorf("busy: %v", busy)
		}

		// A device goes while word of it is still being handled, and its removal is lost.
		src.events <- Event{Action: "add", DevPath: "/devices/sdb", Subsystem: "block", DevName: "sdb"}
		src.lost <- struct{}{}
		synctest.Wait()
		for h.finish() > 0 {
			synctest.Wait()
		}
		var last Event
		for range 3 { // sdb comes, sda is there, sdb is gone
			last = <-events
		}
		if last.Action != "remove" || last.DevName != "sdb" {
			t.Errorf("last event %+v", last)
		}
	})
}

// What is found out later is reported as a change and keeps nobody waiting.
func TestManagerPassesOnLaterChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		var later func(Event)
		m := NewManager(Config{
			Source: src, Sys: sysFixture(), Load: (&recorder{loads: map[string]int{}}).load,
			Handle: func(e Event, done func(Event)) {
				if e.DevName == "sda" {
					later = done
				}
				go done(e)
			},
		})
		go m.Run(t.Context())
		events, err := m.Subscribe(t.Context(), func(e Event) bool { return e.Subsystem == "block" })
		if err != nil || m.Settle(t.Context(), 0) != nil {
			t.Fatal(err)
		}
		first := <-events
		later(first.WithAction("change"))
		if e := <-events; e.Action != "change" || e.DevName != "sda" {
			t.Errorf("%+v", e)
		}
		if err := m.Settle(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m, src := start(t, &r, 8)
		m.Settle(t.Context(), 0)
		ctx, cancel := context.WithCancel(t.Context())
		events, err := m.Subscribe(ctx, func(e Event) bool { return e.Subsystem == "block" })
		if err != nil {
			t.Fatal(err)
		}
		// Nobody reads yet: the manager must not be held up.
		src.events <- Event{Action: "add", DevPath: "/sdb", Subsystem: "block", DevName: "sdb"}
		src.events <- Event{Action: "add", DevPath: "/eth0", Subsystem: "net"}
		src.events <- Event{Action: "remove", DevPath: "/sdb", Subsystem: "block", DevName: "sdb"}
		var got []string
		for range 3 {
			e := <-events
			got = append(got, e.Action+" "+e.DevName)
		}
		if want := []string{"add sda", "add sdb", "remove sdb"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		cancel()
		if e, ok := <-events; ok {
			t.Errorf("event %+v after the subscription ended", e)
		}
	})
}

func TestStoppedManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		m := NewManager(Config{Source: src, Sys: sysFixture(), Load: (&recorder{loads: map[string]int{}}).load})
		ctx, cancel := context.WithCancel(t.Context())
		go m.Run(ctx)
		events, err := m.Subscribe(t.Context(), func(Event) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, ok := <-events; ok {
			t.Error("the subscription outlived the manager")
		}
		if err := m.Settle(t.Context(), 0); !errors.Is(err, errStopped) {
			t.Errorf("Settle: %v, want %v", err, errStopped)
		}
		time.Sleep(time.Minute) // the worker ends
	})
}

// Nobody waits for devices that have time, but there is work for as long as they are not done.
func TestManagerSettlesWithoutThoseThatHaveTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var h handler
		var busy []bool
		r.loads = map[string]int{}
		src := newSource()
		m := NewManager(Config{
			Source: src, Sys: fstest.MapFS{"bus": {Mode: fs.ModeDir}}, Load: r.load, Handle: h.handle,
			Busy: func(b bool) { busy = append(busy, b) }, Later: func(e Event) bool { return e.DevName == "sda40" },
		})
		go m.Run(t.Context())
		synctest.Wait() // what comes before /sys was looked through would have to be there
		for _, name := range []string{"sda", "sda40"} {
			src.events <- Event{Action: "add", DevPath: "/devices/" + name, Subsystem: "block", DevName: name}
		}
		synctest.Wait()
		settled := make(chan error, 1)
		go func() { settled <- m.Settle(t.Context(), time.Second) }()
		time.Sleep(time.Minute)
		h.mu.Lock()
		first, last := h.done[0], h.done[1]
		h.mu.Unlock()
		if len(settled) > 0 {
			t.Error("it has settled before sda is done")
		}
		first()
		synctest.Wait()
		if len(settled) != 1 || !busy[len(busy)-1] {
			t.Errorf("settled: %v; busy: %v", len(settled) == 1, busy)
		}
		last()
		synctest.Wait()
		if busy[len(busy)-1] {
			t.Errorf("afterwards: busy: %v", busy)
		}
	})
}
