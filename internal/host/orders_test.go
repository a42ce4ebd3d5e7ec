package host

import (
	"errors"
	"fmt"
	"testing"

	"github.com/zerodisc/zerodisc/guests"
)

func found(name, dir string) Found {
	return Found{Name: name, Origin: dir + "/g.cfg", Source: guests.Source{Dir: dir, Name: name}}
}

// A found guest takes nobody's place, and has a place until its volume goes or it is started.
func TestFound(t *testing.T) {
	s := begin(t).create("web", 1, 3)
	s.events()
	s.tell(found("web", "/media/A/guests/web"), found("db", "/media/A/guests/db"), found("db", "/media/B/db"),
		found("x", "/media/AB/x"))
	s.expect(t, "", "db stopped 0 invalid IP", "web running 3 invalid IP", "x stopped 0 invalid IP")
	if g := s.Snapshot().ByName("db"); !g.IsFound() || g.Source.Dir != "/media/A/guests/db" {
		t.Errorf("%+v", g)
	}
	s.tell(VolumeGone{Device: "/dev/sda1", Mount: "/media/A"}, VolumeGone{Device: "/dev/sdc"})
	s.expect(t, "host.VolumeGone; host.VolumeGone", "web running 3 invalid IP", "x stopped 0 invalid IP")
	started := spec("x", 2)
	s.tell(Planned{Spec: started, Source: guests.Source{Dir: "/media/AB/x"}})
	if g := s.Snapshot().ByName("x"); g.IsFound() || g.Phase != Waiting || len(s.Snapshot().Guests) != 2 {
		t.Errorf("%+v", g)
	}
	s.tell(GuestPhase{UUID: uuid(1), Phase: Stopped}, Gone{3}, Unmanaged{uuid(1)}, found("web", "/media/A/guests/web"))
	if g := s.Snapshot().ByName("web"); g.UUID != "" || !g.IsFound() {
		t.Errorf("a guest that cannot be started hides one that can: %+v", g)
	}
}

// A disk with thousands of guests pushes nobody out.
func TestManyFound(t *testing.T) {
	s := begin(t).create("web", 1, 3).tell(GuestPhase{UUID: uuid(1), Phase: Stopped}, Gone{3}, Unmanaged{uuid(1)})
	for n := range 2 * maxEnded {
		s.tell(found(fmt.Sprint("g", n), fmt.Sprint("/media/A/", n)))
	}
	now := s.Snapshot()
	if len(now.Guests) != maxEnded || now.ByName("web") == nil {
		t.Errorf("%d guests", len(now.Guests))
	}
}

// The guests of a state volume go with it, those of its next one come anew.
func TestStateVolumeTakesGuestsAlong(t *testing.T) {
	s := begin(t).tell(StateVolume{Device: "/dev/sda", Mount: "/state"}, found("a", "/state/guests/a"),
		StateVolume{Device: "/dev/sda", Mount: "/state", Free: 1})
	if s.Snapshot().ByName("a") == nil {
		t.Error("a guest has gone with nothing")
	}
	s.tell(StateVolume{Problem: "it was pulled"})
	if s.Snapshot().ByName("a") != nil {
		t.Error("a guest is known that is not there")
	}
}

// A directory has one line, whatever its guest is called.
func TestRefusedUnderAnotherName(t *testing.T) {
	s := begin(t).tell(found("a", "/media/A/a"), GuestRefused{
		Name: "b", Err: errors.New("no"), Source: guests.Source{Dir: "/media/A/a"},
	})
	s.expect(t, "b not started: no", "b refused 0 invalid IP")
}

// Nobody is woken because processor time passes; what else a look at Xen's list shows is told.
func TestProcessorTime(t *testing.T) {
	s := begin(t).create("web", 1, 3)
	domain := Domain{Domid: 3, UUID: uuid(1), Name: "web", MemoryKiB: 100, VCPUs: 2, CPUSeconds: 1}
	s.tell(Listed{Domains: []Domain{domain}})
	s.events()
	number := s.Snapshot().Number
	domain.CPUSeconds = 2.5
	s.tell(Listed{Asked: number, Domains: []Domain{domain}})
	select {
	case update := <-s.updates:
		t.Errorf("%+v", update)
	default:
	}
	now := s.Snapshot()
	if g := now.Live("web"); now.Number != number || g.CPUSeconds != 2.5 || g.VCPUs != 2 || g.MemoryKiB != 100 ||
		now.Host.Listed.IsZero() {
		t.Errorf("%d after %d, %+v", now.Number, number, g)
	}
	domain.VCPUs = 1
	s.tell(Listed{Asked: number, Domains: []Domain{domain}})
	if update := <-s.updates; update.Live("web").VCPUs != 1 || update.Number != number+1 {
		t.Errorf("%+v", update)
	}
	s.tell(Listed{Asked: number + 1})
	s.expect(t, "web ended as 3", "web stopped 0 invalid IP")
	if g := s.Snapshot().ByName("web"); g.CPUSeconds != 0 || g.MemoryKiB != 0 {
		t.Errorf("%+v", g)
	}
}

// What is wanted of a guest ends with its life, and a restart with the restart.
func TestWanted(t *testing.T) {
	s := begin(t).create("web", 1, 3).tell(Wanted{uuid(1), WantRestart}, Ordered{UUID: uuid(1), Order: "restart"},
		GuestPhase{UUID: uuid(1), Phase: Restarting}, Gone{3}, Created{UUID: uuid(1), Domid: 4})
	if g := s.Snapshot().Live("web"); g.Wanted != "" || g.Order != "restart" {
		t.Errorf("%+v", g)
	}
	s.tell(Ordered{UUID: uuid(1)}, Wanted{uuid(1), WantStop}, GuestPhase{UUID: uuid(1), Phase: Restarting})
	if g := s.Snapshot().Live("web"); g.Wanted != "" || g.Order != "" {
		t.Errorf("a guest that reboots long after a stop is stopped: %+v", g)
	}
	s.tell(Wanted{uuid(1), WantDestroy}, GuestPhase{UUID: uuid(1), Phase: Stopped}, Gone{4}, Unmanaged{uuid(1)},
		Wanted{uuid(1), WantStop})
	if g := s.Snapshot().ByName("web"); g.Wanted != "" {
		t.Errorf("%+v", g)
	}
}
