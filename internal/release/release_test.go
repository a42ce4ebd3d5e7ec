package release

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/zerodisc/zerodisc/internal/bom"
	"github.com/zerodisc/zerodisc/internal/payload"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

var discDate = time.Date(2026, time.March, 1, 11, 0, 0, 0, time.UTC)

// testOptions makes the parts of a small release below a directory of the test's.
func testOptions(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	res := &payload.Resolution{Suite: "trixie", Roots: []string{"zlib1g"}, Packages: []payload.Package{{
		Name: "zlib1g", Version: "1", Arch: "amd64", Size: 7, SHA256: strings.Repeat("0a", 32),
		Sources: []payload.Source{{Name: "zlib", Version: "1"}},
	}}}
	opts := Options{
		Dir: filepath.Join(dir, "release"), ISO: filepath.Join(dir, "zerodisc.iso"),
		Netboot: filepath.Join(dir, "netboot"), Lock: filepath.Join(dir, "packages.lock"),
		BOM: bom.Input{
			Version: "0.1", BuildID: "0123456789abcdef", Suite: "trixie", Compiler: "go1.26.8",
			Date: discDate, Packages: res.Packages,
		},
	}
	put(t, opts.ISO, strings.Repeat("disc", 1<<18))
	put(t, filepath.Join(opts.Netboot, "pxe-bios.0"), "bios")
	put(t, filepath.Join(opts.Netboot, "boot/xen"), "xen")
	if err := payload.WriteLock(opts.Lock, res); err != nil {
		t.Fatal(err)
	}
	return opts
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read returns the files of a release by name.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(raw)
	}
	return files
}

func TestWrite(t *testing.T) {
	opts := testOptions(t)
	var reported [2]int64
	opts.Progress = func(written, total int64) { reported = [2]int64{written, total} }
	if err := Write(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if want := int64(1<<20 + len("bios") + len("xen")); reported != [2]int64{want, want} {
		t.Errorf("last report is %d, want %d of %[2]d", reported, want)
	}
	files := read(t, opts.Dir)
	sums, err := sha256sums.Parse(strings.NewReader(files[sha256sums.Name]))
	if err != nil || len(files) != 6 || len(sums) != 5 {
		t.Errorf("%d files, sums %v, %v", len(files), sums, err)
	}
	for _, s := range sums {
		if sha256.Sum256([]byte(files[s.Path])) != s.SHA256 {
			t.Errorf("the sum of %s is not %x", s.Path, s.SHA256)
		}
	}
	for name, part := range map[string]string{"zerodisc-0.1.iso": opts.ISO, "zerodisc-0.1.lock": opts.Lock} {
		if want, _ := os.ReadFile(part); files[name] != string(want) {
			t.Errorf("%s is not %s", name, part)
		}
	}
	if !strings.Contains(files["zerodisc-0.1-sources.txt"], "\nzlib 1\n") {
		t.Errorf("sources are %s", files["zerodisc-0.1-sources.txt"])
	}
	doc := &cdx.BOM{}
	decoder := cdx.NewBOMDecoder(strings.NewReader(files["zerodisc-0.1.cdx.json"]), cdx.BOMFileFormatJSON)
	if err := decoder.Decode(doc); err != nil {
		t.Fatal(err)
	}
	iso := sha256.Sum256([]byte(files["zerodisc-0.1.iso"]))
	if got := (*doc.Metadata.Component.Hashes)[0].Value; got != hex.EncodeToString(iso[:]) {
		t.Errorf("bill of materials has the sum %s", got)
	}
	checkWithTool(t, opts.Dir)
}

func checkWithTool(t *testing.T, dir string) {
	cmd := exec.Command("sha256sum", "--check", "--strict", sha256sums.Name)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

func TestNetbootArchive(t *testing.T) {
	opts := testOptions(t)
	if err := Write(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(strings.NewReader(read(t, opts.Dir)["zerodisc-0.1-netboot.tar"]))
	var names []string
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name+" "+string(content))
		mode := map[byte]int64{tar.TypeDir: 0o755, tar.TypeReg: 0o644}[h.Typeflag]
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(discDate) || h.Mode != mode {
			t.Errorf("header is %+v", h)
		}
	}
	want := []string{
		"zerodisc-0.1-netboot/ ",
		"zerodisc-0.1-netboot/boot/ ",
		"zerodisc-0.1-netboot/boot/xen xen",
		"zerodisc-0.1-netboot/pxe-bios.0 bios",
	}
	if !slices.Equal(names, want) {
		t.Errorf("archive has %q, want %q", names, want)
	}
}

// TestSameBytes gathers twice, from different places; the second time over the first release.
func TestSameBytes(t *testing.T) {
	first, second := testOptions(t), testOptions(t)
	if err := os.Chmod(filepath.Join(second.Netboot, "boot/xen"), 0o755); err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, opts := range []Options{first, second, second} {
		if err := Write(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		all = append(all, read(t, opts.Dir))
	}
	for name, text := range all[0] {
		if all[1][name] != text || all[2][name] != text {
			t.Errorf("%s differs", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx   context.Context
		spoil func(t *testing.T, opts *Options)
		words []string
	}{
		"something else": {t.Context(), func(t *testing.T, opts *Options) {
			put(t, filepath.Join(opts.Dir, "thesis.txt"), "")
		}, []string{"thesis.txt", "new or empty"}},
		"a directory": {t.Context(), func(t *testing.T, opts *Options) {
			put(t, filepath.Join(opts.Dir, "zerodisc-1.iso/x"), "")
		}, []string{"zerodisc-1.iso", "new or empty"}},
		"a file": {t.Context(), func(t *testing.T, opts *Options) {
			put(t, opts.Dir, "")
		}, []string{"-release", "it is a file"}},
		"no disc": {t.Context(), func(t *testing.T, opts *Options) {
			opts.ISO += ".gone"
		}, []string{"disc", "zerodisc.iso.gone"}},
		"no netboot": {t.Context(), func(t *testing.T, opts *Options) {
			opts.Netboot += ".gone"
		}, []string{"netboot tree", "netboot.gone"}},
		"a link": {t.Context(), func(t *testing.T, opts *Options) {
			os.Symlink("boot/xen", filepath.Join(opts.Netboot, "xen"))
		}, []string{"netboot/xen", "no file"}},
		"damaged lock": {t.Context(), func(t *testing.T, opts *Options) {
			put(t, opts.Lock, "packages\n")
		}, []string{"packages.lock", "line 1"}},
		"Ctrl-C": {cancelled, func(*testing.T, *Options) {}, []string{"canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(t)
			test.spoil(t, &opts)
			before := listing(t, filepath.Dir(opts.Dir))
			err := Write(test.ctx, opts)
			for _, word := range test.words {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("error is %v, want %q", err, word)
				}
			}
			if after := listing(t, filepath.Dir(opts.Dir)); !slices.Equal(before, after) {
				t.Errorf("left %q, there was %q", after, before)
			}
		})
	}
}

// listing is all that is below a directory.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestOlderReleaseStays has a write fail after the old release was looked at.
func TestOlderReleaseStays(t *testing.T) {
	opts := testOptions(t)
	if err := Write(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	before := read(t, opts.Dir)
	broken := errors.New("no licence")
	opts.BOM.Licences = func(string) ([]string, error) { return nil, broken }
	if err := Write(t.Context(), opts); !errors.Is(err, broken) || !strings.Contains(err.Error(), "cdx.json") {
		t.Errorf("error is %v", err)
	}
	for name, text := range read(t, opts.Dir) {
		if before[name] != text {
			t.Errorf("%s has changed", name)
		}
	}
}
