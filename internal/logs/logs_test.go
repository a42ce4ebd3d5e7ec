package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zerodisc/zerodisc/docs"
)

// clock is an uptime that a test moves.
type clock struct{ up time.Duration }

func (c *clock) uptime() time.Duration { return c.up }

func open(t *testing.T, c *clock, change func(*Options)) (*Store, string) {
	t.Helper()
	o := Options{Dir: filepath.Join(t.TempDir(), "logs"), Uptime: c.uptime}
	if change != nil {
		change(&o)
	}
	return Open(o), o.Dir
}

func read(t *testing.T, r *Reader) (string, uint64) {
	t.Helper()
	entries, lost, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%s/%d/%s/%s", e.Source, e.Number, e.Level, e.Text))
	}
	return strings.Join(lines, " "), lost
}

func TestSourcesComeInOrder(t *testing.T) {
	c := &clock{}
	s, dir := open(t, c, nil)
	r := NewReader(dir)
	defer r.Close()
	if text, _ := read(t, r); text != "" {
		t.Errorf("before the first line: %q", text)
	}
	for i, source := range []string{"b", "a", "b"} {
		c.up = time.Duration(i) * time.Second
		s.Add(source, Info, "x")
	}
	s.AddAt("kernel", time.Second/2, Critical, "early")
	if text, _ := read(t, r); text != "b/1/info/x kernel/1/crit/early a/1/info/x b/2/info/x" {
		t.Error(text)
	}
	s.Add("a", Debug, "more")
	if text, lost := read(t, r); text != "a/2/debug/more" || lost != 0 {
		t.Error(text, lost)
	}
	if text, _ := read(t, r); text != "" {
		t.Errorf("once more: %q", text)
	}
}

