package sha256sums

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	hexA = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a"
	hexB = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" // of "b"
)

var sumA, sumB = sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []Sum
	}{
		"empty":    {"", nil},
		"two":      {hexA + "  ./tty9/tty9.cfg\n" + hexB + " *b\n", []Sum{{"./tty9/tty9.cfg", sumA}, {"b", sumB}}},
		"no end":   {hexA + "  a", []Sum{{"a", sumA}}},
		"capitals": {strings.ToUpper(hexA) + "  a\n", []Sum{{"a", sumA}}},
		"windows":  {hexA + " *a\r\n\r\n" + hexB + " *b\r\n", []Sum{{"a", sumA}, {"b", sumB}}},
		"comments": {"# of today\n\n" + hexA + "  a\n", []Sum{{"a", sumA}}},
		"spaces":   {hexA + "   a b \n", []Sum{{" a b ", sumA}}},
		"escapes":  {`\` + hexA + `  a\\b\nc\rd` + "\n", []Sum{{"a\\b\nc\rd", sumA}}},
		"plain \\": {hexA + `  a\b` + "\n", []Sum{{`a\b`, sumA}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(test.text))
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a page":      {"<html>\n", "line 1: not"},
		"short sum":   {hexA + "  a\n" + hexA[1:] + "  b\n", "line 2: not"},
		"no hex":      {"g" + hexA[1:] + "  a\n", "line 1: not"},
		"one space":   {hexA + " ab\n", "line 1: not"},
		"no path":     {hexA + "  \n", "line 1: not"},
		"BSD form":    {"SHA256 (a) = " + hexA + "\n", "line 1: not"},
		"escape":      {`\` + hexA + `  a\tb` + "\n", "line 1: "},
		"escape ends": {`\` + hexA + `  a\` + "\n", "line 1: "},
		"zero":        {hexA + "  a\x00b\n", `line 1: the path "a\x00b" has`},
		"long path":   {hexA + "  " + strings.Repeat("a", maxPath+1), "line 1: a path is longer"},
		"long":        {"\n" + hexA + "  " + strings.Repeat("a", maxLine), "line 2: longer"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(strings.NewReader(test.text)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestFormatRefuses(t *testing.T) {
	for _, path := range []string{"", "a\x00", strings.Repeat("a", maxPath+1)} {
		if err := Format(&bytes.Buffer{}, []Sum{{Path: path}}); err == nil {
			t.Errorf("%q was written", path)
		}
	}
}

// TestSha256sum holds both directions to the tool whose form it is.
func TestSha256sum(t *testing.T) {
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("there is no sha256sum here")
	}
	dir := t.TempDir()
	names := []string{"a", "b c", `back\slash`, "line\nfeed", " *star"}
	var want []Sum
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, Sum{name, sha256.Sum256([]byte(name))})
	}
	command := exec.Command(tool, append([]string{"--"}, names...)...)
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(bytes.NewReader(out))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("sha256sum's list reads as %q, %v, want %q", got, err, want)
	}
	var ours bytes.Buffer
	if err := Format(&ours, want); err != nil || !bytes.Equal(ours.Bytes(), out) {
		t.Errorf("Format writes %q, %v, sha256sum %q", ours.Bytes(), err, out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hexA + "  ./tty9/tty9.cfg\n" + hexB + " *b\r\n"))
	f.Add([]byte(`\` + hexA + `  a\\b\nc\rd` + "\n# comment\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		var list bytes.Buffer
		if err := Format(&list, sums); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(&list)
		if err != nil || !slices.Equal(again, sums) {
			t.Errorf("%q became %q, %v", sums, again, err)
		}
	})
}
