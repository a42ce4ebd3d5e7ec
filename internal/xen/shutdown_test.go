package xen

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// endings gathers what ShutdownAll reports.
type endings map[string]Ended

func (e endings) add(ended Ended) { e[ended.Domain.Name] = ended }

func (e endings) forced() map[string]bool {
	forced := map[string]bool{}
	for name, ended := range e {
		forced[name] = ended.Forced
	}
	return forced
}

func TestShutdownAll(t *testing.T) {
	x := newFakeXL("good", "stubborn", "immortal")
	x.stubborn[2] = true
	x.immortal[3] = true
	ends := endings{}
	err := x.toolstack(t).ShutdownAll(t.Context(), 200*time.Millisecond, ends.add)
	if err == nil || !strings.Contains(err.Error(), "domain 3: it is still there") ||
		strings.Contains(err.Error(), "domain 2") {
		t.Errorf("error %v", err)
	}
	want := map[string]bool{"good": false, "stubborn": true, "immortal": true}
	if !reflect.DeepEqual(ends.forced(), want) {
		t.Errorf("forced %v, want %v", ends.forced(), want)
	}
	for _, call := range []string{"shutdown -F 1", "destroy 1", "destroy 2"} {
		if !x.called(call) {
			t.Errorf("no xl %s in %q", call, x.calls)
		}
	}
}

// A domain that has an xl of its own, which takes it down when it has shut down, is not destroyed once more.
func TestShutdownAllOfDomainsThatGoByThemselves(t *testing.T) {
	x := newFakeXL("by hand")
	x.fail = func(args []string) error {
		if args[0] == "shutdown" {
			x.server.Remove(home(1))
			x.server.Fire("@releaseDomain")
		}
		return nil
	}
	ends := endings{}
	if err := x.toolstack(t).ShutdownAll(t.Context(), time.Minute, ends.add); err != nil {
		t.Error(err)
	}
	if len(ends) != 1 || ends["by hand"].Forced || x.called("destroy 1") {
		t.Errorf("ended %v, calls %q", ends, x.calls)
	}
}

// Many guests whose backends do not answer, which costs xl destroy ten seconds each, are all destroyed.
func TestShutdownAllOfManySlowDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 29 {
			names = append(names, fmt.Sprintf("g%d", i))
		}
		x := newFakeXL(names...)
		x.fail = func(args []string) error {
			if args[0] == "destroy" {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		ctx, force := context.WithCancel(t.Context())
		force()
		ends := endings{}
		if err := x.toolstack(t).ShutdownAll(ctx, time.Minute, ends.add); err != nil {
			t.Error(err)
		}
		for domid := 1; domid <= len(names); domid++ {
			if !x.called(fmt.Sprintf("destroy %d", domid)) {
				t.Errorf("domain %d was not destroyed", domid)
			}
		}
	})
}

// A person destroys a guest while all shut down. Xen goes on listing it, since a backend has pages of it; nobody
// waits for that.
func TestShutdownAllOfADomainThatLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFakeXL("destroyed")
		x.stubborn[1] = true
		toolstack := x.toolstack(t)
		time.AfterFunc(time.Second, func() {
			x.mu.Lock()
			x.states[1] = "-----d"
			x.mu.Unlock()
			x.server.Fire("@releaseDomain")
		})
		start, ends := time.Now(), endings{}
		if err := toolstack.ShutdownAll(t.Context(), time.Minute, ends.add); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 10*time.Second || ends["destroyed"].Forced {
			t.Errorf("it took %v: %+v", took, ends)
		}
	})
}

