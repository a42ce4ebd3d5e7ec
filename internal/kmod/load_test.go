package kmod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// kernel stands for the kernel: it records what is inserted.
type kernel struct {
	mu       sync.Mutex
	inserted []string
	errs     map[string]error
	delay    time.Duration
}

func (k *kernel) insert(path, options string) error {
	time.Sleep(k.delay)
	name := strings.TrimSuffix(filepath.Base(path), ".ko")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inserted = append(k.inserted, strings.TrimSpace(name+" "+options))
	return k.errs[name]
}

func testLoader(t *testing.T, k *kernel, cmdline string) *Loader {
	l := NewLoader("/modules", testIndex(t), ParseParams(cmdline))
	l.insert = k.insert
	l.live = func(string) bool { return false }
	return l
}

func TestLoadOrder(t *testing.T) {
	var k kernel
	l := testLoader(t, &k, "e1000e.IntMode=1 quiet xen-netback.a=x xen_netback.b")
	for _, name := range []string{"fs-ext4", "fs-ext4", "xen-backend:vif", "net-pf-1"} {
		if err := l.Load(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Load(t.Context(), "e1000e", "debug=16"); err != nil {
		t.Fatal(err)
	}
	want := []string{"crc32c_generic", "jbd2", "ext4", "ptp", "xen-netback a=x b", "e1000e IntMode=1 debug=16"}
	if !slices.Equal(k.inserted, want) {
		t.Errorf("inserted %q, want %q", k.inserted, want)
	}
}

func TestLoadErrors(t *testing.T) {
	k := kernel{errs: map[string]error{
		"jbd2": unix.ENOEXEC, "libata": unix.EEXIST, "atkbd": unix.ENODEV, "crc32c_generic": unix.ENOENT,
	}}
	l := testLoader(t, &k, "")
	for name, test := range map[string]struct {
		err  error
		text string
	}{
		"ahci":    {nil, ""},
		"ext4":    {unix.ENOEXEC, "load module ext4: needs jbd2: exec format error"},
		"atkbd":   {unix.ENODEV, "load module atkbd: no such device"},
		"nothing": {ErrNotFound, "load module nothing: no such module"},
	} {
		err := l.Load(t.Context(), name)
		if !errors.Is(err, test.err) || err != nil && err.Error() != test.text {
			t.Errorf("%s: %v, want %v", name, err, test.text)
		}
	}
	if slices.Contains(k.inserted, "ext4") {
		t.Error("ext4 was inserted without what it needs")
	}
}

func TestLoadBlacklist(t *testing.T) {
	var k kernel
	l := testLoader(t, &k, "modprobe.blacklist=ata-generic,ptp module_blacklist=jbd2")
	if err := l.Load(t.Context(), "pci:v00008086d00002922sv1sd1bc01sc06i01"); err != nil {
		t.Error(err)
	}
	if err := l.Load(t.Context(), "ptp"); err != nil { // asked for by name
		t.Error(err)
	}
	if err := l.Load(t.Context(), "ext4"); !errors.Is(err, ErrBlacklisted) {
		t.Errorf("ext4: %v, want %v", err, ErrBlacklisted)
	}
	if want := []string{"libata", "ahci", "ptp"}; !slices.Equal(k.inserted[:3], want) {
		t.Errorf("inserted %q, want %q first", k.inserted, want)
	}
}

// TestLoadConcurrently: what several modules need is inserted once, and they do not wait for
// each other.
func TestLoadConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kernel{delay: time.Second}
		l := testLoader(t, &k, "")
		began := time.Now()
		if err := l.LoadAll(t.Context(), "ahci", "ata_generic", "e1000e", "ahci"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 2*time.Second || len(k.inserted) != 5 {
			t.Errorf("took %v for %q; want 2s, each once", took, k.inserted)
		}
	})
}

func TestLoadEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var k kernel
	if err := testLoader(t, &k, "").Load(ctx, "ahci"); !errors.Is(err, context.Canceled) || len(k.inserted) != 0 {
		t.Errorf("%v, inserted %q", err, k.inserted)
	}
}

func TestParseParams(t *testing.T) {
	p := ParseParams(`ro usbcore.autosuspend=-1 "a-b.text=x y" a_b.more="u v" a_b.flag . x. .y -- z.z=1`)
	const want = `map["a_b":["text=\"x y\"" "more=\"u v\"" "flag"] "usbcore":["autosuspend=-1"]]`
	if got := fmt.Sprintf("%q", p.options); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add(`a.b="c d" modprobe.blacklist=x,,y`)
	f.Fuzz(func(t *testing.T, cmdline string) { ParseParams(cmdline) })
}

// TestModprobe runs the applet against two directories of modules; nothing it asks for gets as
// far as the kernel.
func TestModprobe(t *testing.T) {
	dir := t.TempDir()
	cmdline := filepath.Join(dir, "cmdline")
	if err := os.WriteFile(cmdline, []byte("ro module_blacklist=ptp"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "early")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(root, IndexName))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(WriteIndex(file, machine, builtins), file.Close()); err != nil {
		t.Fatal(err)
	}
	host := Host{Roots: []string{filepath.Join(dir, "absent"), root}, Cmdline: cmdline}
	for _, test := range []struct {
		args   string
		status int
		stderr string
	}{
		{"-q -- net-pf-1", 0, ""},
		{"-q -- nothing", 1, ""},
		{"nothing", 1, "modprobe: load module nothing: no such module\n"},
		{"-a unix nothing 8250 neither", 1, "neither"},
		{"-q ptp", 1, "forbidden by module_blacklist="},
		{"-r ext4", 2, "never removed"},
		{"", 2, "no module named"},
		{"-x y", 2, "usage: modprobe"},
		{"-h", 0, "usage: modprobe"},
	} {
		var stderr strings.Builder
		status := host.Modprobe(strings.Fields(test.args), &stderr)
		said := stderr.String()
		if status != test.status || !strings.Contains(said, test.stderr) || test.stderr == "" && said != "" {
			t.Errorf("modprobe %s: status %d, %q; want %d, %q", test.args, status, said, test.status, test.stderr)
		}
	}
}
