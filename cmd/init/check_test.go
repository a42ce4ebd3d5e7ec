package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/checksum"
)

func TestVerdict(t *testing.T) {
	many := strings.Split("a b c d e f g", " ")
	for name, test := range map[string]struct {
		result checksum.Result
		err    error
		want   []string
		not    string
	}{
		"good": {
			checksum.Result{Files: 78, Bytes: 39.2e6}, nil,
			[]string{"is good", "78 files", "39.2 MB"}, "Not in",
		},
		"damaged": {checksum.Result{Files: 78, Damaged: 2}, nil, []string{"DAMAGED", "78 files, 2 are not"}, "good"},
		"no list": {
			checksum.Result{}, errors.New("no list SHA256SUMS"),
			[]string{"could not be checked", "no list SHA256SUMS"}, "good",
		},
		"escapes": {checksum.Result{}, errors.New("open \x1b[2Ja"), []string{`open \x1b[2Ja`}, "\x1b"},
		"more so": {checksum.Result{Unlisted: []string{"\x1b[2Ja"}}, nil, []string{`"\x1b[2Ja"`}, "\x1b"},
		"one more": {
			checksum.Result{Files: 1, Unlisted: many[:1]}, nil,
			[]string{"is good", `not checked: "a".`}, "more",
		},
		"many more": {
			checksum.Result{Files: 1, Unlisted: many}, nil,
			[]string{`"a", "b", "c", "d", "e" and 2 more`}, `"f"`,
		},
	} {
		got := verdict(test.result, test.err)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not have %q", name, got, want)
			}
		}
		if strings.Contains(got, test.not) {
			t.Errorf("%s: %q has %q", name, got, test.not)
		}
	}
}

func TestLinesComeAboveTheStatus(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out}
	s.show("")
	_, _ = s.Write([]byte("a\n"))
	s.show("1%")
	_, _ = s.Write([]byte("b\n"))
	s.show("2%")
	s.show("")
	_, _ = s.Write([]byte("c\n"))
	const want = "a\n" + startOver + "1%" + startOver + "b\n1%" + startOver + "2%" + startOver + "c\n"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