// Nobody waits for a domain that an "xl create" has left half-built, or that is kept after its crash, and none
// that comes late stays.
func TestShutdownAllOfUnfinishedDomains(t *testing.T) {
	x := newFakeXL("half-built", "good", "immortal", "crashed")
	x.states[1] = "--p---"
	x.states[4] = "---sc-"
	x.immortal[3] = true
	x.late = "late"
	ends := endings{}
	start := time.Now()
	err := x.toolstack(t).ShutdownAll(t.Context(), 300*time.Millisecond, ends.add)
	if err == nil || strings.Count(err.Error(), "domain") != 1 || !strings.Contains(err.Error(), "domain 3") {
		t.Errorf("error %v", err)
	}
	if !errors.Is(ends["half-built"].Err, errPaused) || ends["good"].Err != nil ||
		!errors.Is(ends["late"].Err, errLate) {
		t.Errorf("ended %v", ends)
	}
	if crashed := ends["crashed"]; crashed.Forced || crashed.Err != nil {
		t.Errorf("a domain that was kept after a crash: %+v", crashed)
	}
	for _, domid := range []int{1, 2, 4, 9} {
		if _, left := x.server.Get(home(domid) + "/name"); left {
			t.Errorf("domain %d is still there", domid)
		}
	}
	for _, call := range []string{"shutdown -F 1", "shutdown -F 4", "shutdown -F 9"} {
		if x.called(call) {
			t.Errorf("xl %s was called after %v", call, time.Since(start))
		}
	}
	once := func(call string) bool { return call == "destroy 3" }
	if first := slices.IndexFunc(x.calls, once); first < 0 || slices.ContainsFunc(x.calls[first+1:], once) {
		t.Errorf("what cannot be destroyed is tried once: %q", x.calls)
	}
}

// A second request to power off ends the context: what is left is destroyed at once.
func TestShutdownAllForced(t *testing.T) {
	x := newFakeXL("stubborn")
	x.stubborn[1] = true
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err := x.toolstack(t).ShutdownAll(ctx, time.Hour, func(Ended) {})
	if _, left := x.server.Get(home(1)); err != nil || left {
		t.Errorf("%v, still there %v", err, left)
	}
}

// dom0 is small: a power-off of twenty guests must not start twenty xl.
func TestShutdownAllStartsFewAtATime(t *testing.T) {
	x := newFakeXL("a", "b", "c", "d", "e", "f", "g", "h", "i")
	x.duration = 20 * time.Millisecond
	if err := x.toolstack(t).ShutdownAll(t.Context(), time.Minute, func(Ended) {}); err != nil {
		t.Error(err)
	}
	if x.most > maxCommands {
		t.Errorf("%d xl processes at the same time", x.most)
	}
}

// xl list fails once: fork had no memory, or its time was over on a busy dom0.
func TestShutdownAllSurvivesAFailedList(t *testing.T) {
	x := newFakeXL("a", "b")
	failures := 1
	x.fail = func(args []string) error {
		if args[0] == "list" && failures > 0 {
			failures--
			return errors.New("fork/exec: cannot allocate memory")
		}
		return nil
	}
	ends := endings{}
	if err := x.toolstack(t).ShutdownAll(t.Context(), time.Minute, ends.add); err != nil || len(ends) != 2 {
		t.Errorf("%v, ended %v", err, ends)
	}
	if !x.called("shutdown -F 1") || !x.called("shutdown -F 2") {
		t.Errorf("calls %q", x.calls)
	}
}

// Without any xl list the guests are those of xenstore, and each has until the deadline.
func TestShutdownAllWithoutAnyList(t *testing.T) {
	x := newFakeXL("a", "b")
	x.server.Set(home(7)+"/data/leftover", "1") // a directory without a domain
	x.fail = func(args []string) error {
		if args[0] == "list" {
			return errors.New("exit status 1")
		}
		return nil
	}
	ends := endings{}
	err := x.toolstack(t).ShutdownAll(t.Context(), 300*time.Millisecond, ends.add)
	if want := map[string]bool{"a": true, "b": true}; err != nil || !reflect.DeepEqual(ends.forced(), want) {
		t.Errorf("%v, ended %v", err, ends.forced())
	}
	if !x.called("shutdown -F 1") || x.called("shutdown -F 7") {
		t.Errorf("calls %q", x.calls)
	}
}
