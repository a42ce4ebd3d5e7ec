package initramfs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/payload"
)

// fakeFiles are files of packages: their entries by path. A link leads to a file.
type fakeFiles map[string]payload.Entry

// newFakeFiles makes files with the given contents by path; "-> FILE" is a link within the directory.
func newFakeFiles(t *testing.T, contents map[string]string) fakeFiles {
	t.Helper()
	dir := t.TempDir()
	files := fakeFiles{}
	for name, content := range contents {
		e := payload.Entry{
			Path: name, Host: filepath.Join(dir, fmt.Sprint(len(files))), Size: int64(len(content)),
			Package: &payload.Package{Name: "firmware-" + path.Base(path.Dir(name))},
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			e.Mode, e.Link = fs.ModeSymlink, target
		}
		if err := os.WriteFile(e.Host, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		files[name] = e
	}
	return files
}

func (f fakeFiles) Glob(pattern string) (found []payload.Entry, err error) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		matched, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if matched {
			found = append(found, f[name])
		}
	}
	return found, nil
}

func (f fakeFiles) Lookup(name string) (payload.Entry, error) {
	e, ok := f[name]
	if ok && e.Link != "" {
		return f.Lookup(path.Join(path.Dir(name), e.Link))
	}
	if !ok {
		return e, fs.ErrNotExist
	}
	return e, nil
}

// firmwareTree has firmware of some drivers.
func firmwareTree(t *testing.T) fakeFiles {
	return newFakeFiles(t, map[string]string{
		"/usr/lib/firmware/bnx2/bnx2-mips-09.fw":      "mips",
		"/usr/lib/firmware/bnx2/bnx2-rv2p-09.fw":      "rv2p",
		"/usr/lib/firmware/intel/ice/ddp/ice.pkg":     "-> ice-1.3.pkg",
		"/usr/lib/firmware/intel/ice/ddp/ice-1.3":     "not asked for",
		"/usr/lib/firmware/intel/ice/ddp/ice-1.3.pkg": "package",
		"/usr/lib/firmware/intel/ice/ddp/lag.pkg":     "-> ice_lag-1.3.pkg",
		"/usr/lib/firmware/cxgb4/t5fw.bin":            "-> t5fw-1.27.5.0.bin",
		"/usr/lib/firmware/cxgb4/t5fw-1.27.5.0.bin":   "flash",
		"/usr/lib/firmware/cxgb3/t3fw-7.12.0.bin":     "flash",
		"/usr/lib/firmware/cxgb3/t3b_psram.bin":       "RAM",
	})
}

func TestFindFirmware(t *testing.T) {
	for name, test := range map[string]struct {
		user    firmwareUser
		files   string // "NAME=CONTENTS" of those found
		missing string
		err     string
	}{
		"all there": {
			firmwareUser{"bnx2", []string{"bnx2/bnx2-mips-09.fw", "bnx2/bnx2-rv2p-09.fw"}, true},
			"bnx2/bnx2-mips-09.fw=mips bnx2/bnx2-rv2p-09.fw=rv2p", "", "",
		},
		"pattern": {
			firmwareUser{"bnx2", []string{"bnx2/*-09.fw"}, true},
			"bnx2/bnx2-mips-09.fw=mips bnx2/bnx2-rv2p-09.fw=rv2p", "", "",
		},
		"link": {
			firmwareUser{"ice", []string{"intel/ice/ddp/ice.pkg"}, false}, "intel/ice/ddp/ice.pkg=package", "", "",
		},
		"link to another package's file": {
			firmwareUser{"ice", []string{"intel/ice/ddp/lag.pkg", "intel/ice/ddp/*.pkg"}, false},
			"intel/ice/ddp/ice-1.3.pkg=package intel/ice/ddp/ice.pkg=package", "ice: intel/ice/ddp/lag.pkg", "",
		},
		"one is missing": {
			firmwareUser{"bnx2", []string{"bnx2/new.fw", "bnx2/bnx2-mips-09.fw", "bnx2/a.fw"}, true},
			"bnx2/bnx2-mips-09.fw=mips", "bnx2: bnx2/a.fw, bnx2/new.fw", "",
		},
		"all are missing": {
			firmwareUser{"acenic", []string{"acenic/tg1.bin"}, false}, "", "acenic: acenic/tg1.bin", "",
		},
		"all are missing, and needed": {
			firmwareUser{"bna", []string{"ctfw.bin", "cbfw.bin"}, true},
			"", "", "firmware of module bna: no package has any of ctfw.bin, cbfw.bin: does FirmwarePackages",
		},
		"written to flash memory": {
			firmwareUser{"cxgb4", []string{"cxgb4/t4fw.bin", "cxgb4/t5fw.bin"}, false}, "", "", "",
		},
		"one of them written to flash memory": {
			firmwareUser{"cxgb3", []string{"cxgb3/t3fw-7.12.0.bin", "cxgb3/t3b_psram.bin"}, false},
			"cxgb3/t3b_psram.bin=RAM", "", "",
		},
		"one of them written to flash memory, by a pattern": {
			firmwareUser{"cxgb3", []string{"cxgb3/*"}, false}, "cxgb3/t3b_psram.bin=RAM", "", "",
		},
		"outside of the directory": {
			firmwareUser{"x", []string{"../modules/x"}, false}, "", "", `"../modules/x" is no file below /lib/firmware`,
		},
		"no pattern": {firmwareUser{"x", []string{"[x"}, false}, "", "", "syntax error in pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := findFirmware(firmwareTree(t), []firmwareUser{test.user})
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error is %v, want mention of %q", err, test.err)
			}
			var files []string
			for _, name := range slices.Sorted(maps.Keys(found.files)) {
				content, err := os.ReadFile(found.files[name].Host)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, name+"="+string(content))
			}
			if got := strings.Join(files, " "); got != test.files {
				t.Errorf("files %q, want %q", got, test.files)
			}
			if got := strings.Join(found.missing, "; "); got != test.missing {
				t.Errorf("missing %q, want %q", got, test.missing)
			}
		})
	}
}

// TestAddFirmware looks for the files where they end up in dom0, and in the list of packages.
func TestAddFirmware(t *testing.T) {
	found, err := findFirmware(firmwareTree(t), []firmwareUser{
		{Module: "ice", Files: []string{"intel/ice/ddp/ice.pkg"}},
		{Module: "cxgb3", Files: []string{"cxgb3/t3b_psram.bin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	x := xenFiles{archive: NewArchive(), packages: map[string]payload.Package{}}
	packages, err := x.addFirmware(found)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"firmware/intel/ice/ddp/ice.pkg": "firmware-ddp", "firmware/cxgb3/t3b_psram.bin": "firmware-cxgb3",
	}
	if !maps.Equal(packages, want) {
		t.Errorf("packages are %v, want %v", packages, want)
	}
	for name := range want {
		if _, ok := x.archive.records[name]; !ok {
			t.Errorf("%s is not in dom0's image", name)
		}
	}
	if used := slices.Sorted(maps.Keys(x.packages)); !slices.Equal(used, []string{"firmware-cxgb3", "firmware-ddp"}) {
		t.Errorf("the bill of materials has %v", used)
	}
	part := Part{firmware: packages}
	if got := part.group("firmware/cxgb3/t3b_psram.bin"); got != "firmware: cxgb3" {
		t.Errorf("in the report of sizes it counts as %q", got)
	}
}
