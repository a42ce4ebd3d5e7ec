package kmod

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		first + "/b.conf": "# settings\nblacklist xen-netback\noptions e1000e IntMode=1 \\\n  debug=16\n\n",
		first + "/a.conf": "softdep e1000e pre: ext4 post: xen_netback\ninstall jbd2 /bin/true\n" +
			"install crc32c_generic /bin/false\n",
		second + "/a.conf": "blacklist e1000e\n", // the one in the first directory takes its place
		second + "/c.conf": "install ptp /sbin/modprobe ptp\nalias x y\noptions\n",
		second + "/notes":  "blacklist ptp\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	params := ParseParams("e1000e.IntMode=2")
	problems, err := Host{Config: []string{first, second, filepath.Join(first, "none")}}.configure(&params)
	if err != nil || len(problems) != 3 || !strings.Contains(problems[0].Error(), `"install ptp /sbin/modprobe ptp"`) {
		t.Fatalf("%v, problems %v", err, problems)
	}
	var k kernel
	l := NewLoader("/modules", testIndex(t), params)
	l.insert, l.live = k.insert, func(string) bool { return false }
	if err := l.Load(t.Context(), "e1000e"); err != nil {
		t.Fatal(err)
	}
	// jbd2 is not loaded, and nothing needs crc32c_generic that is; soft dependencies may fail.
	want := []string{"ptp", "e1000e IntMode=1 debug=16 IntMode=2", "xen-netback"}
	if !slices.Equal(slices.DeleteFunc(k.inserted, func(s string) bool { return s == "ext4" }), want) {
		t.Errorf("inserted %q, want %q", k.inserted, want)
	}
	if err := l.Load(t.Context(), "crc32c_generic"); !errors.Is(err, ErrBlacklisted) {
		t.Errorf("a module that must not be loaded: %v", err)
	}
	k.inserted = nil
	if err := l.Load(t.Context(), "xen-backend:vif"); err != nil || len(k.inserted) > 0 {
		t.Errorf("a module that no device gets: %v, %q", err, k.inserted)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("blacklist a\noptions b c=d\nsoftdep a pre: b post: c\ninstall a /bin/true\n\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		p := ParseParams("")
		if n := len(p.addConfig(text)); n > strings.Count(text, "\n")+1 {
			t.Errorf("%d problems", n)
		}
	})
}
