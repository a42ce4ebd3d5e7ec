package remaster

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
)

// TestConfig puts a configuration onto a disc, and another one in its place.
func TestConfig(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"a.yaml": "hostname: first\n", "b.yaml": "hostname: second\n", "bad.yaml": "hostname: [a]\nhosts: b\n",
	})
	config := func(name string) string { return filepath.Join(dir, name) }
	first := add(t, AddOptions{In: save(t, testDisc(t)), Config: config("a.yaml")})
	second := add(t, AddOptions{In: first, Config: config("b.yaml")})
	third := add(t, AddOptions{In: second, Guests: []string{webGuest(t)}})
	for disc, want := range map[string]string{first: "hostname: first\n", second: "hostname: second\n",
		third: "hostname: second\n"} {
		if got := read(t, mustOpen(t, disc), boot.ConfigName); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var out bytes.Buffer
	if err := CheckConfig(&out, third); err != nil || !strings.Contains(out.String(), "1 settings, nothing is wrong") {
		t.Errorf("%v: %s", err, &out)
	}
	if err := CheckConfig(&out, save(t, testDisc(t))); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	out.Reset()
	if err := CheckConfig(&out, config("bad.yaml")); err == nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v: %s", err, &out)
	}
	err := Add(t.Context(), AddOptions{In: first, Out: filepath.Join(dir, "o.iso"), Config: config("bad.yaml")})
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:2:1: hosts: there is no such key") {
		t.Error(err)
	}
}
