package remaster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

const buildID = "0123456789abcdef"

const builtText = `zerodisc 0.1
build id  ` + buildID + `
revision  0000
compiler  go1
suite     Debian trixie

Debian packages: name, version, SHA-256 of the package
grub-common 2.12-9 aa
linux-image-6.12.1-amd64 6.12.1-1 bb
xen-hypervisor-4.20-amd64 4.20.4 cc

Go modules in the userland: path, version
example.org/m v1.2.3
`

const ttyConfig = "kernel = \"dom0\"\nramdisk = \"initrd.img\"\nmemory = 96\n"

// testDisc is a disc as mkiso makes it, with images of GRUB's shape that do not boot.
func testDisc(t *testing.T) *iso9660.Image {
	t.Helper()
	text := func(name, text string) iso9660.File {
		return iso9660.File{Path: name, Content: iso9660.Bytes([]byte(text))}
	}
	settings, err := grub.Settings{}.Config(buildID)
	if err != nil {
		t.Fatal(err)
	}
	initrd := iso9660.Bytes(bytes.Repeat([]byte("initrd\n"), 30_000))
	image := initrd.Tail(50 * iso9660.SectorSize)
	img := &iso9660.Image{
		VolumeID: boot.VolumeID, ModTime: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
		Sums: boot.MediumSums, Structure: boot.MediumStructure,
		Files: []iso9660.File{
			text(builtName, builtText), text("README", "read me\n"),
			text(boot.MediumXen, strings.Repeat("xen", 1000)), text(boot.MediumKernel, strings.Repeat("linux", 1000)),
			{Path: boot.MediumInitrd, Content: initrd},
			text(boot.MediumGRUB, "source settings.cfg\n"), text(boot.MediumSettings, string(settings)),
			text(boot.MediumSettingsText, string(grub.SettingsTemplate())),
			text("guests/tty1/tty1.cfg", "name = \"tty1\"\n"+ttyConfig),
			{Path: "guests/tty1/initrd.img", Content: image},
			text("guests/tty2/tty2.cfg", "name = \"second\"\n"+ttyConfig),
			{Path: "guests/tty2/initrd.img", Content: image},
			{Path: "guests/tty2/run", Content: iso9660.Bytes([]byte("#!\n")), Executable: true},
		},
	}
	for i := range 60 { // a directory of more than one sector
		path := fmt.Sprintf("COPYRIGHT/a-package-of-debian-%02d", i)
		img.Files = append(img.Files, text(path, strings.Repeat("free\n", i)))
	}
	loader := &grub.Loader{
		BuildID: buildID, BIOS: bytes.Repeat([]byte{1, 2, 3}, 20_000), EFI: bytes.Repeat([]byte("MZ"), 101_024),
		MBR: bytes.Repeat([]byte{0x90}, 512),
	}
	if err := loader.AddTo(img); err != nil {
		t.Fatal(err)
	}
	return img
}

// save writes img to a new file.
func save(t *testing.T, img *iso9660.Image) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test.iso")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := img.Write(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
	return name
}

// writeFiles writes files, name -> text, into a new directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustOpen(t *testing.T, name string) *zerodisc {
	t.Helper()
	disc, err := openZerodisc(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disc.Close() })
	return disc
}

func mustVerify(t *testing.T, name string) {
	t.Helper()
	var out bytes.Buffer
	if err := Verify(t.Context(), &out, name, nil); err != nil || !strings.HasPrefix(out.String(), "ok: ") {
		t.Errorf("verify: %v\n%s", err, out.String())
	}
}

// add runs Add on the disc in, and returns the new one.
func add(t *testing.T, opts AddOptions) string {
	t.Helper()
	opts.Out = filepath.Join(t.TempDir(), "new/out.iso")
	if err := Add(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, opts.Out)
	return opts.Out
}

const webConfig = "kernel = \"dom0\"\ndisk = [ 'disk.img,raw,xvda,ro' ]\nmemory = 128\nvcpus = 2\n"

