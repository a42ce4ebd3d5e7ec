package console

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func logOf(text string) *Log {
	l := NewLog()
	_, _ = l.Write([]byte(text))
	return l
}

func texts(lines []Line) []string {
	var out []string
	for _, line := range lines {
		out = append(out, line.Text)
	}
	return out
}

func TestLines(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string
	}{
		{"line ends", "a\nb\r\nc\r\r\n\nd", []string{"a", "b", "c", "d"}},
		{"colours", "\x1b[1;32mgreen\x1b[0m text\n", []string{"green text"}},
		{"painted menu", "\x1b[2J\x1b[1;1HGRUB\x1b[3;4Hzerodisc\x1b[5;1H", []string{"GRUB", "zerodisc"}},
		{"window title", "\x1b]0;title\a# ls\n", []string{"# ls"}},
		{"window title, ESC \\", "\x1b]0;title\x1b\\# ls\n", []string{"# ls"}},
		{"character set", "\x1b(B\x1b)0text\n", []string{"text"}},
		{"erased typing", "lx\bs\n", []string{"ls"}},
		{"not UTF-8", "caf\xe9\n", []string{"caf?"}},
		{"NUL bytes", "\x00a\x00\n", []string{"a"}},
		{"cut escape", "a\x1b[", []string{"a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := texts(logOf(test.stream).Since(0)); !slices.Equal(got, test.want) {
				t.Errorf("lines of %q: %q, want %q", test.stream, got, test.want)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	ready := map[string]string{"level": "INFO", "msg": "ready", "guests": "2", "ms": "9120"}
	running := map[string]string{"level": "INFO", "msg": "guest running", "guest": "tty1", "domid": "1"}
	tests := []struct {
		name, stream string
		want         []map[string]string
	}{
		{"plain", "level=INFO msg=ready guests=2 ms=9120\r\n", []map[string]string{ready}},
		{"quoted", `level=INFO msg="guest running" guest=tty1 domid=1` + "\n", []map[string]string{running}},
		{"escaped", `level=ERROR msg=x err="\"a\"\n=b"` + "\n",
			[]map[string]string{{"level": "ERROR", "msg": "x", "err": "\"a\"\n=b"}}},
		{"coloured", "\x1b[1mlevel=INFO\x1b[0m msg=ready guests=2 ms=9120\n", []map[string]string{ready}},
		{"after a prompt", "zerodisc# level=INFO msg=ready guests=2 ms=9120\n", []map[string]string{ready}},
		{"kernel message in the middle", "level=INFO msg=rea[   12.345678] e1000: up\ndy guests=2 ms=9120\n",
			[]map[string]string{ready}},
		{"kernel message in the middle of a value, more after it",
			"level=INFO msg=\"guest ru[   12.345678] a: b\r\n[   12.345679] c\r\nnning\" guest=tty1 domid=1\r\n",
			[]map[string]string{running}},
		{"kernel message after the last key",
			"level=INFO msg=ready guests=2 ms=9120(XEN) d1 x\nlevel=INFO msg=\"guest running\" guest=tty1 domid=1\n",
			[]map[string]string{ready, running}},
		{"kernel message after the last key, and nothing more",
			"level=INFO msg=ready guests=2 ms=9120(XEN) uart x\r\n\r\r\n",
			[]map[string]string{ready}},
		{"kernel message after the last key, end not seen",
			"level=INFO msg=ready guests=2 ms=9120(XEN) uart x\r\n\r\r", nil},
		{"stops at what is no pair", "level=INFO msg=ready guests=2 ms=9120 # ls\n", []map[string]string{ready}},
		{"unfinished quote", "level=INFO msg=\"rea\n", nil},
		{"no msg", "level=INFO name=x\n", nil},
		{"a word that ends in level=", "loglevel=INFO msg=x\n", nil},
		{"unfinished line", "level=INFO msg=ready", nil},
		{"a guest's line", "(d1) level=INFO msg=ready guests=2 ms=9120\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := logOf(test.stream).Events(0, Query{})
			equal := func(e Event, want map[string]string) bool { return maps.Equal(e.Fields, want) }
			if !slices.EqualFunc(got, test.want, equal) {
				t.Errorf("events of %q:\n%v, want\n%v", test.stream, got, test.want)
			}
		})
	}
}

func TestMilliseconds(t *testing.T) {
	d, err := (Event{Fields: map[string]string{"ms": "412"}}).Milliseconds()
	if err != nil || d != 412*time.Millisecond {
		t.Errorf("ms=412: %v, %v", d, err)
	}
	if _, err := (Event{}).Milliseconds(); err == nil {
		t.Error("an event without ms has milliseconds")
	}
}

func TestParseQuery(t *testing.T) {
	query, err := ParseQuery(`msg="guest running" guest=tty1`)
	if err != nil || !query.Matches(logOf("level=INFO msg=\"guest running\" guest=tty1 domid=1\n").Events(0, nil)[0]) {
		t.Errorf("query %v, %v", query, err)
	}
	for _, bad := range []string{"", "ready", `msg="open`, "msg=a b"} {
		if _, err := ParseQuery(bad); err == nil {
			t.Errorf("query %q was accepted", bad)
		}
	}
}

func TestTrouble(t *testing.T) {
	tests := []struct{ line, who string }{
		{"[    1.234567] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200", "dom0's kernel"},
		{"(XEN) Panic on CPU 0:", "Xen"},
		{"(XEN) Not enough RAM for domain 0 allocation", "Xen"},
		{"No bootable device.", "firmware"},
		{"Shell> ", "firmware"},
		{"error: file `/boot/xen.gz' not found.", "GRUB"},
		{"error: out of memory.", "GRUB"},
		{"(d1) [    1.234567] Kernel panic - not syncing: VFS", ""},
		{"level=ERROR msg=stage name=network err=\"no NIC\"", ""},
		{"xl: error: file not found", ""},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			for _, end := range []string{"", "\n"} {
				_, err := logOf(test.line+end).WaitEvent(ctx, 0, Query{"msg": "never"})
				var trouble *Trouble
				if errors.As(err, &trouble) != (test.who != "") || trouble != nil && trouble.Who != test.who {
					t.Errorf("line ended by %q: error %v, want trouble of %q", end, err, test.who)
				}
			}
		})
	}
}

