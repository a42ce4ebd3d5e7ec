package printable

import (
	"strconv"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"plain, ünïcode 漢字":   "plain, ünïcode 漢字",
		`back\slash "quoted"`: `back\slash "quoted"`,
		"\x1b[2J\x1b]0;x\x07": `\x1b[2J\x1b]0;x\a`,
		"a\nb\tc\rd":          `a\nb\tc\rd`,
		"\u009b2J":            `\u009b2J`,
		"\xff\x9b":            `\xff\x9b`,
		"\uFFFD":              "\uFFFD",
		"right\u202eto left":  `right\u202eto left`,
		"nul\x00":             `nul\x00`,
		"no\u00a0break":       `no\u00a0break`,
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[2J")
	f.Add("\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		line := Line(s)
		if !utf8.ValidString(line) {
			t.Errorf("Line(%q) = %q is not valid UTF-8", s, line)
		}
		for _, r := range line {
			if !strconv.IsPrint(r) {
				t.Errorf("Line(%q) keeps %q", s, r)
			}
		}
		if again := Line(line); again != line {
			t.Errorf("Line(%q) = %q, and of that %q", s, line, again)
		}
	})
}
