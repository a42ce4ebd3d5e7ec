package disc

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/progress"
)

// testBuilder has options for a build of the sources into a directory of the test's.
func testBuilder(t *testing.T) (b *builder, dir string) {
	t.Helper()
	dir = t.TempDir()
	var out bytes.Buffer
	return &builder{source: "../..", progress: progress.New(&out), Options: Options{
		Output: filepath.Join(dir, "out/zerodisc.iso"), CacheDir: filepath.Join(dir, "cache"),
		Suite: "trixie", Out: &out,
	}}, dir
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPlan(t *testing.T) {
	b, dir := testBuilder(t)
	t.Setenv("SOURCE_DATE_EPOCH", "1800000000")
	b.Netboot, b.Release = filepath.Join(dir, "netboot"), filepath.Join(dir, "release")
	b.Lock = filepath.Join(dir, "lock")
	b.With = []string{debianInstaller, firmware}
	b.Settings = put(t, filepath.Join(dir, "settings.txt"), "timeout = 5\n")
	put(t, filepath.Join(dir, "guests/web/web.cfg"), "kernel = \"dom0\"\n")
	put(t, filepath.Join(dir, "guests/.git/config"), "secret")
	b.Guests = []string{filepath.Join(dir, "guests")}
	p, err := b.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.date.Unix() != 1800000000 || p.settings.Timeout != "5" || len(p.guests.Files) != 1 ||
		!p.menu.Installer || !p.firmware ||
		!slices.Contains(p.packages, "debian-installer-13-netboot-amd64") {
		t.Errorf("plan is %+v", p)
	}
	left := "left out of the disc:\n  " + dir + "/guests/.git (in no guest's directory)\n"
	if said := b.Out.(*bytes.Buffer).String(); !strings.Contains(said, left) {
		t.Errorf("it said %q", said)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 { // the settings and the guests
		t.Errorf("the check left %v, %v", entries, err)
	}
}

// TestRoots checks that packages of firmware, and the component of the archive that they are in, are asked for on
// request only.
func TestRoots(t *testing.T) {
	for _, with := range [][]string{nil, {debianInstaller}, {firmware}} {
		b, _ := testBuilder(t)
		b.With = with
		p, err := b.plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		packages, components := p.roots()
		asked := slices.Contains(with, firmware)
		if slices.Contains(components, "non-free-firmware") != asked {
			t.Errorf("with %q: components %q", with, components)
		}
		for _, name := range []string{"firmware-bnx2", "intel-microcode", "amd64-microcode"} {
			if slices.Contains(packages, name) != asked {
				t.Errorf("with %q: %s: %v", with, name, !asked)
			}
		}
		if !slices.Contains(packages, "xen-system-amd64") || !slices.Contains(packages, "grub-common") {
			t.Errorf("with %q: packages %q", with, packages)
		}
	}
}

// TestPlanRefusals checks that what is wrong is found before anything is built, and named.
func TestPlanRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, b *builder, dir string)
		want  string
	}{
		"output is a directory": {func(_ *testing.T, b *builder, dir string) {
			b.Output = dir
		}, "-o DIR: it is a directory; name a file"},
		"no output": {func(_ *testing.T, b *builder, _ string) {
			b.Output = ""
		}, "-o : the name is empty"},
		"output below a file": {func(t *testing.T, b *builder, dir string) {
			b.Output = put(t, dir+"/file", "") + "/x.iso"
		},
			"-o DIR/file/x.iso: "},
		"lock is a directory": {func(_ *testing.T, b *builder, dir string) {
			b.Lock = dir
		}, "-lock DIR: it is a directory"},
		"lock is a device": {func(_ *testing.T, b *builder, _ string) {
			b.Lock = "/dev/zero"
		}, "-lock /dev/zero: it is a character device"},
		"netboot is foreign": {func(t *testing.T, b *builder, dir string) {
			put(t, dir+"/n/boot.ipxe", "")
			b.Netboot = dir + "/n"
		}, "-netboot DIR/n: it is not empty"},
		"release is foreign": {func(t *testing.T, b *builder, dir string) {
			put(t, dir+"/n/thesis", "")
			b.Release = dir + "/n"
		}, "-release DIR/n: it holds thesis"},
		"disc in netboot": {func(_ *testing.T, b *builder, dir string) {
			b.Netboot = dir + "/out"
		}, "-o DIR/out/zerodisc.iso lies in -netboot DIR/out"},
		"disc is the lock": {func(_ *testing.T, b *builder, _ string) {
			b.Lock = b.Output
		}, "-o and -lock are the same place"},
		"disc is the settings": {func(_ *testing.T, b *builder, _ string) {
			b.Settings = b.Output
		}, "-o and -config are the same place"},
		"cache in netboot": {func(_ *testing.T, b *builder, dir string) {
			b.Netboot = dir + "/x"
			b.CacheDir = dir + "/x/cache"
		}, "-cache DIR/x/cache lies in -netboot"},
		"release alone": {func(_ *testing.T, b *builder, dir string) {
			b.Release = dir + "/r"
		}, "-release: a release has the netboot tree and the lock file too"},
		"unknown option": {func(_ *testing.T, b *builder, _ string) {
			b.With = []string{"windows"}
		}, "-with windows: there is no such option"},
		"option without a suite": {func(_ *testing.T, b *builder, _ string) {
			b.With, b.Suite = []string{debianInstaller}, "sid"
		}, "no installer is known for the suite"},
		"endless settings": {func(_ *testing.T, b *builder, _ string) {
			b.Settings = "/dev/zero"
		}, "/dev/zero has more than 65536 bytes"},
		"wrong settings": {func(t *testing.T, b *builder, dir string) {
			b.Settings = put(t, dir+"/s", "timeout = +5")
		}, "DIR/s:1: timeout:"},
		"no guests": {func(_ *testing.T, b *builder, dir string) {
			b.Guests = []string{dir}
		}, "there are no guests in this directory"},
		"date": {func(t *testing.T, _ *builder, _ string) {
			t.Setenv("SOURCE_DATE_EPOCH", "0")
		}, "SOURCE_DATE_EPOCH=0"},
		"kernel command line": {func(_ *testing.T, b *builder, _ string) {
			b.Cmdline = `a="b`
		}, "a double quote is not closed"},
		"long command line": {func(_ *testing.T, b *builder, _ string) {
			b.XenCmdline = strings.Repeat("x", 700)
		}, "leave room for the settings"},
		"words for iPXE": {func(t *testing.T, b *builder, dir string) {
			b.Netboot, b.Settings = dir+"/n", put(t, dir+"/s", "xen-cmdline = a || b\n")
		}, `iPXE cannot hand on "||"`},
		"a large guest": {func(t *testing.T, b *builder, dir string) {
			b.Netboot, b.Guests = dir+"/n", []string{largeGuest(t, dir+"/big", initramfs.MaxSize+1)}
		}, "-netboot: guests/big/disk.img: has 4294967296 bytes, a file in an initrd at most 4294967295"},
	} {
		t.Run(name, func(t *testing.T) {
			b, dir := testBuilder(t)
			test.spoil(t, b, dir)
			_, err := b.plan(t.Context())
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), test.want) {
				t.Errorf("error is %v, want mention of %q", err, test.want)
			}
		})
	}
}

// largeGuest is a guest with a disk of size bytes, none of which are on this machine's.
func largeGuest(t *testing.T, dir string, size int64) string {
	t.Helper()
	put(t, dir+"/a.cfg", "kernel = \"dom0\"\ndisk = [ 'disk.img,raw,xvda,r' ]\n")
	if err := os.Truncate(put(t, dir+"/disk.img", ""), size); err != nil {
		t.Skip(err)
	}
	return dir
}

func TestNetInitrdOfManyGuests(t *testing.T) {
	half := iso9660.File{Path: "guests/a/disk.img", Content: &iso9660.Content{Size: initramfs.MaxSize/2 + 1}}
	if err := checkNetInitrd([]iso9660.File{half}); err != nil {
		t.Error(err)
	}
	err := checkNetInitrd([]iso9660.File{half, half})
	if err == nil || !strings.Contains(err.Error(), "-netboot: the guests have 4294967296 bytes") {
		t.Errorf("error is %v", err)
	}
}
