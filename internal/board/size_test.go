package board

import "testing"

func TestParseSize(t *testing.T) {
	for sequence, want := range map[string]size{
		"\x1b[24;80R": {80, 24}, "\x1b[43;132R": {132, 43},
		"\x1b[0;0R": {}, "\x1b[R": {}, "\x1b[1;2P": {}, "\x1b[1;2RR": {}, "R": {},
	} {
		got, ok := parseSize([]byte(sequence))
		if ok != (want != size{}) || ok && got != want {
			t.Errorf("%q: %v, %v, want %v", sequence, got, ok, want)
		}
	}
}
