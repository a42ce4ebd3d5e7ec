package guests

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// tree writes files, name -> content, into a new directory. A name that ends in / is an empty
// directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == path {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLoad(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		guest string // its name
		fault string // or the error, DIR for the directory
	}{
		{"named", map[string]string{"g/a.cfg": "name='web 1'"}, "web 1", ""},
		{"named after the directory", map[string]string{"g/a.cfg": "memory=1"}, "g", ""},
		{"capitals", map[string]string{"g/A.CFG": ""}, "g", ""},
		{"hidden file", map[string]string{"g/a.cfg": "", "g/._a.cfg": "\x00"}, "g", ""},
		{"directory called cfg", map[string]string{"g/a.cfg": "", "g/b.cfg/": ""}, "g", ""},
		{"none", map[string]string{"g/README": ""}, "",
			"DIR: there is no *.cfg in this guest directory; add one, or remove the directory"},
		{"several", map[string]string{"g/a.cfg": "", "g/b.cfg": ""}, "",
			"DIR: there are several configurations: a.cfg, b.cfg; " +
				"keep one *.cfg, and give each further guest a directory of its own"},
		{"syntax", map[string]string{"g/a.cfg": "a=\n"}, "",
			"DIR/a.cfg:1:3: expected a value, found the end of the line; " +
				"give a string in quotes, a number or a [ list ]"},
		{"number as name", map[string]string{"g/a.cfg": "\nname = 17"}, "",
			`DIR/a.cfg:2:8: "17" cannot be a guest's name: it is a number, which xl takes for a domain id; ` +
				"choose another name"},
		{"slash in the name", map[string]string{"g/a.cfg": "name = '../x'"}, "",
			`DIR/a.cfg:1:8: "../x" cannot be a guest's name: ` +
				"it holds a slash or a character that cannot be printed; choose another name"},
		{"list as name", map[string]string{"g/a.cfg": "name = ['x']"}, "",
			"DIR/a.cfg:1:8: name is a list but has to be a single value; " +
				`write name = "VALUE" without brackets`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(tree(t, test.files), "g")
			guest, err := Load(dir)
			if err != nil {
				if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != test.fault {
					t.Errorf("got  %s\nwant %s", got, test.fault)
				}
				return
			}
			if guest.Name != test.guest || test.fault != "" || guest.Dir != dir || filepath.Dir(guest.File) != dir {
				t.Errorf("got %+v", guest)
			}
		})
	}
}

func TestLoadAbsent(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "gone"))
	var fault *Error
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &fault) || fault.Guest != "gone" {
		t.Errorf("got %#v", err)
	}
}

func TestNameFault(t *testing.T) {
	for name, want := range map[string]bool{
		"tty1": true, "Web Server_2.0": true, "grün": true, "1a": true, strings.Repeat("a", 200): true,
		"": false, "  ": false, "12": false, "-x": false, ".x": false, "a/b": false, "a\nb": false,
		"a\x00": false, "\xff": false, "Domain-0": false, strings.Repeat("a", 201): false,
	} {
		if got := nameFault(name); (got == "") != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestScan(t *testing.T) {
	root := tree(t, map[string]string{
		"one/zeta/z.cfg":     "name='alpha'",
		"one/beta/b.cfg":     "",
		"one/bad/b.cfg":      "a=[",
		"one/empty/":         "",
		"one/.hidden/h.cfg":  "a=[",
		"one/README":         "not a guest",
		"one/loose.cfg":      "name='loose'",
		"two/beta/again.cfg": "\nname='beta'",
		"two/gamma/g.cfg":    "",
	})
	one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
	guests, faults := Scan(one, two, filepath.Join(root, "absent"))

	var names, texts []string
	for _, guest := range guests {
		names = append(names, guest.Name)
	}
	for _, fault := range faults {
		texts = append(texts, fault.Guest+": "+strings.ReplaceAll(fault.Error(), root, ""))
	}
	if want := []string{"alpha", "beta", "gamma"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	want := []string{
		"bad: /one/bad/b.cfg:1:3: the list has no end; close it with ]",
		"empty: /one/empty: there is no *.cfg in this guest directory; add one, or remove the directory",
		"loose.cfg: /one/loose.cfg: the configuration is not in a directory of its own; move it to /one/loose/",
		`beta: /two/beta/again.cfg:2:6: the name "beta" is taken by /one/beta/b.cfg; give one of them another name`,
	}
	if !reflect.DeepEqual(texts, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
}

func TestScanUnreadableStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if guests, faults := Scan(file); len(guests) != 0 || len(faults) != 1 {
		t.Errorf("got %v, %v", guests, faults)
	}
}