func TestWait(t *testing.T) {
	l := NewLog()
	go func() {
		for _, part := range []string{"zero", "disc# ", "\nlevel=INFO msg=re", "ady guests=2\n"} {
			time.Sleep(time.Millisecond)
			_, _ = l.Write([]byte(part))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if line, err := l.WaitLine(ctx, 0, regexp.MustCompile(`# $`)); err != nil || line.Text != "zerodisc# " {
		t.Errorf("prompt: %q, %v", line.Text, err)
	}
	event, err := l.WaitEvent(ctx, 0, Query{"msg": "ready"})
	if err != nil || event.Get("guests") != "2" || event.At.IsZero() {
		t.Errorf("ready: %v, %v", event, err)
	}
	if again, err := l.WaitEvent(ctx, 0, Query{"msg": "ready"}); err != nil || again.At != event.At {
		t.Errorf("ready, asked again: %v, %v", again, err)
	}
}

func TestMarkSeparatesBeforeFromAfter(t *testing.T) {
	l := logOf("level=INFO msg=a\n")
	mark := l.Mark()
	_, _ = l.Write([]byte("level=INFO msg=b\n"))
	if got := l.Events(mark, Query{}); len(got) != 1 || got[0].Get("msg") != "b" {
		t.Errorf("events after the mark: %v", got)
	}
	if got := texts(l.Since(mark)); !slices.Equal(got, []string{"level=INFO msg=b"}) {
		t.Errorf("lines after the mark: %q", got)
	}
}

func TestWaitFailsAtOnce(t *testing.T) {
	never := Query{"msg": "never"}
	ended := errors.New("qemu has exited")
	closed := NewLog()
	closed.Close(ended)
	if _, err := closed.WaitEvent(context.Background(), 0, never); !errors.Is(err, ended) {
		t.Errorf("after the end: %v", err)
	}
	expired, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewLog().WaitEvent(expired, 0, never); !errors.Is(err, ErrDeadline) {
		t.Errorf("after the deadline: %v", err)
	}
}

func TestTail(t *testing.T) {
	if got := logOf("a\nb\nc").Tail(2); got != "b\nc\n" {
		t.Errorf("tail: %q", got)
	}
}

// FuzzLog feeds arbitrary streams: nothing panics, no line holds control bytes, and cutting the
// stream elsewhere changes nothing.
func FuzzLog(f *testing.F) {
	f.Add("level=INFO msg=rea[   12.345678] e1000: up\ndy guests=2 ms=9120\n", 7)
	f.Add("\x1b[2J\x1b[1;1HGRUB\x1b]0;x\a\x1b(B \b\r\n", 3)
	f.Add(`level=INFO msg="a\"b" k=v`+"\n(XEN) Panic on CPU 0:\n", 12)
	f.Fuzz(func(t *testing.T, stream string, cut int) {
		whole, parts := logOf(stream), NewLog()
		cut = max(0, min(cut, len(stream)))
		_, _ = parts.Write([]byte(stream[:cut]))
		_, _ = parts.Write([]byte(stream[cut:]))
		lines := texts(whole.Since(0))
		if !slices.Equal(lines, texts(parts.Since(0))) {
			t.Errorf("cut at %d: other lines", cut)
		}
		for _, line := range lines {
			unprintable := func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }
			if line == "" || strings.ContainsFunc(line, unprintable) {
				t.Errorf("line %q", line)
			}
		}
		if len(whole.Events(0, nil)) != len(parts.Events(0, nil)) {
			t.Errorf("cut at %d: other events", cut)
		}
	})
}
