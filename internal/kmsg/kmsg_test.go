package kmsg

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		record, line string
		level        int
	}{
		{"2,839,38414053,-;EXT4-fs error (device loop6): path /media/a\\x1b[31m: bad\n SUBSYSTEM=block\n",
			"[   38.414053] EXT4-fs error (device loop6): path /media/a\\x1b[31m: bad", 2},
		{"6,1,0,c,caller=T1;a; b\n", "[    0.000000] a; b", 6},
		{"14,840,5,-;written by a program\n", "", 0}, {"6,1,99999999999999999999,-;a\n", "", 0},
		{"x,1,2,-;a\n", "", 0}, {"3,1,-2,-;a\n", "", 0}, {"3,1;a\n", "", 0}, {"", "", 0},
	} {
		if line, level := parse(test.record); line != test.line || level != test.level {
			t.Errorf("%q: %q, %d, want %q, %d", test.record, line, level, test.line, test.level)
		}
	}
}

func TestLevel(t *testing.T) {
	for cmdline, want := range map[string]int{
		"console=hvc0": 7, "quiet": 4, "quiet loglevel=7": 7, "loglevel=x quiet": 4, "loglevel=1": 1,
	} {
		if got := Level(boot.ParseCmdline(cmdline)); got != want {
			t.Errorf("%q: %d, want %d", cmdline, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("2,839,38414053,-;EXT4-fs error\n SUBSYSTEM=block\n")
	f.Fuzz(func(t *testing.T, record string) {
		if line, level := parse(record); strings.Contains(line, "\n") || level < 0 || level > verbose {
			t.Errorf("%q, %d", line, level)
		}
	})
}

// follow returns the first of the kernel's messages from a number on.
func follow(t *testing.T, from uint64) Record {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var first *Record
	err := Follow(ctx, from, func(r Record, _ uint64) {
		if first == nil {
			first = &r
		}
		cancel()
	})
	if first == nil {
		t.Skip("the kernel says nothing here: ", err)
	}
	return *first
}

// Whoever follows goes on where somebody else has stopped.
func TestFollow(t *testing.T) {
	first := follow(t, 0)
	second := follow(t, first.Number+1)
	if second.Number <= first.Number || second.Up < first.Up-time.Minute {
		t.Errorf("%+v after %+v", second, first)
	}
}
