package vm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/console"
)

// TestBreakage holds what is the emulator's fault apart from what is ours.
func TestBreakage(t *testing.T) {
	for line, want := range map[string]bool{
		"[    1.834567] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI":     true,
		"[    1.834567] Oops: 0002 [#1] PREEMPT SMP NOPTI":           false,
		"[    1.834567] BUG: kernel NULL pointer dereference":        false,
		"[    1.834567] Kernel panic - not syncing: Fatal exception": false,
		"(XEN) Panic on CPU 0:":                                      false,
		"(XEN) d1v0 Triple fault - invoking HVM shutdown action 1":   false,
		`level=ERROR msg="guest refused" guest=x err="Oops, int3"`:   false,
	} {
		log := console.NewLog()
		_, _ = log.Write([]byte(line + "\n"))
		if got := breakage(log); (got != "") != want {
			t.Errorf("%s: the emulator broke %q", line, got)
		}
	}
}

// A guest that ends by its own fault has its own instruction in Xen's dump, and its descriptors are in place.
func TestEmulatorEnded(t *testing.T) {
	for _, dump := range []struct {
		rip, cr2 string
		want     int
	}{
		{rip: "e008:[<ffff82d040215abd>]", cr2: "ffff82d040215abd", want: 1},
		{rip: "0010:[<ffffffff8109a7c9>]", cr2: "fffffe0000000080", want: 1},
		{rip: "0010:[<ffffffff81000000>]", cr2: "0000000000000000", want: 0},
		{rip: "0010:[<ffffffff81000000>]", cr2: "fffffe0000001080", want: 0},
	} {
		log := console.NewLog()
		_, _ = log.Write([]byte("(XEN) *** Dumping Dom1 vcpu#0 state: ***\n(XEN) RIP:    " + dump.rip + "\n" +
			"level=INFO msg=ready guests=1\n(XEN) RFLAGS: 0000000000000246   CONTEXT: hvm guest (d1v0)\n" +
			"(XEN) cr3: 00000000006f8000   cr2: " + dump.cr2 + "\n"))
		if got := emulatorEnded(log); got != dump.want {
			t.Errorf("%+v: the emulator ended %d guests", dump, got)
		}
	}
}

func TestNoteBroken(t *testing.T) {
	list := filepath.Join(t.TempDir(), "broken.txt")
	if err := os.WriteFile(list, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(brokenFile, list)
	for want := 1; want <= 3; want++ {
		if got, err := noteBroken("TestX", "it broke\nand this is how"); err != nil || got != want {
			t.Errorf("machine %d: %d, %v", want, got, err)
		}
	}
	text, err := os.ReadFile(list)
	if want := "TestX: it broke\nTestX: it broke\nTestX: it broke\n"; err != nil || string(text) != want {
		t.Errorf("list %q, %v", text, err)
	}
	t.Setenv(brokenFile, filepath.Join(list, "none"))
	if _, err := noteBroken("TestX", "it broke"); err == nil {
		t.Error("no error without a list")
	}
}