// webGuest is a store with the guest "web", whose directory has that name.
func webGuest(t *testing.T) string {
	t.Helper()
	return writeFiles(t, map[string]string{"web/web.cfg": webConfig, "web/disk.img": strings.Repeat("disk", 5000)})
}

func read(t *testing.T, disc *zerodisc, name string) string {
	t.Helper()
	text, err := disc.ReadFile(name, maxText)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAdd(t *testing.T) {
	in, store := save(t, testDisc(t)), webGuest(t)
	settings := filepath.Join(writeFiles(t, map[string]string{"s.txt": "# mine\ntimeout = 42\n"}), "s.txt")
	out := add(t, AddOptions{In: in, Guests: []string{store}, Settings: settings})
	before, after := mustOpen(t, in), mustOpen(t, out)
	if len(after.mediumIDs) != 2 || !strings.HasPrefix(after.mediumID(), buildID+"-") ||
		len(after.mediumID()) != len(buildID)+1+suffixDigits {
		t.Fatalf("medium ids %q", after.mediumIDs)
	}
	for _, f := range before.Files {
		if after.Lookup(f.Path) == nil {
			t.Errorf("%s is lost", f.Path)
			continue
		}
		got, want := read(t, after, f.Path), read(t, before, f.Path)
		if got != want && !slices.Contains(madeAnew, f.Path) {
			t.Errorf("%s has %d bytes, want %d", f.Path, len(got), len(want))
		}
		if after.Lookup(f.Path).Executable != f.Executable {
			t.Errorf("%s has another mode", f.Path)
		}
	}
	for name, want := range map[string]string{
		"guests/web/web.cfg": webConfig, "guests/web/disk.img": strings.Repeat("disk", 5000),
		boot.MediumSettingsText: "# mine\ntimeout = 42\n",
	} {
		if got := read(t, after, name); got != want {
			t.Errorf("%s is %.50q", name, got)
		}
	}
	got := read(t, after, boot.MediumSettings)
	if !strings.Contains(got, after.mediumID()) || !strings.Contains(got, "timeout=42") {
		t.Errorf("%s is %s", boot.MediumSettings, got)
	}
	whole, tail := after.Lookup(boot.MediumInitrd).Extents[0], after.Lookup("guests/tty2/initrd.img").Extents[0]
	if tail.LBA != whole.LBA+50 || !after.ModTime.Equal(before.ModTime) || after.VolumeID != before.VolumeID {
		t.Errorf("initrd at %v, its tail at %v; date %v, label %q", whole, tail, after.ModTime, after.VolumeID)
	}
}

// TestAddBoots asks the tools that read boot records and partition tables.
func TestAddBoots(t *testing.T) {
	in := save(t, testDisc(t))
	out := add(t, AddOptions{In: in, Guests: []string{webGuest(t)}})
	for _, test := range []struct {
		command []string
		want    []string
		never   []string
	}{
		{[]string{"sgdisk", "-v", "-p", out}, []string{"No problems found", "EF00"}, []string{"aution", "arning"}},
		{[]string{"fdisk", "-l", out},
			[]string{"Disklabel type: gpt", "EFI System"}, []string{"PMBR size", "corrupt", "align"}},
		{[]string{"xorriso", "-abort_on", "WARNING", "-indev", out,
			"-report_el_torito", "plain", "-report_system_area", "plain"},
			[]string{"BIOS  y   none", "UEFI  y   none", "grub2-mbr", "GPT",
				"boot-info-table", "grub2-boot-info", "/boot/grub/bios.img", "/boot/grub/efi.img"}, nil},
	} {
		// That no sector before the first partition is usable is meant (grub/disk.go).
		said := strings.Replace(hostTool(t, test.command...), "Warning: There is a gap between", "", 1)
		for _, want := range test.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s does not say %q:\n%s", test.command[0], want, said)
			}
		}
		for _, never := range test.never {
			if strings.Contains(said, never) {
				t.Errorf("%s says %q:\n%s", test.command[0], never, said)
			}
		}
	}
	if disc := mustOpen(t, in); guidOf(t, disc) == guidOf(t, mustOpen(t, out)) {
		t.Error("both discs have one GUID: two sticks would be taken for one")
	}
}

