package guests

import (
	"reflect"
	"strings"
	"testing"
)

func TestRestore(t *testing.T) {
	guest := guestWith(t, "kernel = 'dom0'\nmemory = 96\nvif = [ '' ]\non_crash = 'restart'\n")
	made, err := guest.Resolve(machine(guest))
	if err != nil {
		t.Fatal(err)
	}
	back, err := Restore("/run/a.cfg", made.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if back.Name != made.Name || back.UUID != made.UUID || back.Type != made.Type || back.NeedKiB() != made.NeedKiB() ||
		!reflect.DeepEqual(back.Complete.Render(), made.Complete.Render()) {
		t.Errorf("got %+v, want %+v", back, made)
	}
	for _, text := range []string{
		"", "name = 'a'", "name =", "name = ['a']", "name = 'a'\nuuid = 'u'\ntype = 'pv'\nmemory = 'x'",
	} {
		if _, err := Restore("/run/a.cfg", []byte(text)); err == nil || !strings.Contains(err.Error(), "/run/a.cfg") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRenamed(t *testing.T) {
	guest := guestWith(t, "kernel = 'dom0'\n")
	made, err := guest.Resolve(machine(guest))
	if err != nil {
		t.Fatal(err)
	}
	before := string(made.Bytes())
	other := made.Renamed("web")
	if other.Name != "web" || other.UUID != made.UUID || !strings.Contains(string(other.Bytes()), `name = "web"`) {
		t.Errorf("%s", other.Bytes())
	}
	if string(made.Bytes()) != before {
		t.Error("the guest itself was renamed")
	}
}

func TestUUID(t *testing.T) {
	a, b := UUID("seed", "a"), UUID("seed", "b")
	if a != UUID("seed", "a") || a == b || a == UUID("other", "a") {
		t.Errorf("%s %s", a, b)
	}
	if len(a) != 36 || a[14] != '8' || !strings.ContainsRune("89ab", rune(a[19])) {
		t.Errorf("%s is no UUID of version 8", a)
	}
}
