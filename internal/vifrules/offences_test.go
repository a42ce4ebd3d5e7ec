package vifrules

import (
	"fmt"
	"testing"
)

// A flood is a few lines, and a new reason is one more.
func TestWatchBacksOff(t *testing.T) {
	w := NewWatch(Rules{})
	for i, step := range []struct {
		drops map[Reason]uint64
		want  string
	}{
		{map[Reason]uint64{}, ""},
		{map[Reason]uint64{DHCPServer: 3, OverRate: 1000, NotInbound: 7}, "dhcp 3"},
		{map[Reason]uint64{DHCPServer: 29}, ""},
		{map[Reason]uint64{DHCPServer: 30}, "dhcp 30"},
		{map[Reason]uint64{DHCPServer: 200000, RouterAd: 1}, "dhcp 200000 ra 1"},
		{map[Reason]uint64{DHCPServer: 300000, RouterAd: 9}, ""},
		{map[Reason]uint64{DHCPServer: 2}, "dhcp 2"}, // somebody has flushed the counters
	} {
		traffic := Traffic{UUID: "u", Name: "web", Dropped: map[Reason]Count{}}
		for reason, n := range step.drops {
			traffic.Dropped[reason] = Count{Packets: n}
		}
		got := ""
		for _, o := range w.due([]Traffic{traffic}) {
			got += fmt.Sprintf(" %s %d", o.Reason, o.Packets)
		}
		if got != "" && got[1:] != step.want || got == "" && step.want != "" {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if w.due(nil); len(w.told) != 0 {
		t.Error("guests that are gone are remembered")
	}
}

// Many guests at once do not flood the console, and none is forgotten.
func TestWatchIsBounded(t *testing.T) {
	w := NewWatch(Rules{})
	var all []Traffic
	for i := range 25 {
		all = append(all, Traffic{UUID: fmt.Sprint(i), Dropped: map[Reason]Count{SpoofedARP: {Packets: 5}}})
	}
	for _, want := range []int{10, 10, 5, 0} {
		if got := len(w.due(all)); got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
	}
}

// Every offence has its advice.
func TestAdvice(t *testing.T) {
	for _, reason := range Offences {
		if what, remedy := (Offence{Reason: reason}).Advice(); what == "" || remedy == "" {
			t.Errorf("%s: %q, %q", reason, what, remedy)
		}
	}
}

func TestWatchLooks(t *testing.T) {
	onBench(t, func(b *bench) {
		w := NewWatch(b.rules)
		defer w.Close()
		if list, err := w.Look(); err != nil || len(list) != 0 {
			t.Fatalf("%v, %v", list, err)
		}
		b.guests()
		b.arrives("vif1.0", "nic0", arp(mac(mac2), mac(mac2), "10.9.0.5"))
		list, err := w.Look()
		if err != nil || len(list) != 1 || list[0] != (Offence{uuid1, "guest1", SpoofedMAC, 1}) {
			t.Errorf("%v, %v", list, err)
		}
		if list, err := w.Look(); err != nil || len(list) != 0 {
			t.Errorf("again: %v, %v", list, err)
		}
	})
}
