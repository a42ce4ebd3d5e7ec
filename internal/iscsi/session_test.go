package iscsi

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

// follower is an Initiator that runs, with what it tells.
type follower struct {
	kernel  *fakeKernel
	remotes chan host.Remote
	found   chan string
}

// follow runs an Initiator until the test ends.
func follow(t *testing.T, target Target, uses []string) *follower {
	t.Helper()
	return followOn(t, &fakeKernel{}, target, uses)
}

func followOn(t *testing.T, kernel *fakeKernel, target Target, uses []string) *follower {
	t.Helper()
	f := &follower{kernel: kernel, remotes: make(chan host.Remote, 100), found: make(chan string, 10)}
	initiator := Initiator{
		Target: target, Name: "iqn.2026-01.com.github.zerodisc:test", ISID: [6]byte{0x80, 1}, Kernel: f.kernel,
		Found: func(disk string) error { f.found <- disk; return nil },
		Uses:  func(string) []string { return uses },
		Tell:  func(r host.Remote) { f.remotes <- r },
		Timing: Timing{
			FirstPause: 10 * time.Millisecond, MaxPause: 50 * time.Millisecond, Grace: time.Nanosecond,
			Answer: 5 * time.Second,
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		initiator.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return f
}

// target is a fake target on a port of its own that lets everybody in.
type target struct {
	t        *testing.T
	listener net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

func newTarget(t *testing.T, address string) *target {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	g := &target{t: t, listener: l}
	t.Cleanup(g.close)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.conns = append(g.conns, conn)
			g.mu.Unlock()
			go g.serve(conn)
		}
	}()
	return g
}

// close ends the target and its connections.
func (g *target) close() {
	g.listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, conn := range g.conns {
		conn.Close()
	}
}

func (g *target) serve(conn net.Conn) {
	for _, a := range []answer{toOperational, toFull} {
		if _, err := readPDU(conn); err != nil {
			return
		}
		if writePDU(conn, a.encode()) != nil {
			return
		}
	}
}

// at is the target's description, with a LUN.
func (g *target) at(t *testing.T, lun string) Target {
	t.Helper()
	_, port, err := net.SplitHostPort(g.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	target, err := parseTarget("127.0.0.1::" + port + ":" + lun + ":iqn.2026-01.org.example:disk")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// next is what is told next.
func (f *follower) next(t *testing.T, state host.RemoteState) host.Remote {
	t.Helper()
	select {
	case r := <-f.remotes:
		if r.State != state {
			t.Fatalf("%+v, want %s", r, state)
		}
		return r
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing is told, want %s", state)
		return host.Remote{}
	}
}

// TestSession follows a target that goes away and comes back. The session, and so the disk, stays the same.
func TestSession(t *testing.T) {
	g := newTarget(t, "127.0.0.1:0")
	f := follow(t, g.at(t, "1"), []string{"web"})
	if r := f.next(t, host.RemoteConnected); r.Device != "/dev/fake" || r.Problem != "" {
		t.Errorf("%+v", r)
	}
	if disk := <-f.found; disk != "/dev/fake" {
		t.Errorf("found %s", disk)
	}
	s := f.kernel.only(t)
	for p, want := range map[Param]string{
		paramTarget: "iqn.2026-01.org.example:disk", paramExpStatSN: "8",
		paramMaxBurst: "4096", paramFirstBurst: "4096",
		paramRecoveryTmo: "120", paramHeaderCRC: "0", paramInitialR2T: "1", paramAddress: "127.0.0.1",
	} {
		if got := s.param(p); got != want {
			t.Errorf("parameter %d is %q, want %q", p, got, want)
		}
	}
	address := g.listener.Addr().String()
	g.close()
	lost := f.next(t, host.RemoteLost)
	if len(lost.Guests) != 1 || lost.Guests[0] != "web" || !strings.Contains(lost.Remedy, "120 s") {
		t.Errorf("%+v", lost)
	}
	time.Sleep(200 * time.Millisecond) // that it cannot be reached is not told
	newTarget(t, address)
	if r := f.next(t, host.RemoteConnected); r.Device != "/dev/fake" {
		t.Errorf("%+v", r)
	}
	if s = f.kernel.only(t); s.started != 2 || s.scans != 1 {
		t.Errorf("started %d times, scanned %d times", s.started, s.scans)
	}
}

// TestSessionLeftBehind logs in to a session that is there already, again when its target comes back.
func TestSessionLeftBehind(t *testing.T) {
	g := newTarget(t, "127.0.0.1:0")
	f := followOn(t, &fakeKernel{left: true}, g.at(t, "1"), []string{"web"})
	if r := f.next(t, host.RemoteConnected); r.Device != "/dev/fake" {
		t.Errorf("%+v", r)
	}
	if s := f.kernel.only(t); s.stopped != 1 || s.started != 1 {
		t.Errorf("stopped %d times, started %d times", s.stopped, s.started)
	}
	g.close()
	if lost := f.next(t, host.RemoteLost); len(lost.Guests) != 1 {
		t.Errorf("%+v", lost)
	}
}

// TestSessionWithoutLUN finds no disk.
func TestSessionWithoutLUN(t *testing.T) {
	f := follow(t, newTarget(t, "127.0.0.1:0").at(t, "7"), nil)
	if r := f.next(t, host.RemoteConnected); !strings.Contains(r.Problem, "no LUN 7") || r.Device != "" {
		t.Errorf("%+v", r)
	}
}

// TestSessionElsewhere goes where a target says that it is.
func TestSessionElsewhere(t *testing.T) {
	g := newTarget(t, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := readPDU(conn); err == nil {
			moved := answer{class: 1, detail: 1, text: "TargetAddress=" + g.listener.Addr().String() + ",1"}
			_ = writePDU(conn, moved.encode())
			_, _ = readPDU(conn)
		}
	}()
	described := (&target{listener: l}).at(t, "1")
	f := follow(t, described, nil)
	if r := f.next(t, host.RemoteConnected); r.URL != described.String() {
		t.Errorf("%+v", r)
	}
}

// TestNetlink reads back what is sent, and what no kernel would send.
func TestNetlink(t *testing.T) {
	bind := request{kind: bindConn, args: []any{uint32(3), uint32(0), uint64(9), uint32(1)}, data: []byte("abc")}
	message := bind.encode(77)
	e, rest, err := parseEvent(message)
	if err != nil || e.kind != bindConn || e.transport != 77 || string(e.data) != "abc" || len(rest) != 0 {
		t.Errorf("%+v, %d left, %v", e, len(rest), err)
	}
	for n := range message {
		if _, _, err := parseEvent(message[:n]); err == nil {
			t.Errorf("%d bytes are a message", n)
		}
	}
	if err := connFailure(1020); !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(request{kind: sendPDU, data: toFull.encode()}.encode(1))
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 0 {
			_, rest, err := parseEvent(data)
			if err != nil {
				return
			}
			if len(rest) >= len(data) {
				t.Fatal("it does not move on")
			}
			data = rest
		}
	})
}
