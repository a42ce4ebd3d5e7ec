package console

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"testing"
)

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no such port") }

func TestWriteSkipsABrokenConsole(t *testing.T) {
	var a, b bytes.Buffer
	c := New(&a, broken{}, &b)
	for range 2 {
		if n, err := c.Write([]byte("x")); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if a.String() != "xx" || b.String() != "xx" {
		t.Errorf("consoles got %q and %q, want xx each", a.String(), b.String())
	}
}

func TestActive(t *testing.T) {
	for text, want := range map[string][]string{
		"tty0 hvc0\n": {"tty1", "hvc0"},
		"tty0\n":      {"tty1"},
		"":            {},
	} {
		if got := Active(text); !slices.Equal(got, want) {
			t.Errorf("Active(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestLoggerForm(t *testing.T) {
	var out bytes.Buffer
	Logger(&out, slog.LevelInfo).Info("guest running", "guest", "tty1", "domid", 1, "ms", 2210)
	if got, want := out.String(), "level=INFO msg=\"guest running\" guest=tty1 domid=1 ms=2210\n"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
}
