package sshd

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestGuardSlowsDown(t *testing.T) {
	g, now := newGuard(usualLimits), time.Unix(1_000_000, 0)
	evil := netip.MustParseAddr("192.0.2.1")
	var waits []string
	for range 9 {
		wait, ok := g.admit(evil, now)
		waits = append(waits, fmt.Sprint(wait, ok))
		if ok {
			now = now.Add(wait)
		}
	}
	// Three are free; the penalty doubles; one of more than 4 s is not waited for.
	want := "0s true,0s true,0s true,0s true,1s true,2s true,4s true,8s false,8s false"
	if got := strings.Join(waits, ","); got != want {
		t.Errorf("waits: %s\nwant:  %s", got, want)
	}
	if _, ok := g.admit(netip.MustParseAddr("192.0.2.2"), now); !ok {
		t.Error("a neighbour pays for it")
	}
	now = now.Add(8 * time.Second)
	if wait, ok := g.admit(evil, now); wait != 0 || !ok {
		t.Errorf("after the penalty: %v, %v", wait, ok)
	}
	g.welcome(evil)
	if wait, ok := g.admit(evil, now); wait != 0 || !ok || g.wrong(evil) != 1 {
		t.Errorf("after a login: %v, %v", wait, ok)
	}
}

func TestGuardPause(t *testing.T) {
	g := newGuard(usualLimits)
	for wrong, want := range map[int]time.Duration{
		1: 0, 3: 0, 4: time.Second, 5: 2 * time.Second, 11: 128 * time.Second, 13: maxPenalty, 1_000_000: maxPenalty,
	} {
		if got := g.pause(wrong); got != want {
			t.Errorf("after %d: %v, want %v", wrong, got, want)
		}
	}
}

// A host has a whole /64 of addresses, and a botnet thousands of hosts.
func TestGuardIsBounded(t *testing.T) {
	g, now := newGuard(usualLimits), time.Unix(1_000_000, 0)
	friend := netip.MustParseAddr("198.51.100.7")
	g.welcome(friend)
	admitted := 0
	for i := range 5000 {
		from := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, byte(i >> 8), byte(i), 15: byte(i)})
		if _, ok := g.admit(from, now.Add(time.Duration(i)*10*time.Millisecond)); ok {
			admitted++
		}
	}
	if most := allBurst + 50 + 1; admitted > most || admitted < allBurst { // 50 s
		t.Errorf("%d passwords were looked at, want %d at most", admitted, most)
	}
	if _, ok := g.admit(friend, now.Add(50*time.Second)); !ok {
		t.Error("who has logged in before is kept out")
	}
	for i := range 2 * maxHosts {
		g.all.full = time.Time{} // this is about memory
		g.admit(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now)
	}
	if len(g.hosts) > maxHosts {
		t.Errorf("%d addresses are remembered, want %d at most", len(g.hosts), maxHosts)
	}
	if a, b := hostOf(netip.MustParseAddr("2001:db8::1")), hostOf(netip.MustParseAddr("2001:db8::ffff:1")); a != b {
		t.Errorf("%v and %v are two hosts", a, b)
	}
}

func TestNewsIsBounded(t *testing.T) {
	var told []Event
	n, now := newNews(func(e Event) { told = append(told, e) }), time.Unix(1_000_000, 0)
	for i := range 1000 {
		n.maybe(Event{Kind: Refused, Count: i}, now.Add(time.Duration(i)*time.Second/25)) // 40 s
	}
	if len(told) != newsBurst+1 || told[newsBurst].Others < 400 {
		t.Errorf("%d were told: %+v", len(told), told)
	}
	n.maybe(Event{Kind: LoggedIn}, now)
	if told[len(told)-1].Kind != LoggedIn {
		t.Error("what happens often leaves no room for something else")
	}
}

// Somebody guesses: it takes longer and longer, is told, and who has the key is in at once.
func TestGuessing(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.options.Password = "$5$saltsalt$cKRA0A5uaKu0/NNi2WMrB.mMOAVMowckrDNQ4fKUJ06"
		r.limits.penalty, r.limits.patience = 100*time.Millisecond, 250*time.Millisecond
	})
	start := time.Now()
	for i := range 7 { // 100, 200, 400, ... ms after the fourth
		if out, _, _ := r.byPassword("root", "guess"+strconv.Itoa(i)); out != "" {
			t.Fatal("a guess is right")
		}
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("7 guesses took %v", took)
	}
	var banner string
	for deadline := time.Now().Add(patience); !strings.Contains(banner, "Too many wrong passwords"); {
		if time.Now().After(deadline) {
			t.Fatalf("guessing goes on without end; the client was told %q", banner)
		}
		_, banner, _ = r.byPassword("root", "guess")
	}
	r.await("three were wrong", func(e Event) bool {
		return e.Kind == Refused && e.Count == 3 && e.From == "127.0.0.1"
	})
	if out, errs, _ := r.ssh(target, "echo in"); out != "in\n" {
		t.Errorf("the key: %s", errs)
	}
}