func guidOf(t *testing.T, disc *zerodisc) string {
	t.Helper()
	table, err := partitions(disc.file)
	if err != nil {
		t.Fatal(err)
	}
	return table.GUID
}

func hostTool(t *testing.T, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed (Debian packages xorriso, gdisk, fdisk)", command[0])
	}
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func TestAddSameBytesTwice(t *testing.T) {
	in, store := save(t, testDisc(t)), webGuest(t)
	var images [2][]byte
	for i := range images {
		var err error
		if images[i], err = os.ReadFile(add(t, AddOptions{In: in, Guests: []string{store}})); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the same inputs make other bytes")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1800000000")
	if disc := mustOpen(t, add(t, AddOptions{In: in, Guests: []string{store}})); disc.ModTime.Unix() != 1800000000 {
		t.Errorf("SOURCE_DATE_EPOCH gives %v", disc.ModTime)
	}
}

// TestAddAgain adds to a disc that was remastered before: settings and guests stay, its id does not.
func TestAddAgain(t *testing.T) {
	settings := filepath.Join(writeFiles(t, map[string]string{"s.txt": "timeout = 42\n"}), "s.txt")
	first := add(t, AddOptions{In: save(t, testDisc(t)), Settings: settings})
	second := add(t, AddOptions{In: first, Guests: []string{filepath.Join(webGuest(t), "web")}})
	one, two := mustOpen(t, first), mustOpen(t, second)
	if len(two.mediumIDs) != 2 || one.mediumID() == two.mediumID() ||
		!strings.Contains(read(t, two, boot.MediumSettings), two.mediumID()) {
		t.Errorf("medium ids %q, before %q", two.mediumIDs, one.mediumIDs)
	}
	if read(t, two, boot.MediumSettingsText) != "timeout = 42\n" || two.Lookup("guests/web/web.cfg") == nil {
		t.Error("settings or guest are lost")
	}
}

func TestAddReplaces(t *testing.T) {
	in := save(t, testDisc(t))
	// The name of the guest in tty2, and the directory tty1.
	store := writeFiles(t, map[string]string{
		"other/x.cfg": "name = \"second\"\nkernel = \"dom0\"\n", "tty1/new.cfg": "name = \"mine\"\nkernel = \"dom0\"\n",
	})
	disc := mustOpen(t, add(t, AddOptions{In: in, Guests: []string{store}, Replace: true}))
	var found []string
	for _, f := range disc.Files {
		if strings.HasPrefix(f.Path, "guests/") {
			found = append(found, f.Path)
		}
	}
	if want := []string{"guests/other/x.cfg", "guests/tty1/new.cfg"}; !slices.Equal(found, want) {
		t.Errorf("guests %q, want %q", found, want)
	}
}

func TestAddOverItself(t *testing.T) {
	in := save(t, testDisc(t))
	if err := Add(t.Context(), AddOptions{In: in, Out: in, Guests: []string{webGuest(t)}}); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, in)
	if mustOpen(t, in).Lookup("guests/web/web.cfg") == nil {
		t.Error("the guest is not there")
	}
}

