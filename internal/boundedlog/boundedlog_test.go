package boundedlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFileKeepsTheNewestLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	const limit = 1000
	log := Open(name, limit)
	last := ""
	for i := range 500 {
		last = fmt.Sprintf("line %d\n", i)
		if n, err := log.Write([]byte(last)); n != len(last) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		text := read(t, name)
		if len(text) > limit || !strings.HasSuffix(text, last) {
			t.Fatalf("after %q: %d bytes, ending with %q", last, len(text), text[max(0, len(text)-20):])
		}
	}
	text := read(t, name)
	first, rest, _ := strings.Cut(text, "\n")
	if first+"\n" != dropped || !strings.HasPrefix(rest, "line ") || len(text) < limit/3 {
		t.Errorf("%d bytes, beginning with %q and %.10q", len(text), first, rest)
	}
	// The next process goes on with it.
	_, _ = Open(name, limit).Write([]byte("later\n"))
	if got := read(t, name); got != text+"later\n" {
		t.Errorf("after another Open: %q", got)
	}
}

func TestLineLongerThanTheLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	log := Open(name, 100)
	for range 10 {
		_, _ = log.Write([]byte(strings.Repeat("x", 300) + "\n"))
	}
	if text := read(t, name); len(text) > 400 {
		t.Errorf("%d bytes", len(text))
	}
}

func TestFileThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	log := Open(filepath.Join(dir, "log"), 1000)
	for range 2 {
		if n, err := log.Write([]byte("a\n")); n != 2 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, _ = log.Write([]byte("b\n"))
	_, _ = log.Write([]byte("c\n"))
	const want = "level=WARN msg=\"lines lost\" lines=2 err=\"no such file or directory\"\nb\nc\n"
	if got := read(t, log.name); got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

// smallDisk mounts a file system of a few pages. fill fills it, and returns what makes room again.
func smallDisk(t *testing.T, size string) (dir string, fill func() (empty func())) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func() func() {
		name := filepath.Join(dir, "filler")
		if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("fill: %v", err)
		}
		return func() {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFullFileSystemRecovers(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		dir, fill := smallDisk(t, "64k")
		log := Open(filepath.Join(dir, "log"), 1<<20)
		line := []byte(strings.Repeat("x", 1000) + "\n")
		_, _ = log.Write(line)
		empty := fill()
		for range 10 {
			_, _ = log.Write(line)
		}
		if text := read(t, log.name); len(text)%len(line) != 0 {
			t.Errorf("there is a half line: %d bytes", len(text))
		}
		empty()
		_, _ = log.Write([]byte("room\n"))
		kept := strings.Count(read(t, log.name), string(line)) // the last page has room for some
		end := fmt.Sprintf("x\nlevel=WARN msg=\"lines lost\" lines=%d err=\"no space left on device\"\nroom\n", 11-kept)
		if text := read(t, log.name); kept > 9 || !strings.HasSuffix(text, end) {
			t.Errorf("%d lines, then %q, want %q", kept, text[max(0, len(text)-100):], end)
		}
	})
}

// A log at its limit needs no room to drop its older half.
func TestLogAtItsLimitOnAFullFileSystem(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		dir, fill := smallDisk(t, "128k")
		log := Open(filepath.Join(dir, "log"), 32<<10)
		line := []byte(strings.Repeat("x", 1000) + "\n")
		for range 31 {
			_, _ = log.Write(line)
		}
		fill()
		for range 100 {
			_, _ = log.Write(line)
		}
		_, _ = log.Write([]byte("last\n"))
		text := read(t, log.name)
		if !strings.HasSuffix(text, "\nlast\n") || len(text) > 32<<10 || strings.Contains(text, "lost") {
			t.Errorf("%d bytes, ending with %q", len(text), text[max(0, len(text)-20):])
		}
	})
}

// writeLog writes a log of so many bytes that was changed that long ago.
func writeLog(t *testing.T, name string, size int, age time.Duration) {
	t.Helper()
	text := bytes.Repeat([]byte("line\n"), size/5)
	then := time.Now().Add(-age)
	for _, err := range []error{
		os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, text, 0o644), os.Chtimes(name, then, then),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// sizes lists what is in the tree.
func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files, err := Directory{Path: dir}.list()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, f := range files {
		info, err := os.Stat(f.name)
		if err != nil {
			t.Fatal(err)
		}
		got[strings.TrimPrefix(f.name, dir+"/")] = info.Size()
	}
	return got
}

func TestDirectoryOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	d := Directory{Path: dir, MaxFile: 64 << 10, MaxTotal: 200 << 10, MaxFiles: 6}
	outside := filepath.Join(t.TempDir(), "outside")
	writeLog(t, outside, 1<<20, 0)
	writeLog(t, dir+"/xen/xl-big.log", 500<<10, 0)
	writeLog(t, dir+"/xen/xl-small.log", 100, time.Hour)
	if err := errors.Join(os.Symlink(outside, dir+"/xl-link.log"), syscall.Mkfifo(dir+"/pipe", 0o600)); err != nil {
		t.Fatal(err)
	}
	monitor, err := os.OpenFile(dir+"/xen/xl-big.log", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	got := sizes(t, dir)
	if big := got["xen/xl-big.log"]; big > 33<<10 || big < 16<<10 || got["xen/xl-small.log"] != 100 {
		t.Errorf("sizes %v", got)
	}
	fmt.Fprintln(monitor, "what came later")
	text := read(t, dir+"/xen/xl-big.log")
	if !strings.HasPrefix(text, dropped+"line\n") || !strings.HasSuffix(text, "line\nwhat came later\n") ||
		strings.Contains(text, "\x00") {
		t.Errorf("log begins with %.40q and ends with %q", text, text[len(text)-30:])
	}
	if len(read(t, outside)) != 1<<20/5*5 {
		t.Error("a link was followed")
	}
}

// xl keeps ten older logs of each guest, and guests may have ever new names.
func TestOldestLogsAreDropped(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		writeLog(t, fmt.Sprintf("%s/xl-a.log.%d", dir, i), 40<<10, time.Duration(i)*time.Hour)
	}
	writeLog(t, dir+"/xl-a.log", 40<<10, 24*time.Hour) // the oldest, and in use
	monitor, err := os.OpenFile(dir+"/xl-a.log", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	if err := (Directory{Path: dir, MaxFile: 64 << 10, MaxTotal: 200 << 10, MaxFiles: 100}).Trim(); err != nil {
		t.Fatal(err)
	}
	got := sizes(t, dir)
	if len(got) != 6 || got["xl-a.log"] != 0 || got["xl-a.log.0"] == 0 || got["xl-a.log.4"] == 0 {
		t.Errorf("sizes %v, want the newest five and the one in use, emptied", got)
	}
	if err := (Directory{Path: dir, MaxFile: 64 << 10, MaxTotal: 200 << 10, MaxFiles: 3}).Trim(); err != nil {
		t.Fatal(err)
	}
	if got := sizes(t, dir); len(got) != 3 {
		t.Errorf("sizes %v, want three files", got)
	}
	fmt.Fprintln(monitor, "alive")
	if text := read(t, dir+"/xl-a.log"); text != "alive\n" {
		t.Errorf("the log in use has %q", text)
	}
}

// keep runs Keep until ok, or for a while, and returns the problems that it reported.
func keep(t *testing.T, path string, ok func() bool) []error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var problems []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		d := Directory{Path: path, MaxFile: 1 << 10, MaxTotal: 1 << 20, MaxFiles: 100, Every: time.Millisecond}
		d.Keep(ctx, func(err error) { problems = append(problems, err) })
	}()
	for range 1000 {
		if ok() {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-done
	return problems
}

func TestKeepLooksAgain(t *testing.T) {
	dir := t.TempDir()
	grown := false
	problems := keep(t, dir, func() bool {
		if !grown {
			writeLog(t, dir+"/log", 100<<10, 0)
			grown = true
		}
		return sizes(t, dir)["log"] < 2<<10
	})
	if got := sizes(t, dir); got["log"] > 2<<10 || len(problems) > 0 {
		t.Errorf("sizes %v, problems %v", got, problems)
	}
}

func TestKeepReportsAProblemOnce(t *testing.T) {
	looks := 0
	problems := keep(t, "no\x00path", func() bool { looks++; return looks > 20 })
	if len(problems) != 1 {
		t.Errorf("problems %v, want one", problems)
	}
}

// BenchmarkTrim measures a look at the logs of 20 guests.
func BenchmarkTrim(b *testing.B) {
	dir := b.TempDir()
	for i := range 200 {
		if err := os.WriteFile(fmt.Sprintf("%s/xl-%d.log", dir, i), make([]byte, 1000), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	d := Directory{Path: dir, MaxFile: 1 << 20, MaxTotal: 1 << 30, MaxFiles: 1000}
	for b.Loop() {
		if err := d.Trim(); err != nil {
			b.Fatal(err)
		}
	}
}
