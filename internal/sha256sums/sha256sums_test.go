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
		"two":      {hexA + "  ./a/a.cfg\n" + hexB + " *b\n", []Sum{{"./a/a.cfg", sumA}, {"b", sumB}}},
		"no end":   {hexA + "  a", []Sum{{"a", sumA}}},
		"capitals": {strings.ToUpper(hexA) + "  a\n", []Sum{{"a", sumA}}},
		"windows":  {hexA + " *a\r\n\r\n" + hexB + " *b\r\n", []Sum{{"a", sumA}, {"b", sumB}}},
		"comments": {"# of today\n\n" + hexA + "  a\n", []Sum{{"a", sumA}}},
		"spaces":   {hexA + "   a b \n", []Sum{{" a b ", sumA}}},
		"escapes":  {`\` + hexA + `  a\\b\nc\rd` + "\n", []Sum{{"a\\b\nc\rd", sumA}}},
		"plain \\": {hexA + `  a\b` + "\n", []Sum{{`a\b`, sumA}}},
		"tag":      {"SHA256 (a b) = " + hexA + "\n", []Sum{{"a b", sumA}}},
		"tag, \\":  {`\SHA256 (a\nb) = ` + hexA + "\n", []Sum{{"a\nb", sumA}}},
		"no mode":  {hexA + " a\n" + hexB + "\tb\n", []Sum{{"a", sumA}, {"b", sumB}}},
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
		"two forms":   {hexA + "  a\n" + hexB + " b\n", "line 2: not"},
		"then modes":  {hexA + " a\n" + hexB + "  b\n", "line 2: not"},
		"then binary": {hexA + " a\n" + hexB + " *b\n", "line 2: not"},
		"no path":     {hexA + "  \n", "line 1: not"},
		"other tag":   {"SHA512 (a) = " + hexA + hexA + "\n", "line 1: not"},
		"short tag":   {"SHA256 (a) = " + hexA[1:] + "\n", "line 1: not"},
		"tag, open":   {"SHA256 (a = " + hexA + "\n", "line 1: not"},
		"mark":        {"\ufeff" + hexA + "  a\n", "line 1: begins with a byte order mark"},
		"PowerShell":  {"\xff\xfec\x00a\x00\r\x00\n\x00", "line 1: begins with a byte order mark"},
		"--zero":      {hexA + "  a\x00" + hexB + "  b\x00", `line 1: the path "a\x00` + hexB},
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

// TestParsesWhatTheToolReads holds Parse to "sha256sum --check --strict" for files that are all there.
func TestParsesWhatTheToolReads(t *testing.T) {
	tool := sha256sum(t)
	dir := t.TempDir()
	for _, name := range []string{"a", " a", "*a", "a)b", "a b", "a\nb", `a\b`} {
		write(t, dir, name, "a")
	}
	for _, list := range []string{
		"X  a\n", "X *a\n", "X a\n", "X\ta\n", "X\t a\n", "X\t*a\n", "  X  a\n", "\tX  a\n", "X  a",
		"X  a\r\n", "\r\nX  a\n", "SHA256 (a) = X\r\n",
		"X a b\n", "X a\nX\ta\n", "X  a\nX a\n", "X *a\nX  a\n", "X *a\nX\ta\n",
		"X  a\nSHA256 (a) = X\nX a\n", "X a\nSHA256 (a) = X\n",
		"SHA256 (a) = X\n", "SHA256(a)= X\n", "SHA256(a)=X\n", "SHA256 (a) \t=\t X\n", " SHA256 (a) = X\n",
		"SHA256 (a)b) = X\n", "SHA256  (a) = X\n", "SHA256\t(a) = X\n", "sha256 (a) = X\n", "SHA512 (a) = X\n",
		"SHA256 (a) = X \n", "SHA256 (a) X\n", "SHA256 ( = X\n", "SHA256 = X\n", "SHA256 a) = X\n", "SHA256 (a) = X0\n",
		`\X  a\nb` + "\n", ` \X  a\nb` + "\n", `\X a\nb` + "\n", `\SHA256 (a\nb) = X` + "\n",
		`\X  a\tb` + "\n", `\X  a\\b` + "\n", `X  a\b` + "\n", `\\X  a` + "\n", `\ X  a` + "\n",
		"#\n\nX  a\n", "X  a\n \n", "X  a\n #\n", "\ufeffX  a\n",
		"X\n", "X \n", "X0  a\n", "X-a\n", "0X  a\n", "XX\n", "a  X\n",
	} {
		text := strings.ReplaceAll(list, "X", hexA)
		_, err := Parse(strings.NewReader(text))
		check := exec.Command(tool, "--check", "--strict")
		check.Dir, check.Stdin = dir, strings.NewReader(text)
		out, refused := check.CombinedOutput()
		if (err == nil) != (refused == nil) {
			t.Errorf("%q: Parse says %v, sha256sum %v: %s", list, err, refused, out)
		}
	}
}

// sha256sum is the tool's path.
func sha256sum(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("there is no sha256sum here")
	}
	return tool
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestParsesWhatTheToolWrites reads lists of sha256sum's, and writes the one without options as it does.
func TestParsesWhatTheToolWrites(t *testing.T) {
	tool := sha256sum(t)
	dir := t.TempDir()
	names := []string{"a", "b c", `back\slash`, "line\nfeed", " *star", "a) = b"}
	var want []Sum
	for _, name := range names {
		write(t, dir, name, name)
		want = append(want, Sum{name, sha256.Sum256([]byte(name))})
	}
	for _, option := range []string{"--text", "--binary", "--tag"} {
		command := exec.Command(tool, append([]string{option, "--"}, names...)...)
		command.Dir = dir
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(bytes.NewReader(out))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("sha256sum %s: its list reads as %q, %v, want %q", option, got, err, want)
		}
		var ours bytes.Buffer
		if err := Format(&ours, want); option == "--text" && (err != nil || !bytes.Equal(ours.Bytes(), out)) {
			t.Errorf("Format writes %q, %v, sha256sum %q", ours.Bytes(), err, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hexA + "  ./tty9/tty9.cfg\n" + hexB + " *b\r\n"))
	f.Add([]byte(`\` + hexA + `  a\\b\nc\rd` + "\n# comment\n\n"))
	f.Add([]byte(`\SHA256 (a)\nb) = ` + hexA + "\n" + hexA + "\t*a\n"))
	f.Add([]byte(hexA + " a\n" + hexB + "  b\n"))
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
