package host

import (
	"context"
	"testing"
	"time"
)

// TestTimesMoveWithTheClock has a clock that is set by 25 years: what happened a minute ago still did.
func TestTimesMoveWithTheClock(t *testing.T) {
	s := begin(t)
	wrong := time.Now()
	s.Tell(Daemon{Name: "a", Phase: "running", Since: wrong})
	s.Tell(Daemon{Name: "b"})
	s.Tell(Planned{Spec: spec("web", 1)})
	const years = 25 * 365 * 24 * time.Hour
	s.Tell(Clock{State: "stepped", Synced: true, Moved: years})
	s.Tell(Clock{State: "unreachable", Problem: "no \x1banswer"})
	snapshot := s.Snapshot()
	if got, want := snapshot.Host.Daemons[0].Since, wrong.Round(0).Add(years); !got.Equal(want) {
		t.Errorf("service: %v, want %v", got, want)
	}
	if !snapshot.Host.Daemons[1].Since.IsZero() {
		t.Error("a time that was unknown became one")
	}
	if ago := wrong.Round(0).Add(years).Sub(snapshot.Guests[0].Since); ago.Abs() > time.Minute {
		t.Errorf("guest: off by %v", ago)
	}
	if c := snapshot.Host.Clock; !c.Synced || c.State != "unreachable" || c.Problem != `no \x1banswer` {
		t.Errorf("%+v", c)
	}
}

func TestLostLinesAddUp(t *testing.T) {
	s := begin(t)
	for _, lost := range []uint64{0, 3, 4} {
		s.Tell(LogServer{URL: "udp://a:514", Connected: true, Lost: lost})
	}
	s.Tell(LogServer{URL: "tcp://b:514", Problem: "refused"})
	log := s.Snapshot().Host.Log
	if len(log) != 2 || log[1].Lost != 7 || log[0].Problem != "refused" {
		t.Errorf("%+v", log)
	}
}

func TestAnswers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := New(ctx, "1.0")
	before := s.Snapshot().Number
	if !s.Answers(t.Context()) || s.Snapshot().Number != before {
		t.Error("no answer, or a change")
	}
	cancel()
	for s.Answers(t.Context()) { // it may have taken the question before it saw its end
	}
}
