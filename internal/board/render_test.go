package board

import (
	"flag"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/meter"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 11, 27, 6, 31, 0, 0, time.UTC)

// running is a host that runs guests of all kinds.
func running() *host.Snapshot {
	address := netip.MustParseAddr
	return &host.Snapshot{
		Host: host.Host{
			Version: "0.9 build 1234", Ready: true,
			Machine: host.Machine{Xen: "4.20.2", CPUs: 4, TotalKiB: 16 << 20},
			Network: host.Network{Kind: host.AddressSet, Interface: "xenbr0", NIC: "eth0",
				Addresses: []host.NetworkAddress{
					{Prefix: netip.MustParsePrefix("fe80::1/64")}, {Prefix: netip.MustParsePrefix("2001:db8::1/64")},
					{Prefix: netip.MustParsePrefix("192.168.1.20/24")},
				}},
			Memory:   []host.Memory{{Owner: "db", XenKiB: 2 << 20}, {Owner: "web", XenKiB: 256 << 10}},
			Problems: []string{"one", "xenconsoled was started again", "three", "guest mail: no room"},
		},
		Guests: []host.Guest{
			{Name: "db", UUID: "1", Phase: host.Running, Domid: 3, NeedKiB: 2 << 20, Since: start,
				Said: address("192.168.100.131"), Origin: "/media/boot/guests/db/db.cfg", Restarts: 2,
				Changes: host.Changes{BudgetKiB: 256 << 10, UsedKiB: 31 << 10}},
			{Name: "mail", Phase: host.Refused, Since: start, Problem: "it needs 4096 MiB and 812 MiB are free"},
			{Name: "a-guest-with-a-long-name", UUID: "2", Phase: host.Running, Paused: true, Domid: 4, Since: start},
			{Name: "\u8a08\u7b97\u6a5f\u8a08\u7b97\u6a5f\u8a08\u7b97\u6a5f", UUID: "3", Phase: host.Crashed, Domid: 5,
				Heard: address("fe80::216:3eff:fe12:3456"), Since: start, Problem: "its domain is kept"},
		},
	}
}

// view is a view of a snapshot, 75 minutes later.
func view(s *host.Snapshot) *View {
	v := &View{LogIn: []string{"ssh root@192.168.1.20", "host key SHA256:x"}}
	usage := Usage{
		CPU:     meter.CPU{3: {Known: true, Percent: 125}, 4: {Known: true}, 5: {}},
		Traffic: map[int]float64{3: 1_234_567, 4: 0},
	}
	v.See(s, usage, "rack7", start.Add(75*time.Minute), 26*time.Hour)
	return v
}

var style = regexp.MustCompile("\x1b\\[[0-9;]*m")

// text is the screen without styles, and checks that it fits.
func text(t *testing.T, v *View, columns, rows int) string {
	t.Helper()
	lines := v.Lines(columns, rows)
	if len(lines) != rows {
		t.Errorf("%d lines on a screen of %d", len(lines), rows)
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(style.ReplaceAllString(line, ""), " ")
		if width := runewidth.StringWidth(lines[i]); width > columns {
			t.Errorf("line %d has %d columns: %q", i+1, width, lines[i])
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestScreens(t *testing.T) {
	booting := &host.Snapshot{Host: host.Host{
		Version: "0.9",
		Stages:  []host.Stage{{Name: "tools"}, {Name: "devices"}, {Name: "xen", Problem: "no xenstored"}},
	}}
	late := &host.Snapshot{Host: host.Host{Version: "0.9"}}
	for _, name := range strings.Fields("lockdown tools devices swap xen media config state ssh network guests") {
		late.Host.Stages = append(late.Host.Stages, host.Stage{Name: name})
	}
	asked := view(running())
	asked.Question = &Question{Text: "Destroy db? What it has not written to disk yet is lost."}
	helped := view(running())
	helped.Help, helped.Leave = true, true
	scrolled := view(many(100))
	scrolled.Move(57)
	read := view(running())
	written := "one\r\n\x1b[2Jtwo\n" + strings.Repeat("a line\n", 100) + "last\twith tab\n"
	read.page = newPage("What db has written", written)
	screens := ""
	for _, s := range []struct {
		name string
		view *View
	}{
		{"starting", view(booting)}, {"nearly started", view(late)},
		{"running", view(running())}, {"question", asked}, {"help", helped},
		{"a log", read},
		{"100 guests, the 58th chosen", scrolled},
	} {
		screens += "---- " + s.name + "\n" + text(t, s.view, 80, 25)
	}
	screens += "---- running, on a wide terminal\n" + text(t, view(running()), 132, 24)
	const golden = "testdata/screens.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(screens), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || screens != string(want) {
		t.Errorf("run with -update and look at the diff: %v\n%s", err, screens)
	}
}

func TestWidth(t *testing.T) {
	for line, want := range map[string]int{
		"": 0, "abc": 3, reverse + "ab" + usual: 2, bold + "\u8a08" + usual + "x": 3, usual: 0,
	} {
		if got := width(line); got != want {
			t.Errorf("%q has %d columns, want %d", line, got, want)
		}
	}
}

// many is a host with so many guests.
func many(count int) *host.Snapshot {
	s := &host.Snapshot{Host: host.Host{Version: "0.9", Ready: true}}
	for i := range count {
		name := "guest" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		s.Guests = append(s.Guests, host.Guest{Name: name, UUID: name, Phase: host.Stopped})
	}
	return s
}

// All keys are on the smallest screen.
func TestHelpFits(t *testing.T) {
	v := view(running())
	v.Help = true
	screen := text(t, v, 80, 24)
	for _, a := range actions {
		if !strings.Contains(screen, a.help) {
			t.Errorf("%q is not shown", a.help)
		}
	}
}

func TestPage(t *testing.T) {
	p := newPage("log", strings.Repeat("x\n", 50))
	p.lines(80, 25)
	for _, step := range []struct {
		key Key
		top int
	}{{KeyPageDown, 27}, {KeyUp, 26}, {KeyPageUp, 4}, {KeyPageUp, 0}, {KeyDown, 1}} {
		p.press(step.key, 25)
		if p.lines(80, 25); p.top != step.top {
			t.Errorf("after the key %d line %d is first, want %d", step.key, p.top, step.top)
		}
	}
	if !p.press('q', 25) {
		t.Error("q does not lead back")
	}
	newPage("empty", "").lines(80, 25)
}

func TestSizes(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {80, 25}, {132, 43}, {300, 100}} {
		text(t, view(running()), size[0], size[1])
	}
	if lines := view(running()).Lines(20, 5); len(lines) != minRows {
		t.Errorf("%d lines for a terminal that is too small", len(lines))
	}
}

func TestTheChosenGuestStaysChosen(t *testing.T) {
	v := view(running())
	v.Move(2)
	v.Move(-1)
	v.Move(2)
	if g := v.Chosen(); g.UUID != "3" {
		t.Fatalf("chosen is %q", g.Name)
	}
	s := running()
	s.Guests = append([]host.Guest{{Name: "aaa", UUID: "9"}}, s.Guests...)
	s.Guests[4].Name = "renamed"
	v.See(s, Usage{}, "", start, 0)
	if g := v.Chosen(); g.UUID != "3" {
		t.Errorf("after another guest came: %q", g.Name)
	}
	v.See(many(2), Usage{}, "", start, 0)
	if g := v.Chosen(); g != nil {
		t.Errorf("after it has gone: %q", g.Name)
	}
	v.Move(1)
	if g := v.Chosen(); g == nil || g.Name != "guest00" {
		t.Errorf("after a key: %v", g)
	}
	found := &host.Snapshot{Guests: []host.Guest{{Name: "first", UUID: "1"}, {Name: "guest00"}}}
	v.See(found, Usage{}, "", start, 0)
	found = &host.Snapshot{Guests: []host.Guest{{Name: "first", UUID: "1"}, {Name: "guest00", UUID: "8"}}}
	v.See(found, Usage{}, "", start, 0) // it was started
	if g := v.Chosen(); g == nil || g.UUID != "8" {
		t.Errorf("after it got a UUID: %v", g)
	}
	v.Move(100)
	v.Move(-100)
	v.See(many(0), Usage{}, "", start, 0)
	v.Move(1)
	if v.Chosen() != nil {
		t.Error("a guest is chosen where there is none")
	}
}

func TestRates(t *testing.T) {
	now, carried := start, int64(1000)
	read := func() map[int]meter.Traffic {
		return map[int]meter.Traffic{1: {Network: map[string]meter.Count{
			"vif0": {In: carried, Out: 7}, "vif1": {In: 5},
		}}}
	}
	var r rates
	for i, step := range []struct {
		after time.Duration
		bytes int64
		want  float64 // -1: unknown
	}{
		{0, 0, -1},
		{time.Second, 50, -1}, // an event: too soon
		{2 * time.Second, 250, 100},
		{time.Second, 1000, 100},
		{3 * time.Second, 0, 250},
		{3 * time.Second, -1300, 0}, // another domain has that number
	} {
		now, carried = now.Add(step.after), carried+step.bytes
		got, known := r.look(now, read)[1]
		if !known {
			got = -1
		}
		if got != step.want {
			t.Errorf("step %d: %v bytes a second, want %v", i, got, step.want)
		}
	}
}
