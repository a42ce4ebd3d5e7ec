package guestconsole

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestReadersStealNothing(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	g.say("first words\r\n")
	g.awaitLog("first words\r\n")
	a, b, late := g.open(0), g.open(6), g.open(FromNow)
	g.say("login: ")
	expect(t, a, "first words\r\nlogin: ")
	expect(t, b, "words\r\nlogin: ")
	expect(t, late, "login: ")

	if _, err := a.Write([]byte("root\r")); err != nil {
		t.Fatal(err)
	}
	expect(t, g.master, "root\r")
	if _, err := w.hub.Open("nobody", 0); !errors.Is(err, ErrNoGuest) {
		t.Errorf("Open of an unknown guest: %v", err)
	}
	a.Close()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

// `xl console` opens what xenstore names. It shows the last screenful first, and all that comes, as the others do.
func TestXLConsole(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "web")
	g.say("old line\r\n" + strings.Repeat("0123456789abcdef\r\n", 200))
	g.awaitLog("f\r\n")
	for round := range 3 { // one after the other
		var xl *os.File
		w.await("a screenful is shown", func() bool { // all, to one that comes before the other's end was seen
			var err error
			if xl, err = openSlave(g.tty()); err != nil {
				t.Fatal(err)
			}
			g.say(fmt.Sprintf("more %d\r\n", round))
			shown := readUntil(t, xl, fmt.Sprintf("more %d\r\n", round))
			if strings.HasPrefix(shown, "0123456789abcdef\r\n") && len(shown) <= screenful+20 {
				return true
			}
			xl.Close()
			return false
		})
		if _, err := xl.Write([]byte("ls\r")); err != nil {
			t.Fatal(err)
		}
		expect(t, g.master, "ls\r")
		g.say("not read by this one\r\n")
		g.awaitLog("this one\r\n")
		xl.Close()
		g.say(strings.Repeat("0123456789abcdef\r\n", 200))
	}
	g.awaitLog("f\r\n")
	text, start := w.hub.Log(g.uuid)
	if start != 0 || bytes.Count(text, []byte("not read")) != 3 {
		t.Errorf("the log from %d on has %d lines", start, bytes.Count(text, []byte("not read")))
	}
}

// A flood is not held up by those who do not read, and they are told how much they have missed.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "noisy")
	slow := g.open(0)
	xl, err := openSlave(g.tty()) // reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer xl.Close()
	const total = 10 * ringBytes
	for n := 0; n < total; n += 1024 {
		g.say(string(numbered(int64(n), 1024)))
	}
	g.say("end")
	g.awaitLog("end")
	text, start := w.hub.Log(g.uuid)
	if len(text) != ringBytes || start != total+3-ringBytes {
		t.Errorf("%d bytes are kept, from %d on", len(text), start)
	}
	p := make([]byte, 100)
	if n, err := slow.Read(p); n != 100 || err != nil || !bytes.Equal(p, numbered(start, 100)) {
		t.Errorf("the slow one reads %d bytes, %v", n, err)
	}
	if lost, again := slow.Lost(), slow.Lost(); lost != start || again != 0 {
		t.Errorf("lost %d, then %d, want %d", lost, again, start)
	}
}

// A guest that does not read what is typed does not hold up others for long, and its writer is told.
func TestTypingToADeafGuest(t *testing.T) {
	w := newWorld(t)
	g := w.start(1, "deaf")
	s := g.open(0)
	w.await("nothing more can be typed", func() bool {
		_, err := s.Write(make([]byte, 4096))
		return errors.Is(err, ErrBusy)
	})
	g.end()
	w.await("there is no domain", func() bool {
		_, err := s.Write([]byte("x"))
		return errors.Is(err, ErrNoDomain)
	})
}
