package board

import (
	"slices"
	"testing"
)

// keysOf are all keys in what a terminal has sent, and what is left of it.
func keysOf(sent string) (keys []Key, rest string) {
	for {
		key, n := cutKey([]byte(sent))
		if n == 0 {
			return keys, sent
		}
		keys, sent = append(keys, key), sent[n:]
	}
}

func TestKeys(t *testing.T) {
	for _, test := range []struct {
		sent string
		keys []Key
		rest string
	}{
		{"sR?", []Key{'s', 'R', '?'}, ""},
		{"\x1b[A\x1bOB\r", []Key{KeyUp, KeyDown, KeyEnter}, ""},
		{"\x1b[[A\x1b[21~", []Key{KeyF1, KeyF10}, ""},
		{"\x1b[1;5Pd", []Key{keyOther, 'd'}, ""}, // its P is no order to power off
		{"\x1b[24~\x1bP", []Key{keyOther, keyOther}, ""},
		{"\x1b[2", nil, "\x1b[2"},
		{"\x1b", nil, "\x1b"},
		{"\u00e4\x00\xff", []Key{'\u00e4', keyOther, keyOther}, ""},
	} {
		keys, rest := keysOf(test.sent)
		if !slices.Equal(keys, test.keys) || rest != test.rest {
			t.Errorf("%q: %v and %q, want %v and %q", test.sent, keys, rest, test.keys, test.rest)
		}
	}
}

func TestKeysOfActionsDiffer(t *testing.T) {
	seen := map[Key]bool{}
	for _, a := range actions {
		for _, key := range a.keys {
			if seen[key] {
				t.Errorf("two actions have the key %d", key)
			}
			seen[key] = true
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("\x1b[1;5P\x1bOP")
	f.Fuzz(func(t *testing.T, sent string) {
		if _, rest := keysOf(sent); len(rest) > maxSequence {
			t.Errorf("%q waits for more than a sequence", rest)
		}
	})
}
