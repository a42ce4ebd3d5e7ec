package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/report"
)

// board is a guestBoard whose log lands in the buffer.
func board() (*guestBoard, *bytes.Buffer) {
	var out bytes.Buffer
	return newGuestBoard(slog.New(slog.NewTextHandler(&out, nil)), report.New("test")), &out
}

// domain is a guest as init creates it.
func domain(name, mac string) *guests.Domain {
	return &guests.Domain{Guest: &guests.Guest{Name: name}, Type: guests.PV, MACs: []string{mac}}
}

const guestMAC = "00:16:3e:00:00:01"

func TestGuestIsAdoptedOnce(t *testing.T) {
	b, out := board()
	b.creates("tty1")
	if b.adopted("tty1", 1) {
		t.Error("a guest that init creates was taken for somebody else's")
	}
	b.started(domain("tty1", guestMAC), 1, time.Second)
	if b.adopted("tty1", 1) {
		t.Error("a guest that init has created was taken for somebody else's")
	}
	b.stopped("tty1", 1)
	if !b.adopted("tty1", 2) || b.running() != 1 {
		t.Error("a guest that xl has restarted was not taken")
	}
	if got := strings.Count(out.String(), `msg="guest running" guest=tty1`); got != 2 {
		t.Errorf("told %d times that tty1 runs, want 2:\n%s", got, out)
	}
}

func TestRefusalLeavesTheRunningGuestItsLine(t *testing.T) {
	b, out := board()
	b.started(domain("tty1", guestMAC), 1, time.Second)
	b.refused("tty1", "/store/tty1/tty1.cfg", errors.New("runs already"))
	if !b.runs("tty1") || b.runs("tty2") || b.running() != 1 {
		t.Error("the board does not know who runs")
	}
	if text := b.report.String(); !strings.Contains(text, "guest tty1         running") || !strings.Contains(text, "! runs already") {
		t.Errorf("report:\n%s", text)
	}
	if !strings.Contains(out.String(), `msg="guest refused" guest=tty1`) {
		t.Errorf("console:\n%s", out)
	}
}

func TestOldDomainEndsAfterTheNewOneCame(t *testing.T) {
	b, out := board()
	b.started(domain("tty1", guestMAC), 1, time.Second)
	b.said("tty1", netip.MustParseAddr("10.0.0.1"))
	b.adopted("tty1", 2)
	b.stopped("tty1", 1)
	b.said("tty1", netip.MustParseAddr("10.0.0.1"))
	if got := strings.Count(out.String(), "guest address"); got != 2 {
		t.Errorf("the address of two domains was told %d times:\n%s", got, out)
	}
	if b.running() != 1 || !strings.Contains(b.report.String(), "running") {
		t.Errorf("the end of domain 1 took domain 2 with it:\n%s", b.report)
	}
}

func TestAddresses(t *testing.T) {
	mac, err := net.ParseMAC(guestMAC)
	if err != nil {
		t.Fatal(err)
	}
	first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	b, out := board()
	isOwn := func(int) bool { return true }
	told := func() int { return strings.Count(out.String(), "guest address") }
	b.started(domain("tty1", strings.ToUpper(guestMAC)), 1, time.Second)
	b.seen(mac, second, func(domid int) bool { return domid != 1 }) // spoofed by another guest
	b.seen(mac, first, isOwn)
	b.seen(mac, first, isOwn)
	if told() != 1 {
		t.Errorf("one address was told %d times:\n%s", told(), out)
	}
	b.said("tty1", second)
	b.seen(mac, first, isOwn)
	if told() != 2 || !strings.Contains(b.report.String(), "10.0.0.2") {
		t.Errorf("what was heard on the bridge replaced what the guest says:\n%s", out)
	}
	b.stopped("tty1", 1)
	b.adopted("tty1", 2)
	b.seen(mac, second, isOwn)
	if told() != 3 {
		t.Errorf("the address after a reboot was not told:\n%s", out)
	}
	for i := range 2 * maxAddresses {
		b.said("tty1", netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}))
	}
	if told() != maxAddresses {
		t.Errorf("a guest had %d addresses told, at most %d should be", told(), maxAddresses)
	}
}

func TestIsFinal(t *testing.T) {
	missing := fmt.Errorf("load module x: %w", kmod.ErrNotFound)
	nothing := fmt.Errorf("load module y: %w", unix.ENODEV)
	for _, test := range []struct {
		err  error
		want bool
	}{
		{missing, true},
		{errors.Join(missing, errors.Join(nothing)), true},
		{errors.Join(nothing, fmt.Errorf("load module z: %w", unix.ENOMEM)), false},
	} {
		if got := isFinal(test.err); got != test.want {
			t.Errorf("isFinal(%v) = %v", test.err, got)
		}
	}
}

func TestSecondRequest(t *testing.T) {
	b, _ := board()
	s := &system{log: b.log, requests: make(chan pid1.Action, 8)}
	forced := make(chan bool, 1)
	go s.awaitSecondRequest(t.Context(), func() { forced <- true })
	s.requests <- 0
	select {
	case <-forced:
		t.Fatal("a request that repeats itself forced the end")
	case <-time.After(repeatAfter + 100*time.Millisecond):
	}
	s.requests <- 0
	select {
	case <-forced:
	case <-time.After(10 * time.Second):
		t.Error("the second request was not heard")
	}
}
