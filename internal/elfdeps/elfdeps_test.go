package elfdeps

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	multiarch = "/usr/lib/x86_64-linux-gnu/"
	loader    = "/lib64/ld-linux-x86-64.so.2"
)

// object describes an ELF file for a test.
type object struct {
	machine        elf.Machine // 0 for x86-64
	interp         string
	needed         []string
	rpath, runpath string
}

// bytes makes the file: header, one program header, then .dynstr, .dynamic and the interpreter.
func (o object) bytes() []byte {
	strs, dyn := o.dynamic()
	if o.machine == 0 {
		o.machine = elf.EM_X86_64
	}
	const headers = 64 + 56
	dynAt := uint64(headers + len(strs))
	interpAt := dynAt + uint64(len(dyn))
	sectionsAt := interpAt + uint64(len(o.interp)) + 1
	header := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(o.machine), Version: 1, Phoff: 64, Shoff: sectionsAt,
		Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: 3, Shstrndx: 1,
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	prog := elf.Prog64{Type: uint32(elf.PT_NULL)}
	if o.interp != "" {
		prog = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: interpAt, Filesz: uint64(len(o.interp)) + 1}
	}
	var b bytes.Buffer
	for _, part := range []any{
		header, prog, strs, dyn, []byte(o.interp + "\x00"),
		elf.Section64{},
		elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: headers, Size: uint64(len(strs))},
		elf.Section64{Type: uint32(elf.SHT_DYNAMIC), Off: dynAt, Size: uint64(len(dyn)), Link: 1, Entsize: 16},
	} {
		binary.Write(&b, binary.LittleEndian, part)
	}
	return b.Bytes()
}

func (o object) dynamic() (strs, dyn []byte) {
	strs = []byte{0}
	add := func(tag elf.DynTag, value string) {
		dyn = binary.LittleEndian.AppendUint64(dyn, uint64(tag))
		dyn = binary.LittleEndian.AppendUint64(dyn, uint64(len(strs)))
		strs = append(append(strs, value...), 0)
	}
	for _, soname := range o.needed {
		add(elf.DT_NEEDED, soname)
	}
	if o.rpath != "" {
		add(elf.DT_RPATH, o.rpath)
	}
	if o.runpath != "" {
		add(elf.DT_RUNPATH, o.runpath)
	}
	return strs, append(dyn, make([]byte, 16)...)
}

// tree is files on disk and links by path.
type tree struct {
	dir   string
	links map[string]string
}

func (t tree) Find(name string) (real, host string, ok bool) {
	if target, isLink := t.links[name]; isLink {
		name = target
	}
	host = filepath.Join(t.dir, name)
	info, err := os.Stat(host)
	return name, host, err == nil && info.Mode().IsRegular()
}

