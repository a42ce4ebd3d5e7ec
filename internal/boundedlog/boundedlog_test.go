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
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
