package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// view opens a terminal as a program does that shows a view on it.
func view(t *testing.T, name string) *os.File {
	t.Helper()
	tty, err := os.OpenFile("/dev/"+name, os.O_RDWR|noctty, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return tty
}

// Lines wait for the end of all views, and come in their order; other consoles get them at once.
func TestTake(t *testing.T) {
	screen, name := terminal(t)
	var other bytes.Buffer
	dir := t.TempDir()
	c := Open(dir, []string{name})
	c.Add(&other)
	write(t, c, "before\n")
	readUntil(t, screen, "before\r\n")

	tty := view(t, name)
	giveBoard, giveConsole := Take(dir, tty), Take(dir, tty)
	write(t, c, "one\n", "two\n")
	giveBoard()
	fmt.Fprint(tty, "view\n")
	if got := readUntil(t, screen, "view\r\n"); got != "view\n" {
		t.Errorf("screen shows %q while somebody has it", got)
	}
	if other.String() != "before\none\ntwo\n" {
		t.Errorf("the other console has %q", other.String())
	}
	giveConsole()
	if got := readUntil(t, screen, "two\r\n"); got != "one\ntwo\n" {
		t.Errorf("screen shows %q", got)
	}
	write(t, c, "after\n")
	if got := readUntil(t, screen, "after\r\n"); got != "after\n" {
		t.Errorf("screen shows %q", got)
	}
}

// Somebody leaves a view for the night.
func TestTakeForLong(t *testing.T) {
	screen, name := terminal(t)
	dir := t.TempDir()
	c := Open(dir, []string{name})
	give := Take(dir, view(t, name))
	line := strings.Repeat("x", 99) + "\n"
	const lines = heldLimit/100 + 7
	for i := range lines {
		if i == lines-1 {
			line = "last\n"
		}
		_, _ = io.WriteString(c, line)
	}
	give()
	got := readUntil(t, screen, "last\r\n")
	want := "level=WARN msg=\"lines left out\" count="
	whole := strings.Count(got, "x\n")
	if !strings.HasPrefix(got, want) || len(got) > heldLimit+len(want)+10 || whole < heldLimit/100-1 {
		t.Errorf("screen shows %d bytes, beginning with %.60q", len(got), got)
	}
}

// The machine ends while somebody has the console.
func TestReclaim(t *testing.T) {
	screen, name := terminal(t)
	dir := t.TempDir()
	c := Open(dir, []string{name})
	defer Take(dir, view(t, name))()
	write(t, c, "one\n", "two\n")
	c.Reclaim()
	write(t, c, "three\n")
	if got := readUntil(t, screen, "three\r\n"); got != "one\ntwo\nthree\n" {
		t.Errorf("screen shows %q", got)
	}
}

// A process that is killed gives the console back.
func TestTakerKilled(t *testing.T) {
	if name := os.Getenv("ZERODISC_TEST_TAKE"); name != "" {
		Take(os.Getenv("ZERODISC_TEST_DIR"), view(t, name))
		fmt.Println("taken")
		time.Sleep(time.Hour)
	}
	screen, name := terminal(t)
	dir := t.TempDir()
	c := Open(dir, []string{name})
	taker := exec.Command(os.Args[0], "-test.run", "TestTakerKilled")
	taker.Env = append(os.Environ(), "ZERODISC_TEST_TAKE="+name, "ZERODISC_TEST_DIR="+dir)
	out, err := taker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := taker.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("taken\n"))); err != nil {
		t.Fatal(err)
	}
	write(t, c, "held\n")
	if err := taker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = taker.Wait()
	if got := readUntil(t, screen, "held\r\n"); got != "held\n" {
		t.Errorf("screen shows %q", got)
	}
}

// A process that becomes another program keeps the console until that ends.
func TestKeep(t *testing.T) {
	if name := os.Getenv("ZERODISC_TEST_KEEP"); name != "" {
		Keep(os.Getenv("ZERODISC_TEST_DIR"), view(t, name))
		t.Fatal(syscall.Exec("/bin/sh", []string{"sh", "-c", "echo taken; exec cat"}, os.Environ()))
	}
	screen, name := terminal(t)
	dir := t.TempDir()
	c := Open(dir, []string{name})
	keeper := exec.Command(os.Args[0], "-test.run", "TestKeep")
	keeper.Env = append(os.Environ(), "ZERODISC_TEST_KEEP="+name, "ZERODISC_TEST_DIR="+dir)
	in, inErr := keeper.StdinPipe()
	out, err := keeper.StdoutPipe()
	if err := errors.Join(inErr, err, keeper.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("taken\n"))); err != nil {
		t.Fatal(err)
	}
	write(t, c, "held\n")
	fmt.Fprint(view(t, name), "view\n")
	if got := readUntil(t, screen, "view\r\n"); got != "view\n" {
		t.Errorf("screen shows %q while the program runs", got)
	}
	if err := errors.Join(in.Close(), keeper.Wait()); err != nil {
		t.Fatal(err)
	}
	if got := readUntil(t, screen, "held\r\n"); got != "held\n" {
		t.Errorf("screen shows %q", got)
	}
}

// Terminals that get no lines are not taken, nor is what is no terminal.
func TestTakeNothing(t *testing.T) {
	_, name := terminal(t)
	Take(t.TempDir(), view(t, name))()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	Take(t.TempDir(), null)()
}
