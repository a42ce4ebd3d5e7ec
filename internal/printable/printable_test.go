package printable

import (
	"strconv"
	"strings"
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

func TestWriter(t *testing.T) {
	for _, test := range []struct {
		parts []string
		want  string
	}{
		{[]string{"a\tb\n", "c"}, "a\tb\nc"},
		{[]string{"a\x1b[", "31mb\r\n\n"}, "a\\x1b[31mb\\r\n\n"},
		{[]string{"\xc3", "\xa4\n"}, "ä\n"},
		{[]string{strings.Repeat("x", maxLine+1), "\n"}, strings.Repeat("x", maxLine+1) + "\n"},
		{nil, ""},
	} {
		var out strings.Builder
		w := &Writer{To: &out}
		for _, part := range test.parts {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Errorf("%q: %d, %v", part, n, err)
			}
		}
		if err := w.Flush(); err != nil || out.String() != test.want {
			t.Errorf("%.40q: %.40q, %v, want %.40q", test.parts, out.String(), err, test.want)
		}
	}
}
