package vt

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/guestconsole"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// terminal returns the two ends of a pseudo-terminal: keyboard and screen, or xenconsoled's, and the path of the other.
func terminal(t *testing.T) (*os.File, string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	path := fmt.Sprintf("/dev/pts/%d", number)
	slave, err := openRaw(path) // stays open, as at xenconsoled
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, path
}

// expect reads until what was read ends so.
func expect(t *testing.T, from *os.File, end string) string {
	t.Helper()
	_ = from.SetReadDeadline(time.Now().Add(30 * time.Second))
	var all []byte
	for part := make([]byte, 4096); !bytes.HasSuffix(all, []byte(end)); {
		n, err := from.Read(part)
		all = append(all, part[:n]...)
		if err != nil {
			t.Fatalf("%v after %q, want %q", err, all, end)
		}
	}
	return string(all)
}

func TestScreen(t *testing.T) {
	h := newHost(t.Context())
	server := xenstoretest.New()
	hub, err := guestconsole.New(t.Context(), server.Client(t), h.State, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	person, path := terminal(t)
	s, err := openScreen(hub, path)
	if err != nil {
		t.Fatal(err)
	}
	go s.run(t.Context())
	go follow(t.Context(), h.State, []*screen{s})
	expect(t, person, "Alt-F12  log\r\n")

	guest, console := terminal(t)
	server.SetAll("/local/domain/1", map[string]string{"vm": "/vm/uuid-of-web", "name": "web", "console/tty": console})
	h.tell(came(1, "web"))
	expect(t, person, startOver+"-- Alt-F2: guest web --\r\n")
	hub.Console(1, "uuid-of-web", guestconsole.ConsoleNode, console)
	if _, err := guest.WriteString("login: \x1b[12;1]\x1b[6n"); err != nil {
		t.Fatal(err)
	}
	expect(t, person, "login: ")
	if _, err := person.WriteString("root\r"); err != nil {
		t.Fatal(err)
	}
	expect(t, guest, "root\r")

	guest.Close()
	hub.Console(1, "uuid-of-web", guestconsole.ConsoleNode, "")
	h.tell(hostGone(1))
	expect(t, person, "\r\n-- Alt-F2: guest web, stopped --\r\n")
}
