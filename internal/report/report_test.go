package report

import (
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	r := New("1.0")
	changes := 0
	r.Changed = func(string) { changes++ }
	r.Host("Xen 4.20, 2 CPUs, 1024 MiB")
	r.Network("10.0.2.15/24 on xenbr0 (eth0)")
	r.Store("http://a/guests/", "2 guests found")
	r.Store("http://a/guests/", "fetching web, 70 of 200 MiB (35 %)")
	r.SetGuest(Guest{Name: "tty1", Domid: 1, State: "running"})
	r.SetAddress("tty1", "10.0.2.16")
	r.SetGuest(Guest{Name: "tty1", Domid: 1, State: "running"})
	r.SetGuest(Guest{Name: "big", State: "refused", Problem: "needs 9000 MiB, 600 MiB are free"})
	r.SetGuest(Guest{Name: "slow", Domid: 2, State: "running"})
	r.SetGuest(Guest{Name: "gone", Domid: 3, State: "running"})
	r.SetAddress("gone", "10.0.2.17")
	r.SetGuest(Guest{Name: "gone", Domid: 3, State: "stopped"})
	r.SetGuest(Guest{Name: "mute", Domid: 4, State: "stopped"})
	r.Problem("no medium")
	r.Problem("no medium")
	want := `
zerodisc 1.0
  Xen 4.20, 2 CPUs, 1024 MiB
  network: 10.0.2.15/24 on xenbr0 (eth0)
  guests of http://a/guests/: fetching web, 70 of 200 MiB (35 %)
  guest big          refused: needs 9000 MiB, 600 MiB are free
  guest gone         stopped
  guest mute         stopped
  guest slow         running  (no address yet)
  guest tty1         running  10.0.2.16
  ! no medium
  xl list | xl console NAME (leave with Ctrl-]) | xl shutdown NAME | status | poweroff

`
	if got := r.String(); got != want {
		t.Errorf("report:\n%s\nwant:\n%s", got, want)
	}
	if changes != 15 {
		t.Errorf("%d changes told, want 15", changes)
	}
}

// Whoever is told slowly of an old text must not get it after a newer one.
func TestChangesAreToldInOrder(t *testing.T) {
	r := New("1.0")
	var told []string
	second := make(chan bool)
	entered := make(chan bool, 2)
	r.Changed = func(text string) {
		entered <- true
		if !strings.Contains(text, "second") {
			go func() { defer close(second); r.Network("second") }()
			<-entered // by this call itself
			select {
			case <-entered: // the second call overtakes
				<-second
			case <-time.After(100 * time.Millisecond):
			}
		}
		told = append(told, text)
	}
	r.Network("first")
	<-second
	if len(told) != 2 || !strings.Contains(told[0], "first") || told[1] != r.String() {
		t.Errorf("told %q", told)
	}
}