func TestNextProcessGoesOn(t *testing.T) {
	c := &clock{up: 7 * time.Second}
	s, dir := open(t, c, nil)
	s.Add("kernel", Info, "x")
	s = Open(Options{Dir: dir, Uptime: c.uptime})
	if from := s.From("kernel"); from != 0 {
		t.Error(from)
	}
	s.Add("kernel", Info, "y")
	s.Reached("kernel", 12)
	s.Reached("kernel", 9) // a number may start anew
	s.Reached("xen", 1<<32-1)
	if text, lost := read(t, NewReader(dir)); text != "kernel/1/info/x kernel/2/info/y" || lost != 0 {
		t.Error(text, lost)
	}
	for _, s := range []*Store{s, Open(Options{Dir: dir})} {
		if kernel, xen := s.From("kernel"), s.From("xen"); kernel != 9 || xen != 1<<32-1 {
			t.Errorf("from %d and %d", kernel, xen)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	c := &clock{}
	s, dir := open(t, c, func(o *Options) { o.Limit, o.Burst = 1000, 1e6 })
	r := NewReader(dir)
	defer r.Close()
	s.Add("a", Info, "first")
	_, _ = read(t, r)
	for i := range 1000 {
		s.Add("a", Info, fmt.Sprintf("line %d", i))
		s.Add("b", Info, "x")
	}
	var size int64
	for _, name := range []string{"a", "a.1"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 1000 || size < 500 {
		t.Errorf("%d bytes", size)
	}
	entries, lost, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	ofA := Filter{Sources: []string{"a"}}.Select(entries, -1)
	if newest := ofA[len(ofA)-1]; newest.Text != "line 999" || newest.Number != 1001 {
		t.Errorf("%+v", newest)
	}
	if want := uint64(1000 - len(ofA)); lost != want {
		t.Errorf("%d lost, want %d", lost, want)
	}
}

// TestReaderFollowsFiles reads while files take each other's places.
func TestReaderFollowsFiles(t *testing.T) {
	c := &clock{}
	s, dir := open(t, c, func(o *Options) { o.Limit, o.Burst = 2000, 1e6 })
	r := NewReader(dir)
	defer r.Close()
	var got int
	for i := range 500 {
		for range i % 7 {
			s.Add("a", Info, "a line of the log")
		}
		entries, lost, err := r.Read()
		if err != nil || lost != 0 {
			t.Fatal(lost, err)
		}
		got += len(entries)
	}
	if want := int(s.sources["a"].next - 1); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
}

func TestFlood(t *testing.T) {
	c := &clock{}
	s, dir := open(t, c, func(o *Options) { o.Burst, o.Rate = 100, 10 })
	for range 1000 {
		s.Add("guest", Info, "flood")
	}
	s.Add("init", Info, "quiet")
	entries, _, _ := NewReader(dir).Read()
	if n := len((Filter{Sources: []string{"guest"}}).Select(entries, -1)); n != 100 {
		t.Errorf("%d lines of the flood", n)
	}
	if n := len((Filter{Sources: []string{"init"}}).Select(entries, -1)); n != 1 {
		t.Errorf("%d lines of another source", n)
	}
	c.up += time.Second // 10 lines' worth: too few to speak
	s.tellDropped()
	c.up += 2 * time.Second
	s.tellDropped()
	s.Add("guest", Info, "after")
	text, _ := read(t, NewReader(dir))
	if !strings.HasSuffix(text, "guest/101/warning/900 lines left out: too many at once guest/102/info/after") {
		t.Errorf("%s", text[max(0, len(text)-200):])
	}
}

func TestManySources(t *testing.T) {
	c := &clock{}
	s, dir := open(t, c, func(o *Options) { o.MaxSources = 3 })
	for _, name := range []string{"a", "../b", "c", "d", "e", ""} {
		s.Add(name, Info, name)
	}
	want := "---b/1/info/../b a/1/info/a c/1/info/c other/1/info/d other/2/info/e other/3/info/"
	if text, _ := read(t, NewReader(dir)); text != want {
		t.Error(text)
	}
}

func TestNoRoom(t *testing.T) {
	c := &clock{}
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory should be
		t.Fatal(err)
	}
	s := Open(Options{Dir: dir, Uptime: c.uptime})
	s.Add("a", Info, "lost")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.Add("a", Info, "kept")
	if text, _ := read(t, NewReader(dir)); text != "a/2/info/kept" {
		t.Error(text)
	}
}

func TestWriters(t *testing.T) {
	c := &clock{}
	s, dir := open(t, c, nil)
	fmt.Fprint(s.Writer("init"), "level=INFO msg=ready\nlevel=ERROR msg=\"a b\" err=x\nlevel=DEBUG+1 msg=d\nplain\n")
	fmt.Fprint(s.Services(), "xenstored: said: \x1b[2J\nno name here\n")
	want := `init/1/info/msg=ready init/2/err/msg="a b" err=x init/3/debug/msg=d init/4/info/plain ` +
		`other/1/info/no name here xenstored/1/info/said: \x1b[2J`
	if text, _ := read(t, NewReader(dir)); text != want {
		t.Errorf("%s\nwant %s", text, want)
	}
}

func TestFilter(t *testing.T) {
	warning := Warning
	entries := []Entry{
		{Source: "a", Up: 1, Level: Error, Text: "1"}, {Source: "b", Up: 2, Level: Info, Text: "2"},
		{Source: "a", Up: 3, Level: Info, Text: "3"}, {Source: "b", Up: 4, Level: Warning, Text: "4"},
	}
	for _, test := range []struct {
		filter Filter
		last   int
		want   string
	}{
		{Filter{}, -1, "1234"}, {Filter{}, 2, "34"}, {Filter{}, 0, ""},
		{Filter{Sources: []string{"a"}}, -1, "13"}, {Filter{Sources: []string{"a", "b"}}, -1, "1234"},
		{Filter{Level: &warning}, -1, "14"}, {Filter{Since: 3}, -1, "34"},
		{Filter{Sources: []string{"b"}, Level: &warning, Since: 2}, 5, "4"},
	} {
		var got strings.Builder
		for _, e := range test.filter.Select(entries, test.last) {
			got.WriteString(e.Text)
		}
		if got.String() != test.want {
			t.Errorf("%+v, last %d: %s, want %s", test.filter, test.last, got.String(), test.want)
		}
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	up := 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"10m": up - 10*time.Minute, "11:30": up - time.Hour/2, "11:59:59": up - time.Second,
		"2026-11-27 06:00": up - 6*time.Hour, "2026-11-26": -12 * time.Hour, "2026-11-27T11:00:00Z": up - time.Hour,
	} {
		if got, err := ParseSince(text, now, up); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := ParseSince("yesterday", now, up); err == nil || !strings.Contains(err.Error(), "10m") {
		t.Error(err)
	}
}

func TestCommand(t *testing.T) {
	c := &clock{up: Uptime()}
	s, dir := open(t, c, nil)
	s.Add("init", Info, "msg=ready")
	s.Add("kernel", Error, "bad")
	for _, test := range []struct{ args, out, errs string }{
		{"", "init: msg=ready\n", ""}, {"-level err", "kernel: err: bad\n", ""},
		{"-source kernel -o json", `"source":"kernel","number":1,"level":"err","text":"bad"}`, ""},
		{"-source xen", "", `logs: nothing comes from "xen"; sources are init, kernel`},
		{"-level loud", "", `"loud" is no level; levels are emerg`}, {"-o xml", "", "formats are json, short"},
		{"-since never", "", "is no time"}, {"-h", "", "the newest 50 lines"}, {"x", "", `"x": want flags only`},
	} {
		var out, errs bytes.Buffer
		Main(t.Context(), strings.Fields(test.args), dir, &out, &errs)
		if !strings.Contains(out.String(), test.out) || !strings.Contains(errs.String(), test.errs) ||
			test.errs == "" && errs.Len() > 0 {
			t.Errorf("logs %s: %q, %q", test.args, out.String(), errs.String())
		}
	}
}

// TestExamples runs the examples of docs/operations.md.
func TestExamples(t *testing.T) {
	s, dir := open(t, &clock{up: Uptime()}, nil)
	s.Add("kernel", Warning, "hot")
	s.Add("xen", Info, "quiet")
	for _, e := range docs.Of(t, "logs") {
		args := strings.Fields(strings.Replace(e.Text, "NAME", "kernel", 1))[1:]
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what follows the log ends once it has shown what there is
		var out, errs bytes.Buffer
		status := Main(ctx, args, dir, &out, &errs)
		if status != 0 || errs.Len() > 0 || !strings.Contains(out.String(), "hot") {
			t.Errorf("%s: %d, %s%s", e.Text, status, &out, &errs)
		}
	}
}

func TestCommandFollows(t *testing.T) {
	c := &clock{up: Uptime()}
	s, dir := open(t, c, nil)
	s.Add("init", Info, "before")
	ctx, cancel := context.WithCancel(t.Context())
	out := writerFunc(func(p []byte) (int, error) {
		switch text := string(p); {
		case strings.Contains(text, "before"):
			s.Add("kernel", Info, "after")
		case strings.Contains(text, "after"):
			cancel()
		}
		return len(p), nil
	})
	if code := Main(ctx, []string{"-f", "-n", "1"}, dir, out, os.Stderr); code != 0 {
		t.Error(code)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestTimeAfterTheClockWasSet(t *testing.T) {
	e := Entry{Up: 10 * time.Second}
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	if got, want := e.Time(now, time.Minute), now.Add(-50*time.Second); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestReadFromNowhere(t *testing.T) {
	if _, err := tail(filepath.Join(t.TempDir(), "x"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("1 2 3 text")
	f.Add("18446744073709551615 3153600000000000 7 \x1b")
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := parseLine("s", line)
		if !ok {
			return
		}
		if len(e.Text) > maxText || !utf8.ValidString(e.Text) {
			t.Errorf("%q", e.Text)
		}
		if again, ok := parseLine("s", strings.TrimSuffix(e.line(), "\n")); !ok || again != e {
			t.Errorf("%+v, and of that %+v", e, again)
		}
	})
}
