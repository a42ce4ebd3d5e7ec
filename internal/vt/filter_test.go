package vt

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFilter(t *testing.T) {
	for in, want := range map[string]string{
		"login: ä漢\r\n\t\b":                          "login: ä漢\r\n\t\b",
		"a\x07b\x00c\x7fd":                           "abcd",
		"\x1b[1;31mred\x1b[0m\x1b[38:5:3m":           "\x1b[1;31mred\x1b[0m\x1b[38:5:3m",
		"\x1b[2J\x1b[H\x1b[10;20f\x1b[3;20r":         "\x1b[2J\x1b[H\x1b[10;20f\x1b[3;20r",
		"\x1b7\x1b8\x1bM\x1bD\x1bc\x1b=\x1b(0\x1b(B": "\x1b7\x1b8\x1bM\x1bD\x1bc\x1b=\x1b(0\x1b(B",
		"\x1b[?25l\x1b[?1h\x1b[4h":                   "\x1b[?25l\x1b[?1h\x1b[4h",

		"a\x1b[12;1]b":                                "ab",  // switches to another screen
		"a\x1b[14]\x1b[9;1]\x1b[10;20]b":              "ab",  // goes dark; beeps
		"a\x1b[1q\x1b[3qb":                            "ab",  // the keyboard's lights
		"a\x1b[6n\x1b[5n\x1b[c\x1bZb":                 "ab",  // answers
		"a\x1b]P1ff0000b\x1b]Rc":                      "abc", // colours
		"a\x1b]0;title\x07b":                          "ab",
		"a\x1b]0;title\x1b\\b":                        "ab",
		"a\x1b]52;c;\r\nb":                            "a\r\nb", // its end was forgotten
		"a\x1bPq#0\x1b\\b\x1b_x\x1b\\":                "ab",
		"a\x1b[?1000h\x1b[?8l\x1b[20hb":               "ab", // the mouse, repeated keys, what Enter sends
		"a\x1b[?25;1000;7hb":                          "a\x1b[?25;7hb",
		"a\x1b[>c\x1b[!p\x1b[=5hb":                    "ab",
		"a\x1b[[Ab":                                   "ab",
		"a\x1b%@\x1b#8\x1b(Kb":                        "ab", // encoding, test picture, font
		"a\u009b12;1]b\u0085\u00a0":                   "a12;1]b\u00a0",
		"a\x9b12;1]b\xff":                             "a?12;1]b?",
		"a\xc3\x1b[1mb\xe6\xbc":                       "a?\x1b[1mb",
		"a\x1b[1\x18b\x1b[1\x1ac":                     "abc",
		"a\x1b[1\x1b[0mb":                             "a\x1b[0mb",
		"a\x1b[999999Ab":                              "ab",
		"a\x1b[" + strings.Repeat("1;", 40) + "mb\nc": "a\nc",
	} {
		var f Filter
		if got := string(f.Append(nil, []byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// harmless is all that may reach the kernel's terminal.
var harmless = regexp.MustCompile(`^(?:[\x08-\x0f -~]|[^\x00-\x{9f}]|\x1b[DEHM78c=>]|\x1b[()][B0]|` +
	"\x1b\\[[0-9;]*[@ABCDEFGHJKLMPXadefgmrsu`]|\x1b\\[[0-9;:]*m|\x1b\\[4(;4)*[hl]|" +
	`\x1b\[\?(1|5|6|7|25)(;(1|5|6|7|25))*[hl])*$`)

func FuzzFilter(f *testing.F) {
	f.Add([]byte("a\x1b[12;1]b\x1b]P1ff0000\x1b[6n\x1b[1;31mä"), 3)
	f.Add([]byte("\x1b[[A\x1b]0;x\x07\xc3\x9b\x1bP\x1b\\\x1b[?25;1000h\x1b(K"), 5)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, parts Filter
		out := whole.Append(nil, in)
		if !utf8.Valid(out) || !harmless.Match(out) {
			t.Errorf("%q becomes %q", in, out)
		}
		if len(whole.held) > maxSequence {
			t.Errorf("%d bytes are held", len(whole.held))
		}
		at := 0
		if len(in) > 0 {
			at = int(uint(cut) % uint(len(in)))
		}
		first := parts.Append(nil, in[:at])
		if !utf8.Valid(first) || !harmless.Match(first) {
			t.Errorf("%q becomes %q", in[:at], first)
		}
		if again := parts.Append(first, in[at:]); string(again) != string(out) {
			t.Errorf("%q in parts of %d becomes %q, whole %q", in, at, again, out)
		}
	})
}
