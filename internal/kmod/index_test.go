package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine is a small set of modules with all that an index knows.
var machine = []Module{
	{Name: "ptp", Order: 1, Path: "kernel/ptp.ko"},
	{Name: "e1000e", Order: 30, Path: "kernel/e1000e.ko", Deps: []string{"ptp"},
		Aliases: []string{"pci:v00008086d000010D3sv*sd*bc*sc*i*", "pci:v00008086d0000105Esv*sd*bc*sc*i*"}},
	{Name: "libata", Order: 9, Path: "kernel/libata.ko"},
	{Name: "ahci", Order: 20, Path: "kernel/ahci.ko", Deps: []string{"libata"},
		Aliases: []string{"pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv*sd*bc*sc*i*"}},
	{Name: "ata_generic", Order: 10, Path: "kernel/ata_generic.ko", Deps: []string{"libata"},
		Aliases: []string{"pci:v*d*sv*sd*bc01sc0[16]i*"}},
	{Name: "atkbd", Order: 40, Path: "kernel/atkbd.ko", Aliases: []string{"acpi*:PNP0303:*", "serio:ty06pr*id*ex*"}},
	{Name: "xen-netback", Order: 50, Path: "kernel/xen-netback.ko", Aliases: []string{"xen-backend:vif"}},
	{Name: "crc32c_generic", Order: 60, Path: "kernel/crc32c_generic.ko", Aliases: []string{"crypto-crc32c"}},
	{Name: "jbd2", Order: 61, Path: "kernel/jbd2.ko", Pre: []string{"crypto-crc32c"}},
	{Name: "ext4", Order: 62, Path: "kernel/ext4.ko", Deps: []string{"jbd2"}, Pre: []string{"missing"},
		Post: []string{"jbd2", "ptp"}, Aliases: []string{"fs-ext4", "fs-ext3"}},
	{Name: "sd_mod", Order: 70, Path: "kernel/sd_mod.ko", Aliases: []string{"block-major-8-*", "scsi:t-0x00*"}},
	{Name: "odd", Order: 80, Path: "kernel/odd.ko", Aliases: []string{"of:N*T*Ca b c*"}},
}

var builtins = []Builtin{{Name: "unix", Aliases: []string{"net-pf-1"}}, {Name: "8250"}}

