package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSecretsAreRemoved(t *testing.T) {
	for text, want := range map[string]string{
		"zerodisc.password=$6$salt$hash.more/x quiet": "zerodisc.password=[removed] quiet",
		"root:$y$j9T$abc$def:19000:":                  "root:[removed]:19000:",
		"https://user:pass@web.example/x?a=b":         "https://[removed]@web.example/x?a=b",
		"https://user:p@ss@web.example/x":             "https://[removed]@web.example/x",
		"ds=nocloud;s=http://token@10.0.0.1/":         "ds=nocloud;s=http://[removed]@10.0.0.1/",
		"https://web/x?X-Amz-Signature=abc&n=1":       "https://web/x?X-Amz-Signature=[removed]&n=1",
		"zerodisc.iscsi=u:p:ui:pi@10.0.2.2::::iqn.x,a:b@c::::d"://
		"zerodisc.iscsi=[removed]@10.0.2.2::::iqn.x,[removed]@c::::d",
		`{"Password":"a b","Name":"x"}`:      `{"Password":[removed],"Name":"x"}`,
		"password-hash: $2b$10$abcdefghi":    "password-hash: [removed]",
		"  host-keys: AAAAB3Nz":              "  host-keys: [removed]",
		`vncpasswd = "geheim"`:               `vncpasswd = [removed]`,
		`"host_keys": ["a b", "c"], "x": 1`:  `"host_keys": [removed], "x": 1`,
		"Authorization: Bearer abcdefghijkl": "Authorization: Bearer [removed]",
		"one-time password: K7QX-PM2A":       "one-time password: [removed]",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\nd\n-----END OPENSSH PRIVATE KEY-----\nafter": "[removed]\nafter",
		"-----BEGIN PRIVATE KEY-----\nabc": "[removed]",
		// What is none stays.
		"level=INFO msg=\"guest running\" guest=tty1 domid=1": "level=INFO msg=\"guest running\" guest=tty1 domid=1",
		"http://10.0.2.2:8080/x and root@host":                "http://10.0.2.2:8080/x and root@host",
		"Registering the dns_resolver key type":               "Registering the dns_resolver key type",
		"costs $5 each":                                       "costs $5 each",
	} {
		if got := string(Clean([]byte(text))); got != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", text, got, want)
		}
	}
}

// FuzzClean puts a secret where secrets stand, with any text around it.
func FuzzClean(f *testing.F) {
	f.Add("a", "b", 0)
	f.Add("password=", "\n", 1)
	f.Add("x\"", "\\", 3)
	f.Fuzz(func(t *testing.T, before, after string, kind int) {
		const secret = "Zq7xSecretZq7x"
		forms := []string{
			"\n zerodisc.password=$6$salt$" + secret + "\n", "\nhttps://u:" + secret + "@host/\n",
			"\nzerodisc.iscsi=u:" + secret + "@h::::iqn\n", "\n\"chap_secret\": \"" + secret + "\"\n",
			"\n-----BEGIN RSA PRIVATE KEY-----\n" + secret + "\n-----END RSA PRIVATE KEY-----\n",
		}
		if kind < 0 || strings.Contains(before+after, secret) {
			return
		}
		text := before + forms[kind%len(forms)] + after
		if cleaned := Clean([]byte(text)); bytes.Contains(cleaned, []byte(secret)) {
			t.Errorf("%q becomes %q", text, cleaned)
		}
	})
}

// unpack returns the files of a bundle.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			files[header.Name] = string(text)
		} else if header.Typeflag != tar.TypeDir {
			t.Errorf("%s is a %c", header.Name, header.Typeflag)
		}
	}
}

// text is a piece that is there already.
func text(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), nil }
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.cfg": "vncpasswd='x'", "b.cfg": "b", "c.cfg": "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "a-directory.cfg"), 0o700); err != nil {
		t.Fatal(err)
	}
	pieces := []Piece{
		{Name: "echo.txt", Program: []string{"/bin/sh", "-c", "echo out; echo password=x >&2"}},
		{Name: "fails.txt", Program: []string{"/bin/sh", "-c", "echo said; exit 3"}},
		{Name: "missing.txt", Program: []string{"/nonexistent"}},
		{Name: "long.txt", Text: text(strings.Repeat("0123456789", 10))},
		{Name: "hangs.txt", Text: func(context.Context) ([]byte, error) { select {} }},
		{Name: "guests", Files: filepath.Join(dir, "*.cfg")},
		{Name: "none", Files: filepath.Join(dir, "*.none")},
	}
	var out bytes.Buffer
	limits := Limits{Piece: 64, Total: 1000, Time: 200 * time.Millisecond, MaxFile: 3}
	if err := Write(t.Context(), &out, "r", time.Unix(0, 0), pieces, limits); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, out.Bytes())
	problems := files["r/problems.txt"]
	delete(files, "r/problems.txt")
	want := map[string]string{
		"r/echo.txt": "out\npassword=[removed]\n", "r/fails.txt": "said\n", "r/guests/a.cfg": "vncpasswd=[removed]",
		"r/guests/b.cfg": "b", "r/long.txt": strings.Repeat("0123456789", 10)[36:],
	}
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%s: %q, want %q", name, files[name], text)
		}
	}
	if len(files) != len(want) {
		t.Errorf("files: %q", files)
	}
	for _, text := range []string{
		"fails.txt: /bin/sh -c echo said; exit 3: exit status 3", "missing.txt: /nonexistent: ",
		"long.txt: only the last 64 of 100",
		"hangs.txt: it took longer than", "1 more files are left out", "a-directory.cfg: it is no file",
	} {
		if !strings.Contains(problems, text) {
			t.Errorf("problems do not have %q:\n%s", text, problems)
		}
	}
}

func TestTotalIsBounded(t *testing.T) {
	var pieces []Piece
	for _, name := range []string{"a", "b", "c"} {
		pieces = append(pieces, Piece{Name: name, Text: text(strings.Repeat("x", 100))})
	}
	var out bytes.Buffer
	limits := Limits{Piece: 100, Total: 150, Time: time.Minute}
	if err := Write(t.Context(), &out, "r", time.Now(), pieces, limits); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, out.Bytes())
	if len(files["r/a"]) != 100 || len(files["r/b"]) != 50 || len(files["r/c"]) != 0 {
		t.Errorf("%d, %d, %d bytes", len(files["r/a"]), len(files["r/b"]), len(files["r/c"]))
	}
}

func TestCommand(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.tgz")
	for _, test := range []struct {
		args     string
		terminal bool
		code     int
	}{{"", false, 0}, {"", true, 2}, {"-h", true, 0}, {"x", false, 2}, {"-x", false, 2}, {"-o " + name, true, 0},
		{"-o " + name, true, 1}} { // a second time: nothing is overwritten
		var out, errs bytes.Buffer
		if code := Main(t.Context(), strings.Fields(test.args), nil, &out, &errs, test.terminal); code != test.code {
			t.Errorf("%s: %d, %s", test.args, code, errs.String())
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if files := unpack(t, text); len(files) != 1 {
		t.Errorf("%q", files)
	}
}
