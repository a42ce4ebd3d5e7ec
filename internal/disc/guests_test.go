package disc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// store writes guests, name -> configuration, into a new store.
func store(t *testing.T, configs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range configs {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, name+".cfg"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckGuests(t *testing.T) {
	const good = "kernel = \"dom0\"\n"
	for _, test := range []struct {
		name    string
		configs map[string]string
		again   bool // the same store is given twice
		want    []string
	}{
		{"good", map[string]string{"a": good, "b": good}, false, nil},
		{"files of dom0's are not looked for here", map[string]string{"a": good + "disk = [ '/srv/none.img,raw,xvda,rw' ]"}, false, nil},
		{"nothing there", nil, false, []string{"there are no guests"}},
		{"every fault is named", map[string]string{"a": good + "x = \"\n", "b": "kernel = \"missing\""}, false, []string{"a.cfg:2:", "b.cfg:1:10: kernel is missing"}},
		{"taken by the demo", map[string]string{"tty1": good}, false, []string{"tty1.cfg: the name \"tty1\""}},
		{"name of a demo guest", map[string]string{"a": good + "name = \"tty2\""}, false, []string{"a.cfg: the name \"tty2\""}},
		{"directory of a demo guest", map[string]string{"tty1": good + "name = \"mine\""}, false,
			[]string{"tty1.cfg: its directory's place on the disc, /guests/tty1, is taken by the demo; rename the directory"}},
		{"not on the disc", map[string]string{"a": "kernel = \"../b/b.cfg\"", "b": good}, false,
			[]string{"a.cfg:1:10: kernel lies outside of the guest's directory"}},
		{"twice", map[string]string{"a": good}, true, []string{"the name \"a\" is taken"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &builder{Options: Options{Guests: []string{store(t, test.configs)}}}
			if test.again {
				b.Guests = append(b.Guests, filepath.Join(b.Guests[0], "a"))
			}
			err := b.checkGuests(t.Context())
			if (err != nil) != (test.want != nil) {
				t.Fatalf("checkGuests: %v, want mention of %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("checkGuests: %v, want mention of %q", err, want)
				}
			}
		})
	}
}

// Two stores are one on the disc.
func TestCheckGuestsInOnePlace(t *testing.T) {
	one := store(t, map[string]string{"web": "kernel = \"dom0\"; name = \"a\""})
	two := store(t, map[string]string{"web": "kernel = \"dom0\"; name = \"b\"", "other": "kernel = \"dom0\""})
	b := &builder{Options: Options{Guests: []string{one, two}}}
	want := filepath.Join(two, "web/web.cfg") + ": its directory's place on the disc, /guests/web, is taken by " +
		filepath.Join(one, "web/web.cfg") + "; rename the directory"
	if err := b.checkGuests(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
