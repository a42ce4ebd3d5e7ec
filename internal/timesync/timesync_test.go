package timesync

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestChoose(t *testing.T) {
	for name, test := range map[string]struct {
		samples []Sample
		server  string
		err     error
	}{
		"alone":              {[]Sample{{"a", time.Hour, ms}}, "a", nil},
		"the nearer of two":  {[]Sample{{"a", 5 * ms, 40 * ms}, {"b", 0, ms}}, "b", nil},
		"two that disagree":  {[]Sample{{"a", time.Hour, ms}, {"b", 0, ms}}, "", ErrDisagree},
		"a falseticker":      {[]Sample{{"a", 0, ms}, {"b", 9 * time.Hour, 0}, {"c", ms, 2 * ms}}, "a", nil},
		"far, but not wrong": {[]Sample{{"a", 0, ms}, {"b", 300 * ms, 400 * ms}}, "a", nil},
		"half and half": {
			[]Sample{{"a", 0, 0}, {"b", 0, 0}, {"c", time.Hour, 0}, {"d", time.Hour, 0}}, "", ErrDisagree,
		},
		"a chain is no majority": {[]Sample{{"a", 0, 0}, {"b", 30 * ms, 0}, {"c", 60 * ms, 0}}, "", ErrDisagree},
		"one who knows nothing": {
			[]Sample{{"a", 0, 10 * time.Second}, {"b", 3 * time.Second, ms}, {"c", 3 * time.Second, ms}}, "b", nil,
		},
		"a clock that is years off": {[]Sample{{"a", years, ms}, {"b", years + 3*ms, ms}}, "a", nil},
	} {
		best, err := Choose(test.samples)
		if best.Server != test.server || !errors.Is(err, test.err) {
			t.Errorf("%s: %+v, %v", name, best, err)
		}
	}
	if _, err := Choose(nil); err == nil {
		t.Error("a choice of nothing")
	}
}