// come has a connection wait at the gate, and says whether it came in.
func come(g *gate, from string, friend bool) (w, out *waiter) {
	address := netip.MustParseAddr(from)
	w = &waiter{host: hostOf(address), from: address, friend: friend}
	return w, g.enter(w)
}

// Four addresses that take all places keep nobody out: they lose one for each that comes from elsewhere.
func TestGateIsNotHeld(t *testing.T) {
	g := newGate(usualLimits)
	hold := func() {
		for i := range 4 * usualLimits.sameHost {
			come(g, fmt.Sprintf("192.0.2.%d", i%4), false)
		}
	}
	hold()
	if len(g.waiting) != usualLimits.waiting {
		t.Fatalf("%d wait", len(g.waiting))
	}
	if w, out := come(g, "192.0.2.1", false); out != w {
		t.Error("one more of an address that has 16 comes in")
	}
	guest, out := come(g, "198.51.100.1", false)
	if out == nil || out == guest || out.from.String()[:8] != "192.0.2." {
		t.Fatalf("out is %+v", out)
	}
	for range 100 { // whoever was dropped comes again
		hold()
	}
	if !g.leave(guest) || g.leave(guest) || g.leave(out) {
		t.Error("who waits alone has lost his place to those who are many")
	}
	if len(g.waiting) > usualLimits.waiting {
		t.Errorf("%d wait", len(g.waiting))
	}
}

// However many strangers there are, who has logged in before comes in, and stays.
func TestGateKeepsPlacesForFriends(t *testing.T) {
	g := newGate(usualLimits)
	crowd := func() (dropped int) {
		for i := range 4 * usualLimits.waiting {
			if w, out := come(g, fmt.Sprintf("192.0.2.%d", i), false); out != w {
				dropped++
			}
		}
		return dropped
	}
	crowd()
	friend, out := come(g, "198.51.100.1", true)
	if out == nil || out.friend {
		t.Fatalf("out is %+v", out)
	}
	if crowd() == 0 {
		t.Error("whoever came first stays, and nobody else comes in")
	}
	if !g.leave(friend) {
		t.Error("a friend has lost its place to a stranger")
	}
	for i := range 2 * usualLimits.waiting {
		come(g, fmt.Sprintf("203.0.113.%d", i), true)
	}
	for w := range g.waiting {
		if !w.friend {
			t.Error("a stranger has a place that a friend wants")
		}
	}
}

// A thousand connections: few are kept, and not for long; it is told; when they are over the server serves.
func TestThousandConnections(t *testing.T) {
	r := newRig(t, func(r *rig) { r.limits.firstByte = 2 * time.Second })
	var conns []net.Conn
	for range 1000 {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
		r.must(err)
		defer c.Close()
		conns = append(conns, c)
	}
	crowd := r.await("there are too many", func(e Event) bool { return e.Kind == Crowded && e.Count >= 300 })
	if crowd.From != "127.0.0.1" {
		t.Errorf("told %+v", crowd)
	}
	greeted := 0
	for _, c := range conns { // every one of them comes to its end
		r.must(c.SetReadDeadline(time.Now().Add(patience)))
		text, err := io.ReadAll(c)
		if err, isNet := err.(net.Error); isNet && err.Timeout() {
			t.Fatal("a connection is kept that says nothing")
		}
		if len(text) > 0 {
			greeted++
		}
	}
	if greeted > usualLimits.sameHost {
		t.Errorf("%d connections were served at the same time", greeted)
	}
	if out, errs, _ := r.ssh(target, "echo in"); out != "in\n" {
		t.Errorf("afterwards: %s", errs)
	}
}

// What a client sends in place of SSH ends its connection only.
func TestRubbish(t *testing.T) {
	r := newRig(t, nil)
	for _, text := range []string{
		"GET / HTTP/1.0\r\n\r\n", "SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("x", 1<<20), "",
	} {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
		r.must(err)
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		r.must(c.SetReadDeadline(time.Now().Add(patience)))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%.20q: the connection is kept", text)
		}
		_ = c.Close()
	}
	if out, errs, _ := r.ssh(target, "echo in"); out != "in\n" {
		t.Errorf("afterwards: %s", errs)
	}
}
