package supervise

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// service is a function with times that suit a test.
func service(l *log, name string, run func(context.Context) error) Spec {
	return Spec{
		Name: name, Run: run, Output: l, Report: l.report, MaxRestarts: Forever,
		MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond,
	}
}

func untilAsked(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestFunction(t *testing.T) {
	var l log
	d, err := start(t.Context(), service(&l, "f", untilAsked))
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Status(); s.Phase != Running || s.PID != 0 {
		t.Errorf("status %+v", s)
	}
	d.Stop()
	if got, want := l.phases(), "starting running stopped"; got != want {
		t.Errorf("phases %q, want %q", got, want)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	var l log
	calls := 0
	d, err := start(t.Context(), service(&l, "f", func(ctx context.Context) error {
		if calls++; calls <= 7 { // more than the 5 of a program
			var packet []byte
			return errors.New(string(packet[calls]))
		}
		return untilAsked(ctx)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	eventually(t, "the eighth call", func() bool { return d.Status().Restarts == 7 && d.Status().Phase == Running })
	loud := 0
	for _, s := range l.all() {
		if s.Phase == Waiting && !s.Quiet {
			loud++
		}
	}
	if loud != maxReported {
		t.Errorf("%d deaths are worth a line, want %d", loud, maxReported)
	}
	if died := l.firstError(); died == nil || !strings.Contains(died.Error(), "f died: panic: runtime error: index") {
		t.Errorf("reported %v", died)
	}
	if !strings.Contains(l.output(), "f: panic: runtime error") || !strings.Contains(l.output(), "table_test.go") {
		t.Errorf("no stack in the log:\n%s", l.output())
	}
}

func (l *log) all() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.statuses)
}

func (l *log) firstError() error {
	for _, s := range l.all() {
		if s.Err != nil {
			return s.Err
		}
	}
	return nil
}

// stopAll stops all services; those that are essential refuse.
func stopAll(t *Table) {
	for _, s := range t.List() {
		_ = t.Order(context.Background(), "stop", s.Name)
	}
}

// TestNobodyWaitsForAFailure has a function that fails at once: what starts it goes on.
func TestNobodyWaitsForAFailure(t *testing.T) {
	var l log
	table := NewTable()
	for i := range 20 {
		spec := service(&l, "f"+strconv.Itoa(i), func(context.Context) error { return errors.New("no device") })
		spec.MinBackoff, spec.MaxBackoff = time.Hour, time.Hour
		if err := table.Add(t.Context(), spec); err != nil {
			t.Error(err)
		}
	}
	stopAll(table)
}

// A goroutine of a service fails it, whether the service then returns or hangs.
func TestPanicInAGoroutine(t *testing.T) {
	for name, hang := range map[string]bool{"returns": false, "hangs": true} {
		var l log
		forever := make(chan struct{})
		spec := service(&l, "f", func(ctx context.Context) error {
			guarded.Go(ctx, func() { panic("bad packet") })
			if hang {
				<-forever
			}
			<-ctx.Done()
			return ctx.Err()
		})
		spec.MaxRestarts, spec.StopTimeout = 1, 10*time.Millisecond
		d := begin(spec)
		<-d.done
		close(forever)
		if err := d.Status().Err; err == nil || !strings.Contains(err.Error(), "panic: bad packet") {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(l.output(), "table_test.go") {
			t.Errorf("%s: no stack in %q", name, l.output())
		}
	}
}

func TestFunctionThatReturns(t *testing.T) {
	var l log
	spec := service(&l, "f", func(context.Context) error { return nil })
	spec.MaxRestarts = 1
	d := begin(spec)
	<-d.done
	if err := d.Status().Err; err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	var l log
	table := NewTable()
	essential := shell(&l, "exec sleep 60")
	essential.Name, essential.Essential, essential.Remedy = "store", true, "reboot the host"
	program := shell(&l, "exec sleep 60")
	for _, spec := range []Spec{essential, program, service(&l, "f", untilAsked)} {
		if err := table.Add(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		defer table.services[spec.Name].Stop()
	}
	for _, test := range []struct {
		verb, name, phases string
		err                error
	}{
		{"restart", "store", "running running running", ErrRefused},
		{"stop", "store", "running running running", ErrRefused},
		{"stop", "none", "running running running", ErrNoService},
		{"kill", "f", "running running running", ErrRefused},
		{"start", "f", "running running running", nil},
		{"stop", "f", "running stopped running", nil},
		{"stop", "f", "running stopped running", nil},
		{"start", "f", "running running running", nil},
		{"restart", "demo", "running running running", nil},
		{"stop", "demo", "stopped running running", nil},
		{"restart", "demo", "running running running", nil},
	} {
		if err := table.Order(t.Context(), test.verb, test.name); !errors.Is(err, test.err) {
			t.Errorf("%s %s: %v", test.verb, test.name, err)
		}
		var phases []string
		for _, s := range table.List() {
			phases = append(phases, string(s.Phase))
		}
		if got := strings.Join(phases, " "); got != test.phases {
			t.Errorf("after %s %s: %s, want %s", test.verb, test.name, got, test.phases)
		}
	}
	if err := table.Add(t.Context(), program); !errors.Is(err, ErrRefused) {
		t.Errorf("a second service of the same name: %v", err)
	}
	stopAll(table)
}

// What is off is listed with the reason, and no order starts it.
func TestOff(t *testing.T) {
	var l log
	table := NewTable()
	spec := service(&l, "watchdog", untilAsked)
	for i, want := range []Phase{Off, Running, Off, Off, Running} {
		why := "switched off by " + strconv.Itoa(i)
		err := table.Off(spec, why)
		if want == Running {
			err = table.Ensure(t.Context(), spec)
		}
		status := table.List()[0]
		if err != nil || status.Phase != want {
			t.Fatalf("%+v, %v; want %s", status, err, want)
		}
		if want != Off {
			continue
		}
		if status.Err == nil || status.Err.Error() != why || !status.Quiet {
			t.Errorf("%+v", status)
		}
		for verb, failure := range map[string]error{"start": ErrRefused, "restart": ErrRefused, "stop": nil} {
			if err := table.Order(t.Context(), verb, "watchdog"); !errors.Is(err, failure) {
				t.Errorf("%s: %v", verb, err)
			}
		}
	}
	if err := table.Ensure(t.Context(), spec); err != nil {
		t.Errorf("what runs is switched on: %v", err)
	}
	stopAll(table)
	if got, want := l.phases(), "off off starting running stopped off off off starting running stopped"; got != want {
		t.Errorf("phases %q, want %q", got, want)
	}
}

// What takes the orders cannot be stopped by one, but restarted.
func TestKeptServiceIsNotStopped(t *testing.T) {
	var l log
	table := NewTable()
	spec := service(&l, "orders", untilAsked)
	spec.Kept = "it takes these orders"
	if err := table.Add(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	defer table.services["orders"].Stop()
	err := table.Order(t.Context(), "stop", "orders")
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), spec.Kept) {
		t.Errorf("stop: %v", err)
	}
	if err := table.Order(t.Context(), "restart", "orders"); err != nil || table.List()[0].Phase != Running {
		t.Errorf("restart: %v, %+v", err, table.List())
	}
	for _, s := range l.all() {
		if s.Phase == Stopped {
			t.Error("a restart is reported as a stop")
		}
	}
}

func TestFailedServiceStaysInTheTable(t *testing.T) {
	var l log
	table := NewTable()
	spec := shell(&l, "exit 3")
	spec.MaxRestarts = 1
	spec.Ready = func(context.Context) error { return errors.New("no answer") }
	if err := table.Add(t.Context(), spec); err == nil {
		t.Fatal("it started")
	}
	if s := table.List(); len(s) != 1 || s[0].Phase != Failed {
		t.Errorf("%+v", s)
	}
}

// A service that is removed while it starts, or is restarted, is gone for good.
func TestRemove(t *testing.T) {
	var l log
	table, never := NewTable(), make(chan struct{})
	defer close(never)
	spec := service(&l, "f", untilAsked)
	spec.Ready = func(ctx context.Context) error {
		select {
		case <-never:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	ended := make(chan error, 1)
	go func() { ended <- table.Add(t.Context(), spec) }()
	eventually(t, "its start", func() bool { return len(table.List()) == 1 })
	table.Remove("f")
	if err := <-ended; err != nil || len(table.List()) != 0 {
		t.Error(err, table.List())
	}
	table.Remove("f") // nobody
	if err := table.Add(t.Context(), service(&l, "f", untilAsked)); err != nil {
		t.Error(err) // the name is free
	}
	release, _, err := table.take("f", func(*Daemon) error { return nil }) // somebody restarts it
	if err != nil {
		t.Fatal(err)
	}
	table.Remove("f")
	if err := table.start(t.Context(), spec); !errors.Is(err, ErrNoService) || len(table.List()) != 0 {
		t.Error(err, table.List())
	}
	release()
}