func TestDiscipline(t *testing.T) {
	for name, test := range map[string]struct {
		offsets []time.Duration
		want    []action
	}{
		"years off at first": {[]time.Duration{-1e17, 3 * ms}, []action{step, slew}},
		"right at first":     {[]time.Duration{3 * ms, -2 * ms}, []action{slew, slew}},
		"a spike later":      {[]time.Duration{ms, time.Hour, ms, time.Hour}, []action{slew, wait, slew, wait}},
		"a jump that is real": {
			[]time.Duration{ms, time.Hour, time.Hour + ms, ms}, []action{slew, wait, step, slew},
		},
		"two spikes that differ": {
			[]time.Duration{ms, time.Hour, -time.Hour, -time.Hour}, []action{slew, wait, wait, step},
		},
	} {
		var d discipline
		var got []action
		for _, offset := range test.offsets {
			got = append(got, d.decide(offset))
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestPace(t *testing.T) {
	var p pace
	var got []time.Duration
	for range 9 {
		got = append(got, p.silent()/time.Second)
	}
	got = append(got, p.answered(time.Hour, step)/time.Second, p.answered(ms, slew)/time.Second,
		p.answered(ms, slew)/time.Second, p.answered(time.Hour, wait)/time.Second, p.answered(20*ms, slew)/time.Second)
	for range 5 {
		got = append(got, p.answered(ms, slew)/time.Second)
	}
	got = append(got, p.answered(300*ms, slew)/time.Second, p.silent()/time.Second)
	want := []time.Duration{
		2, 4, 8, 16, 32, 64, 128, 256, 256, 64, 128, 256, 16, 256, 512, 1024, 1024, 1024, 1024, 64, 2,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%d\nwant %d", got, want)
	}
}

func TestTimeConstant(t *testing.T) {
	for poll, want := range map[time.Duration]int64{time.Second: 0, 16 * time.Second: 0, minPoll: 2, maxPoll: 6} {
		if got := timeConstant(poll); got != want {
			t.Errorf("%v: %d, want %d", poll, got, want)
		}
	}
}

// host is a machine whose clock is off, with the servers that it asks.
type host struct {
	mu      sync.Mutex
	off     time.Duration            // what has to be added to its clock
	servers map[string]time.Duration // how much each is wrong
	fail    map[string]error
	asked   map[string]int
	events  []string
	steps   int
	failure error // of setting the clock
}

func newHost(off time.Duration, servers ...string) *host {
	h := &host{off: off, servers: map[string]time.Duration{}, fail: map[string]error{}, asked: map[string]int{}}
	for _, name := range servers {
		h.servers[name] = 0
	}
	return h
}

func (h *host) client() *Client {
	return New(Options{
		Servers: func() []string { return []string{"pool"} }, Clock: h, Ask: h.ask,
		Resolve: func(context.Context, string) ([]string, error) {
			var names []string
			for name := range h.servers {
				names = append(names, name)
			}
			return names, nil
		},
		Report: func(e Event) {
			text := string(e.State)
			if e.Err != nil {
				text += ": " + e.Err.Error()
			}
			h.events = append(h.events, text)
		},
	})
}

func (h *host) ask(_ context.Context, server string) (Sample, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[server]++
	return Sample{server, h.off + h.servers[server], ms}, h.fail[server]
}

func (h *host) Step(_ context.Context, offset time.Duration) error {
	if h.failure == nil {
		h.off -= offset
		h.steps++
	}
	return h.failure
}

func (h *host) Slew(offset, _ time.Duration) error {
	h.off -= offset
	return h.failure
}

func (h *host) said(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(h.events, "|"); got != strings.Join(want, "|") {
		t.Errorf("said %s\nwant %s", got, strings.Join(want, "|"))
	}
}

const years = 25 * 365 * 24 * time.Hour

func TestClockIsYearsOff(t *testing.T) {
	h := newHost(years, "a", "b", "c")
	h.servers["b"] = -7 * time.Hour // a falseticker
	c := h.client()
	for range 5 {
		c.once(t.Context())
	}
	if h.off.Abs() > ms || h.steps != 1 {
		t.Errorf("off by %v after %d steps", h.off, h.steps)
	}
	h.said(t, "stepped")
}

func TestServersGoAndComeBack(t *testing.T) {
	h := newHost(ms, "a")
	c := h.client()
	c.once(t.Context())
	h.fail["a"] = errors.New("no answer")
	for range 20 {
		c.once(t.Context())
	}
	h.fail["a"] = nil
	c.once(t.Context())
	h.servers["b"] = time.Hour
	c.once(t.Context())
	c.once(t.Context())
	delete(h.servers, "b")
	c.once(t.Context())
	h.said(t, "set", "unreachable: no answer", "set",
		"disagree: time servers disagree: a says 0s, b says 1h0m0s", "set")
}

func TestNetworkThatIsNotUpYet(t *testing.T) {
	h := newHost(years, "a")
	h.fail["a"] = errors.New("network is unreachable")
	c := h.client()
	c.options.Grace = time.Minute
	c.once(t.Context())
	h.fail["a"] = nil
	c.once(t.Context())
	h.fail["a"] = errors.New("no answer")
	c.once(t.Context())
	h.said(t, "stepped")
	c.silent = c.silent.Add(-2 * time.Minute)
	c.once(t.Context())
	h.said(t, "stepped", "unreachable: no answer")
}

func TestClockThatCannotBeSet(t *testing.T) {
	h := newHost(years, "a")
	h.failure = errors.New("not permitted")
	h.client().once(t.Context())
	h.said(t, "failed: not permitted")
}

func TestKissOfDeath(t *testing.T) {
	h := newHost(0, "a", "b")
	h.fail["a"], h.fail["b"] = &KissError{"a", "DENY"}, &KissError{"b", "RATE"}
	c := h.client()
	for range 3 {
		c.once(t.Context())
	}
	if h.asked["a"] != 1 || h.asked["b"] != 1 {
		t.Errorf("asked %v", h.asked)
	}
	c.barred["b"] = time.Now().Add(-time.Second)
	h.fail["b"] = nil
	c.once(t.Context())
	if h.asked["a"] != 1 || h.asked["b"] != 2 {
		t.Errorf("asked %v", h.asked)
	}
}

func TestNetworkComes(t *testing.T) {
	h := newHost(years, "a")
	h.fail["a"] = errors.New("network is unreachable")
	wake := make(chan struct{}, 1)
	c := h.client()
	c.options.Wake = wake
	ctx, cancel := context.WithCancel(t.Context())
	report := c.options.Report
	c.options.Report = func(e Event) {
		report(e)
		if e.State == Unreachable {
			h.mu.Lock()
			h.fail["a"] = nil
			h.mu.Unlock()
			wake <- struct{}{}
		}
		if e.State == Stepped {
			cancel()
		}
	}
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	h.said(t, "unreachable: network is unreachable", "stepped")
}

// serve is a server of NTP whose answers change returns.
func serve(t *testing.T, change func(answer []byte)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		request := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(request)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			answer := make([]byte, 48)
			answer[0], answer[1] = 4<<3|4, 2 // version 4, a server; stratum
			now := time.Now().Add(years)
			stamp := uint64(now.Unix()+2208988800)<<32 | uint64(now.Nanosecond())<<32/1e9
			for _, at := range []int{16, 32, 40} { // reference, receive, transmit
				binary.BigEndian.PutUint64(answer[at:], stamp)
			}
			copy(answer[24:32], request[40:48]) // origin
			change(answer)
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return conn.LocalAddr().String()
}

func TestAsk(t *testing.T) {
	s, err := Ask(t.Context(), serve(t, func([]byte) {}))
	if err != nil || (s.Offset-years).Abs() > time.Minute || s.Distance > time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
	for name, change := range map[string]func([]byte){
		"not synchronised":      func(a []byte) { a[0] |= 3 << 6 },
		"another's answer":      func(a []byte) { a[24]++ },
		"stratum 16":            func(a []byte) { a[1] = 16 },
		"no time":               func(a []byte) { clear(a[40:48]) },
		"hours from its source": func(a []byte) { binary.BigEndian.PutUint32(a[8:], 20<<16) },
	} {
		if s, err := Ask(t.Context(), serve(t, change)); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	_, err = Ask(t.Context(), serve(t, func(a []byte) { a[1] = 0; copy(a[12:], "RATE") }))
	if kiss := (*KissError)(nil); !errors.As(err, &kiss) || kiss.Code != "RATE" {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	for name, want := range map[string]string{
		"10.0.2.2": "10.0.2.2:123", "10.0.2.2:1123": "10.0.2.2:1123", "2001:db8::1": "[2001:db8::1]:123",
		"[2001:db8::1]:1123": "[2001:db8::1]:1123",
	} {
		if got, err := Resolve(t.Context(), name); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestEarliestHasPassed(t *testing.T) {
	if time.Now().Before(Earliest) {
		t.Errorf("a right clock would be taken for a wrong one before %v", Earliest)
	}
}