func TestAddRefuses(t *testing.T) {
	good := save(t, testDisc(t))
	old := testDisc(t)
	old.Sums, old.Structure = "", ""
	foreign := foreignDisc()
	guest := func(files map[string]string) []string { return []string{writeFiles(t, files)} }
	bad := filepath.Join(writeFiles(t, map[string]string{"s.txt": "timeout = soon\n"}), "s.txt")
	for _, test := range []struct {
		name string
		opts AddOptions
		want string
	}{
		{"nothing to add", AddOptions{In: good}, "nothing to add"},
		{"no disc", AddOptions{In: good + ".none", Settings: bad}, ".none"},
		{"no image", AddOptions{In: bad, Settings: bad}, "this is no ISO 9660 image"},
		{"not ours", AddOptions{In: save(t, foreign), Settings: bad}, "this is no zerodisc disc"},
		{"older", AddOptions{In: save(t, old), Guests: []string{webGuest(t)}}, "an older mkiso"},
		{"settings", AddOptions{In: good, Settings: bad}, bad + ":1: timeout"},
		{"no settings", AddOptions{In: good, Settings: bad + ".none"}, "settings: open"},
		{"long settings", AddOptions{In: good, Settings: good}, "is it a file of settings?"},
		{"no configuration", AddOptions{In: good, Guests: guest(map[string]string{"a/README": ""})},
			"there is no *.cfg in this guest directory"},
		{"no guests", AddOptions{In: good, Guests: guest(nil)}, "there are no guests"},
		{"name on the disc",
			AddOptions{In: good, Guests: guest(map[string]string{"a/a.cfg": "kernel=\"dom0\"; name=\"second\""})},
			`a.cfg: the name "second" is that of a guest of the disc; ` +
				"give it another name, or replace the disc's with -replace"},
		{"directory on the disc",
			AddOptions{In: good, Guests: guest(map[string]string{"tty2/a.cfg": "kernel=\"dom0\"; name=\"x\""})},
			"/guests/tty2, is taken by the disc; rename the directory, or replace the disc's with -replace"},
		{"two of one name", AddOptions{In: good, Replace: true, Guests: guest(map[string]string{
			"a/a.cfg": "kernel=\"dom0\"; name=\"x\"",
			"b/b.cfg": "kernel=\"dom0\"; name=\"x\"",
		})}, `the name "x" is taken by`},
		{"long file name", AddOptions{In: good, Guests: guest(map[string]string{
			"a/a.cfg":                       "kernel=\"dom0\"",
			"a/" + strings.Repeat("n", 130): "",
		})}, "at most 128 fit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Out = filepath.Join(t.TempDir(), "out.iso")
			err := Add(t.Context(), test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			nothingLeft(t, test.opts.Out)
		})
	}
}

// nothingLeft looks for files in the directory of a disc that was not written.
func nothingLeft(t *testing.T, out string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
		t.Errorf("%v are left, %v", entries, err)
	}
}

// TestAddRefusesDamage: a damaged file would get a new sum on the new disc, and be whole for ever after.
func TestAddRefusesDamage(t *testing.T) {
	for _, place := range places(t) {
		t.Run(place.name, func(t *testing.T) {
			in := save(t, testDisc(t))
			flip(t, in, place.at)
			out := filepath.Join(t.TempDir(), "out.iso")
			if err := Add(t.Context(), AddOptions{In: in, Out: out, Guests: []string{webGuest(t)}}); err == nil {
				t.Error("the damage is taken over")
			}
			nothingLeft(t, out)
		})
	}
}