func newTree(t *testing.T, objects map[string]object, links map[string]string) tree {
	t.Helper()
	tr := tree{t.TempDir(), links}
	for name, o := range objects {
		file := filepath.Join(tr.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, o.bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func TestClosure(t *testing.T) {
	tr := newTree(t, map[string]object{
		"/usr/bin/a": {interp: loader, needed: []string{"liba.so.1", "libc.so.6"}},
		"/usr/bin/b": {
			interp: loader, needed: []string{"libpriv.so", "libc.so.6"}, runpath: "/none:$ORIGIN/../lib/b",
		},
		"/usr/bin/static":                  {},
		multiarch + "liba.so.1.2":          {needed: []string{"libc.so.6", "libloop.so"}},
		multiarch + "libloop.so":           {needed: []string{"liba.so.1"}},
		multiarch + "libc.so.6":            {needed: []string{"ld-linux-x86-64.so.2"}},
		multiarch + "ld-linux-x86-64.so.2": {},
		multiarch + "libunused.so":         {},
		"/usr/lib/b/libpriv.so":            {needed: []string{"libc.so.6"}},
	}, map[string]string{
		loader:                  multiarch + "ld-linux-x86-64.so.2",
		multiarch + "liba.so.1": multiarch + "liba.so.1.2",
	})
	got, err := Closure(tr, "/usr/bin/a", "/usr/bin/b", "/usr/bin/static")
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, lib := range got.Libraries {
		links = append(links, lib.Link)
		if lib.Name == "liba.so.1" && lib.Path != multiarch+"liba.so.1.2" {
			t.Errorf("liba is %+v", lib)
		}
	}
	want := []string{
		"/usr/lib/b/libpriv.so", multiarch + "liba.so.1", multiarch + "libc.so.6", multiarch + "libloop.so",
	}
	if !slices.Equal(links, want) {
		t.Errorf("libraries %v, want %v", links, want)
	}
	if got.Interpreter == nil || got.Interpreter.Link != loader ||
		got.Interpreter.Path != multiarch+"ld-linux-x86-64.so.2" {
		t.Errorf("loader %+v", got.Interpreter)
	}
}

// TestSearchPath has a library in a directory that only the program knows.
func TestSearchPath(t *testing.T) {
	tests := []struct {
		name          string
		program, libA object
		found         bool
	}{
		{"RPATH is inherited", object{rpath: "$ORIGIN/lib"}, object{}, true},
		{"RUNPATH is not", object{runpath: "${ORIGIN}/lib"}, object{}, false},
		{"RUNPATH hides RPATH", object{rpath: "/opt/lib", runpath: "/opt/lib"}, object{}, false},
		{"RUNPATH hides what is inherited", object{rpath: "/opt/lib"}, object{runpath: "/none"}, false},
		{"own RUNPATH", object{rpath: "/opt/lib"}, object{runpath: "$ORIGIN"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.program.needed = []string{"libA.so"}
			test.libA.needed = []string{"libB.so"}
			tr := newTree(t, map[string]object{
				"/opt/prog": test.program, "/opt/lib/libA.so": test.libA, "/opt/lib/libB.so": {},
			}, nil)
			got, err := Closure(tr, "/opt/prog")
			if !test.found {
				checkMissing(t, err, "/opt/lib/libA.so", "libB.so")
				return
			}
			if err != nil || len(got.Libraries) != 2 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func checkMissing(t *testing.T, err error, binary, library string) {
	t.Helper()
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Binary != binary || missing.Library != library {
		t.Fatalf("error is %v", err)
	}
	for _, word := range []string{binary, library, path.Clean(multiarch)} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error does not say %s: %v", word, err)
		}
	}
}

func TestOtherMachineIsPassedOver(t *testing.T) {
	tr := newTree(t, map[string]object{
		"/usr/bin/a":          {needed: []string{"libx.so"}, runpath: "/usr/lib32"},
		"/usr/lib32/libx.so":  {machine: elf.EM_386},
		multiarch + "libx.so": {},
		"/usr/bin/other":      {machine: elf.EM_AARCH64},
	}, nil)
	got, err := Closure(tr, "/usr/bin/a")
	if err != nil || got.Libraries[0].Link != multiarch+"libx.so" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Closure(tr, "/usr/bin/other"); err == nil || !strings.Contains(err.Error(), "x86-64") {
		t.Errorf("other machine: %v", err)
	}
}

func TestErrors(t *testing.T) {
	tr := newTree(t, map[string]object{"/bin/a": {interp: loader}, "/bin/b": {}}, nil)
	var missing *MissingError
	if _, err := Closure(tr, "/bin/a"); !errors.As(err, &missing) || missing.Library != path.Base(loader) {
		t.Errorf("no loader: %v", err)
	}
	if _, err := Closure(tr, "/bin/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	if err := os.WriteFile(filepath.Join(tr.dir, "bin/script"), []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Closure(tr, "/bin/script"); err == nil || !strings.Contains(err.Error(), "/bin/script") {
		t.Errorf("script: %v", err)
	}
}

func FuzzReadDynamic(f *testing.F) {
	f.Add(object{interp: loader, needed: []string{"libc.so.6"}, rpath: "$ORIGIN", runpath: "/x:/y"}.bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := readDynamic(bytes.NewReader(raw))
		if err != nil {
			return
		}
		expandOrigin(slices.Concat(d.rpath, d.runpath), "/usr/bin/a")
	})
}