func testIndex(t testing.TB) *Index {
	t.Helper()
	var out bytes.Buffer
	if err := WriteIndex(&out, machine, builtins); err != nil {
		t.Fatal(err)
	}
	index, err := ParseIndex(&out)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func names(modules []Module) string {
	var all []string
	for _, m := range modules {
		all = append(all, m.Name)
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	index := testIndex(t)
	for _, test := range []struct {
		name, want string
		known      bool
	}{
		{"pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00", "e1000e", true},
		{"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "ata_generic ahci", true}, // link order
		{"pci:v00001B4Bd00009172sv00001B4Bsd00009172bc01sc06i01", "ata_generic ahci", true},
		{"pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00", "", false},
		{"acpi:PNP0303:PNP030B:", "atkbd", true},
		{"xen-backend:vif", "xen_netback", true},
		{"xen_netback", "xen_netback", true},
		{"xen-netback", "xen_netback", true},
		{"fs-ext4", "ext4", true},
		{"block-major-8-0", "sd_mod", true},
		{"of:NxTyCa b cd", "odd", true}, // cut at the last space
		{"net-pf-1", "", true},
		{"8250", "", true},
		{"nothing", "", false},
		{"", "", false},
	} {
		modules, known := index.Resolve(test.name)
		if names(modules) != test.want || known != test.known {
			t.Errorf("Resolve(%q) = %q, %v; want %q, %v", test.name, names(modules), known, test.want, test.known)
		}
	}
}

func TestModule(t *testing.T) {
	got, ok := testIndex(t).Module("ext4")
	want := Module{
		Name: "ext4", Order: 62, Path: "kernel/ext4.ko",
		Deps: []string{"jbd2"}, Pre: []string{"missing"}, Post: []string{"jbd2", "ptp"},
	}
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Module(ext4) = %+v, %v; want %+v", got, ok, want)
	}
}

// TestSearchAgrees holds the narrowing search to trying every alias, on many aliases.
func TestSearchAgrees(t *testing.T) {
	var modules []Module
	var patterns []string
	for i := range 500 {
		a := []string{
			fmt.Sprintf("pci:v%08Xd%08Xsv*sd*", i%7, i), fmt.Sprintf("pci:v%08Xd*bc%02X*", i%5, i%9),
			fmt.Sprintf("pci:v*d*bc%02X", i%11),
		}
		patterns = append(patterns, a...)
		modules = append(modules, Module{Name: fmt.Sprintf("m%03d", i), Path: "x", Order: i, Aliases: a})
	}
	var out bytes.Buffer
	if err := WriteIndex(&out, modules, nil); err != nil {
		t.Fatal(err)
	}
	index, err := ParseIndex(&out)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		device := fmt.Sprintf("pci:v%08Xd%08Xsv1sd2bc%02X", i%9, i, i%13)
		var want []string
		for j, pattern := range patterns {
			if name := modules[j/3].Name; Match(pattern, device) && !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
		if got, _ := index.Resolve(device); names(got) != strings.Join(want, " ") {
			t.Fatalf("%s: got %q, want %q", device, names(got), want)
		}
	}
}

func TestWriteIndexIsTheSame(t *testing.T) {
	write := func(modules []Module) string {
		var out bytes.Buffer
		if err := WriteIndex(&out, modules, builtins); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	reversed := slices.Clone(machine)
	slices.Reverse(reversed)
	if write(machine) != write(reversed) {
		t.Error("the order of the modules changes the index")
	}
}

func TestWriteIndexRefuses(t *testing.T) {
	for name, module := range map[string]Module{
		"space in a path":  {Name: "a", Path: "a b.ko"},
		"comma in a need":  {Name: "a", Path: "a.ko", Deps: []string{"b,c"}},
		"no name":          {Path: "a.ko"},
		"newline in alias": {Name: "a", Path: "a.ko", Aliases: []string{"x\ny"}},
	} {
		if err := WriteIndex(&bytes.Buffer{}, []Module{module}, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := WriteIndex(&bytes.Buffer{}, []Module{machine[0], machine[0]}, nil); err == nil {
		t.Error("a module twice: no error")
	}
}

func TestParseIndexRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":           {"", "line 1"},
		"other version":   {"zerodisc-modules 2\n", "line 1"},
		"no size":         {indexMagic + "modules\n", "line 2"},
		"size too large":  {indexMagic + "modules 9\nabc\n", "line 2"},
		"size negative":   {indexMagic + "builtin 0\nmodules -1\n", "line 3"},
		"middle of line":  {indexMagic + "builtin 2\nabc\n", "line 2"},
		"unknown kind":    {indexMagic + "colours 0\n", "line 2"},
		"missing fields":  {indexMagic + "modules 8\na 1 b -\n", "module 1"},
		"not sorted":      {indexMagic + "modules 28\nb 1 b.ko - - -\na 1 a.ko - - -\n\n", "module"},
		"builtins jumble": {indexMagic + "builtin 4\nb\na\n", "sorted"},
	} {
		_, err := ParseIndex(strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func TestOpenIndex(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenIndex(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no index: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, IndexName), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIndex(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("bad index: %v, want the file's name", err)
	}
}

func FuzzParseIndex(f *testing.F) {
	var out bytes.Buffer
	if err := WriteIndex(&out, machine, builtins); err != nil {
		f.Fatal(err)
	}
	f.Add(out.String(), "pci:v00008086d000010D3sv1")
	f.Add(indexMagic+"aliases pci 4\n:x \n", "pci:x")
	f.Add(indexMagic+"aliases - 2\nx\n", "x")
	f.Fuzz(func(t *testing.T, text, name string) {
		index, err := ParseIndex(strings.NewReader(text))
		if err != nil {
			return
		}
		modules, _ := index.Resolve(name)
		NewLoader("", index, ParseParams("")).plan(modules)
	})
}

func BenchmarkResolve(b *testing.B) {
	index := testIndex(b)
	for b.Loop() {
		index.Resolve("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01")
	}
}
