package shell

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func sh(t *testing.T, input string, args ...string) (status int, out string) {
	t.Helper()
	in, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.WriteString(input); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	status = Main(args, Config{In: in, Out: &b, Err: &b})
	return status, b.String()
}

func TestScripts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("echo $1\nexit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		input  string
		args   []string
		status int
		out    string
	}{
		{"echo a\necho b", nil, 0, "a\nb\n"},
		{"", []string{"-c", "echo $1-$2; false", "sh", "x", "y"}, 1, "x-y\n"},
		{"", []string{"-l", "-c", "for i in 1 2; do\necho $i\ndone"}, 0, "1\n2\n"},
		{"", []string{file, "arg"}, 3, "arg\n"},
		{"", []string{file + "x"}, 1, "sh: open " + file + "x: no such file or directory\n"},
		{"", []string{"-x"}, 2, usage},
		{"", []string{"-c", "if"}, 1, "sh: 1:1"},
	} {
		status, out := sh(t, test.input, test.args...)
		if status != test.status || !strings.HasPrefix(out, test.out) {
			t.Errorf("%q: %d %q, want %d %q", test.args, status, out, test.status, test.out)
		}
	}
}

// TestUmask has the command that ssh-copy-id begins with.
func TestUmask(t *testing.T) {
	before := unix.Umask(0o022)
	defer unix.Umask(before)
	file := filepath.Join(t.TempDir(), "f")
	status, out := sh(t, "", "-c", "umask; cd; umask 077; umask; echo x > "+file)
	if status != 0 || out != "0022\n0077\n" {
		t.Errorf("%d %q", status, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, wrong := range []string{"umask 8", "umask u=rwx", "umask 077 022", "umask 7777"} {
		if status, out := sh(t, "", "-c", wrong); status != 1 || !strings.Contains(out, "octal number") {
			t.Errorf("%s: %d %q", wrong, status, out)
		}
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"prog-a", "prog-b", "other", "evil\x1b[2J", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	c := Config{Complete: func(command string, words []string) []string {
		if command != "guest" || words[0] != "stop" {
			return nil
		}
		return []string{"web"}
	}}
	for line, want := range map[string][]string{
		"pro":               {"", "prog-a ", "prog-b "},
		"true; pro":         {"true; ", "prog-a ", "prog-b "},
		"guest stop ":       {"guest stop ", "web "},
		"x | guest stop w":  {"x | guest stop ", "web "},
		"cat o":             {"cat ", "other "},
		"cat ":              {"cat ", "directory/", "other ", "prog-a ", "prog-b "},
		"cat .h":            {"cat ", ".hidden "},
		"cat " + dir + "/d": {"cat ", dir + "/directory/"},
		"cat none/":         {"cat "},
		dir + "/o":          {"", dir + "/other "},
	} {
		head, candidates := c.completeLine(line, dir)
		if got := append([]string{head}, candidates...); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("guest stop w")
	f.Add("a;b `c ")
	f.Fuzz(func(t *testing.T, line string) {
		c := Config{Complete: func(string, []string) []string { return nil }}
		if head, _ := c.completeLine(line, "/nowhere"); !strings.HasPrefix(line, head) {
			t.Errorf("%q: %q", line, head)
		}
	})
}
