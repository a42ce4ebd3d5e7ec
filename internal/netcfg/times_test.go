package netcfg

import (
	"math"
	"testing"
	"time"
)

func TestNormalTimes(t *testing.T) {
	const floor = 5 * time.Second
	tests := map[string]struct {
		t1, t2, length             time.Duration
		wantT1, wantT2, wantLength time.Duration
	}{
		"defaults": {0, 0, 1000 * time.Second, 500 * time.Second, 875 * time.Second, 1000 * time.Second},
		"given": {
			100 * time.Second, 200 * time.Second, 1000 * time.Second,
			100 * time.Second, 200 * time.Second, 1000 * time.Second,
		},
		"T1 given alone": {
			200 * time.Second, 0, 1000 * time.Second,
			200 * time.Second, 800 * time.Second, 1000 * time.Second,
		},
		"T2 before T1": {
			600 * time.Second, 500 * time.Second, 1000 * time.Second,
			600 * time.Second, 900 * time.Second, 1000 * time.Second,
		},
		"beyond the lease": {
			2000 * time.Second, 3000 * time.Second, 1000 * time.Second,
			500 * time.Second, 875 * time.Second, 1000 * time.Second,
		},
		"a second": {0, 0, time.Second, floor, 8750 * time.Millisecond, 2 * floor},
		"nothing":  {0, 0, 0, floor, 8750 * time.Millisecond, 2 * floor},
		"T1 under the floor": {
			time.Second, 2 * time.Second, 100 * time.Second,
			floor, 76250 * time.Millisecond, 100 * time.Second,
		},
		"endless": {0, 0, math.MaxUint32 * time.Second, Forever, Forever, Forever},
		"endless with own T1s": {
			time.Second, 2 * time.Second, math.MaxUint32 * time.Second,
			Forever, Forever, Forever,
		},
	}
	for name, test := range tests {
		got := normalTimes(test.t1, test.t2, test.length, floor)
		if got.T1 != test.wantT1 || got.T2 != test.wantT2 || got.Length != test.wantLength {
			t.Errorf("%s: got %s, %s, %s", name, got.T1, got.T2, got.Length)
		}
	}
}

func TestTimesAt(t *testing.T) {
	start := time.Unix(1000, 0)
	day := Times{Start: start, T1: 12 * time.Hour, T2: 21 * time.Hour, Length: 24 * time.Hour, Floor: 5 * time.Second}
	short := Times{
		Start: start, T1: 60 * time.Second, T2: 100 * time.Second, Length: 120 * time.Second, Floor: 5 * time.Second,
	}
	endless := Times{Start: start, T1: Forever, T2: Forever, Length: Forever}
	tests := []struct {
		name  string
		times Times
		age   time.Duration
		want  Step
	}{
		{"fresh", day, 0, Step{PhaseBound, 12 * time.Hour}},
		{"before its start", day, -time.Hour, Step{PhaseBound, 13 * time.Hour}},
		{"at T1", day, 12 * time.Hour, Step{PhaseRenewing, 4*time.Hour + 30*time.Minute}},
		{"late in renewing", day, 21*time.Hour - 90*time.Second, Step{PhaseRenewing, 60 * time.Second}},
		{"to the end of renewing", day, 21*time.Hour - 10*time.Second, Step{PhaseRenewing, 10 * time.Second}},
		{"at T2", day, 21 * time.Hour, Step{PhaseRebinding, 90 * time.Minute}},
		{"at its end", day, 24 * time.Hour, Step{PhaseExpired, 0}},
		{"short, at T1", short, 60 * time.Second, Step{PhaseRenewing, 20 * time.Second}},
		{"short, quarter of the phase", short, 88 * time.Second, Step{PhaseRenewing, 10 * time.Second}},
		{"short, floor", short, 112 * time.Second, Step{PhaseRebinding, 5 * time.Second}},
		{"endless", endless, 200 * 365 * 24 * time.Hour, Step{PhaseBound, Forever}},
	}
	for _, test := range tests {
		if got := test.times.At(start.Add(test.age)); got != test.want {
			t.Errorf("%s: got %v %s, want %v %s", test.name, got.Phase, got.Wait, test.want.Phase, test.want.Wait)
		}
	}
}

func TestBackoff(t *testing.T) {
	const first, maxWait = time.Second, 64 * time.Second
	for attempt, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		if got := backoff(attempt, first, maxWait, 0.5); got != want*time.Second {
			t.Errorf("attempt %d: got %s, want %ds", attempt, got, want)
		}
	}
	low, high := backoff(0, first, maxWait, 0), backoff(0, first, maxWait, 1)
	if low != 750*time.Millisecond || high != 1250*time.Millisecond {
		t.Errorf("first attempt: %s to %s", low, high)
	}
	low, high = backoff(1e6, first, maxWait, 0), backoff(1e6, first, maxWait, 1)
	if low != 63*time.Second || high != 65*time.Second {
		t.Errorf("late attempt: %s to %s", low, high)
	}
}