func TestAddCancelled(t *testing.T) {
	for _, step := range []string{"reading what is added", "writing the image"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := filepath.Join(t.TempDir(), "out.iso")
		progress := func(now string, _, _ int64) {
			if now == step {
				cancel()
			}
		}
		err := Add(ctx, AddOptions{
			In: save(t, testDisc(t)), Out: out, Guests: []string{webGuest(t)}, Progress: progress,
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while %s: %v", step, err)
		}
		nothingLeft(t, out)
	}
}

// flip flips a bit of a file.
func flip(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// place is a byte of the test's disc.
type place struct {
	name string
	at   int64
	want string // what Verify says of it
}

// places are bytes of each kind.
func places(t *testing.T) []place {
	t.Helper()
	name := save(t, testDisc(t))
	disc := mustOpen(t, name)
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	start := func(path string) int64 { return int64(disc.Lookup(path).Extents[0].LBA) * iso9660.SectorSize }
	find := func(text string) int64 { return int64(bytes.Index(image, []byte(text))) }
	list, structure := start(boot.MediumSums), structureName+": "
	line := list + int64(strings.Index(read(t, disc, boot.MediumSums), "  README"))
	return []place{
		{"file", start("README"), "README: is not as it was written"},
		{"shared file", start("guests/tty1/initrd.img") + 5, "guests/tty2/initrd.img: is not"},
		{"BIOS image", start("boot/grub/bios.img") + 3000, "boot/grub/bios.img: is not"},
		{"EFI image", start("boot/grub/efi.img") + 3000, "boot/grub/efi.img: is not"},
		{"boot code", 100, structure},
		{"disk's signature", 441, structure},
		{"active flag", 446 + 16, structure},
		{"partition table", 512 + 56, structure},
		{"backup of the partition table", disc.Size() - 512, structure},
		{"volume descriptor", 16*2048 + 200, structure},
		{"boot catalog", 19*2048 + 12, structureName},
		{"date in a directory", find("README.;1") - 33 + 18, structure},
		{"name in a directory", find("NM\x0b\x01\x00README") + 5, "READM"},
		{"behind a file", start("README") + 2000, structure},
		{"padding", disc.Size() - 100_000, structure},
		{"sum in the list", line - 3, boot.MediumSums + ": "},
		{"space in the list", line, boot.MediumSums + ": line"},
		{"path in the list", line + 3, boot.MediumSums},
		{"sum of the structure", start(boot.MediumStructure), boot.MediumStructure + ": is not"},
	}
}

func TestVerify(t *testing.T) {
	mustVerify(t, save(t, testDisc(t)))
	for _, place := range places(t) {
		t.Run(place.name, func(t *testing.T) {
			name := save(t, testDisc(t))
			flip(t, name, place.at)
			var out bytes.Buffer
			err := Verify(t.Context(), &out, name, nil)
			said := fmt.Sprint(out.String(), err)
			if err == nil || !strings.Contains(said, place.want) || strings.Contains(out.String(), "ok") {
				t.Errorf("verify says\n%s%v, want %q", out.String(), err, place.want)
			}
		})
	}
}

// TestVerifyEveryBitOfTheList finds what two texts of a list that say the same to sha256sum differ in.
func TestVerifyEveryBitOfTheList(t *testing.T) {
	name := save(t, testDisc(t))
	disc := mustOpen(t, name)
	list := disc.Lookup(boot.MediumSums)
	for at := range list.Size {
		if at%41 != 0 {
			continue
		}
		damaged := int64(list.Extents[0].LBA)*iso9660.SectorSize + at
		flipBit(t, name, damaged, byte(1<<(at%8)))
		var out bytes.Buffer
		if err := Verify(t.Context(), &out, name, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d of the list: %v", at, err)
		}
		flipBit(t, name, damaged, byte(1<<(at%8)))
	}
}

func flipBit(t *testing.T, name string, at int64, bit byte) {
	t.Helper()
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	image[at] ^= bit
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyStick reads a disc that was written to something bigger.
func TestVerifyStick(t *testing.T) {
	name := save(t, testDisc(t))
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, info.Size()+1<<20+7); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, name)
}

func TestVerifyRefuses(t *testing.T) {
	old := testDisc(t)
	old.Sums, old.Structure = "", ""
	for _, test := range []struct{ name, file, want string }{
		{"older", save(t, old), "there is no SHA256SUMS"},
		{"no image", filepath.Join(writeFiles(t, map[string]string{"a": "text"}), "a"), "no ISO 9660 image"},
		{"gone", "/nonexistent", "nonexistent"},
	} {
		err := Verify(t.Context(), io.Discard, test.file, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want mention of %q", test.name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Verify(ctx, io.Discard, save(t, testDisc(t)), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestInspect(t *testing.T) {
	name := add(t, AddOptions{In: save(t, testDisc(t)), Guests: []string{webGuest(t)}})
	var out bytes.Buffer
	if err := Inspect(&out, name); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"zerodisc 0.1 build id " + buildID + " remastered as " + buildID + "-",
		"volume label ZERODISC", "date 2026-02-03 04:05:06 UTC",
		"CD, BIOS El Torito image at sector 20: boot/grub/bios.img", "CD, UEFI El Torito image", "disk, BIOS boot code",
		"disk, UEFI GPT partition 1: EFI system partition",
		"Xen 3.0 kB 4.20.4", "Linux kernel 5.0 kB 6.12.1-1", " kB 2.12-9 guests ",
		"tty1 /guests/tty1 PVH or PV 96 MiB 1 0.1 kB 107.6 kB",
		"second /guests/tty2", "web /guests/web PVH or PV 128 MiB 2 20.1 kB 0.0 kB", "in all",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// TestInspectFirmware checks what is said of a disc that was built with firmware.
func TestInspectFirmware(t *testing.T) {
	img := testDisc(t)
	i := slices.IndexFunc(img.Files, func(f iso9660.File) bool { return f.Path == builtName })
	text := strings.Replace(builtText, "grub-common", "amd64-microcode 3.2025 dd\nfirmware-bnx2 2025-2 ee\n"+
		"firmware-qlogic 2025-2 ff\ngrub-common", 1)
	img.Files[i].Content = iso9660.Bytes([]byte(text))
	for _, test := range []struct {
		img  *iso9660.Image
		want bool
	}{{testDisc(t), false}, {img, true}} {
		var out bytes.Buffer
		if err := Inspect(&out, save(t, test.img)); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(strings.Fields(out.String()), " ")
		if strings.Contains(said, "firmware amd64-microcode 3.2025, 2 packages firmware-* How it boots") != test.want ||
			strings.Contains(said, "firmware") != test.want {
			t.Errorf("with firmware %v it says:\n%s", test.want, out.String())
		}
	}
}

// foreignDisc is a disc that is none of ours.
func foreignDisc() *iso9660.Image {
	return &iso9660.Image{
		VolumeID: "OTHER",
		ModTime:  time.Unix(1<<30, 0),
		Files:    []iso9660.File{{Path: "a", Content: iso9660.Bytes(nil)}},
	}
}

func TestInspectRefuses(t *testing.T) {
	err := Inspect(io.Discard, save(t, foreignDisc()))
	if err == nil || !strings.Contains(err.Error(), "this is no zerodisc disc") {
		t.Errorf("error %v", err)
	}
}

func FuzzBuilt(f *testing.F) {
	f.Add(builtText)
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := parseBuilt(text); err == nil && (b.ID == "" || b.Version == "") {
			t.Errorf("%q is accepted", text)
		}
	})
}

// TestAddPlaces has Out be a link that leads to In, guests in a Git repository, and places that are refused.
func TestAddPlaces(t *testing.T) {
	in := save(t, testDisc(t))
	link := filepath.Join(t.TempDir(), "link.iso")
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	store := writeFiles(t, map[string]string{"web/web.cfg": "kernel = \"dom0\"\n", ".git/config": "secret"})
	var notes []string
	opts := AddOptions{
		In: in, Out: link, Guests: []string{store}, Note: func(line string) { notes = append(notes, line) },
	}
	if err := Add(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); target != in {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	mustVerify(t, in)
	disc := mustOpen(t, in)
	if disc.Lookup("guests/web/web.cfg") == nil || disc.Lookup("guests/.git/config") != nil {
		t.Error("the disc does not have the guest, or more than it")
	}
	want := []string{"left out of the disc:", "  " + store + "/.git (in no guest's directory)"}
	if !slices.Equal(notes, want) {
		t.Errorf("notes are %q, want %q", notes, want)
	}
	for out, want := range map[string]string{store: "it is a directory; name a file", store + "/web/web.cfg/x": "-o "} {
		opts.Out = out
		if err := Add(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want mention of %q", out, err, want)
		}
	}
}
