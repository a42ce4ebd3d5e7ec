package watchdog

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a kernel with watchdogs, and each of them.
type fake struct {
	devices  []Device
	longest  time.Duration
	fed      atomic.Int32
	disarmed atomic.Bool
	err      error
}

func (f *fake) List() ([]Device, error)  { return f.devices, nil }
func (f *fake) Open(Device) (Dog, error) { return f, nil }
func (f *fake) SetTimeout(t time.Duration) (time.Duration, error) {
	return min(t, f.longest), nil
}
func (f *fake) Feed() error   { f.fed.Add(1); return f.err }
func (f *fake) Disarm() error { f.disarmed.Store(true); return nil }

func TestChoose(t *testing.T) {
	hardware, xen := Device{"watchdog2", "iTCO_wdt"}, Device{"watchdog0", "xen_wdt"}
	soft := Device{"watchdog1", softIdentity}
	for _, test := range []struct {
		devices []Device
		want    Device
		ok      bool
	}{
		{nil, Device{}, false}, {[]Device{soft}, Device{}, false}, {[]Device{xen, soft}, xen, true},
		{[]Device{xen, soft, hardware}, hardware, true}, {[]Device{hardware, {"watchdog3", "x"}}, hardware, true},
	} {
		if got, ok := Choose(test.devices); got != test.want || ok != test.ok {
			t.Errorf("%v: %v, %v", test.devices, got, ok)
		}
	}
}

func TestFeedsAndDisarms(t *testing.T) {
	f := &fake{devices: []Device{{"watchdog0", "xen_wdt"}}, longest: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var event Event
	err := Run(ctx, Options{
		Kernel: f, Timeout: 3 * time.Minute, Patience: time.Minute, Report: func(e Event) { event = e },
		Answers: func(context.Context) bool { cancel(); return true },
	})
	if !errors.Is(err, context.Canceled) || f.fed.Load() == 0 || !f.disarmed.Load() {
		t.Errorf("%v, fed %d times, disarmed %v", err, f.fed.Load(), f.disarmed.Load())
	}
	if want := (Event{Device: "watchdog0", Name: "xen_wdt", Timeout: 3 * time.Minute}); event != want {
		t.Errorf("%+v", event)
	}
}

func TestStateThatHangs(t *testing.T) {
	f := &fake{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hung := false
	o := Options{
		Answers: func(ctx context.Context) bool { <-ctx.Done(); return false },
		Hung:    func() { hung = true; cancel() }, Patience: 20 * time.Millisecond,
	}
	if err := o.feed(ctx, f, 20*time.Millisecond); !errors.Is(err, context.Canceled) || !hung {
		t.Errorf("%v, hung %v", err, hung)
	}
	if f.fed.Load() < 2 {
		t.Error("it was not fed while there was patience")
	}
}

func TestWatchdogThatIsOfNoUse(t *testing.T) {
	for name, f := range map[string]*fake{
		"too short":     {devices: []Device{{"watchdog0", "x"}}, longest: 2 * time.Second},
		"cannot be fed": {devices: []Device{{"watchdog0", "x"}}, longest: time.Hour, err: errors.New("i/o error")},
	} {
		err := Run(t.Context(), Options{Kernel: f, Timeout: time.Hour, Report: func(Event) {}})
		if err == nil || !f.disarmed.Load() {
			t.Errorf("%s: %v, disarmed %v", name, err, f.disarmed.Load())
		}
	}
}
