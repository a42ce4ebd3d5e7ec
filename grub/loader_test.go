package grub

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// payloadVariable names the directory with unpacked Debian packages that some tests want.
const payloadVariable = "ZERODISC_PAYLOAD"

func needPayload(t *testing.T) string {
	t.Helper()
	payload := os.Getenv(payloadVariable)
	if payload == "" {
		t.Skipf("%s does not name a directory with the unpacked Debian packages "+
			"grub-common, grub-pc-bin, grub-efi-amd64-bin", payloadVariable)
	}
	return payload
}

// fakeLoader has images of the right shape that do not boot.
func fakeLoader() *Loader {
	return &Loader{
		BuildID: "0123456789abcdef",
		BIOS:    bytes.Repeat([]byte{1, 2, 3}, 70_000), EFI: bytes.Repeat([]byte("MZ"), 450_000),
		MBR: bytes.Repeat([]byte{0x90}, 512),
	}
}

// writeISO writes an image that loader makes bootable.
func writeISO(t *testing.T, loader *Loader) (name string, img *iso9660.Image) {
	t.Helper()
	img = &iso9660.Image{
		VolumeID: "ZERODISC", ModTime: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
		Files: []iso9660.File{{Path: "boot/grub/grub.cfg", Content: iso9660.Bytes([]byte("halt\n"))}},
	}
	if err := loader.AddTo(img); err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), "test.iso")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := img.Write(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
	return name, img
}

func TestPatches(t *testing.T) {
	name, img := writeISO(t, fakeLoader())
	iso, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := img.Layout()
	if err != nil {
		t.Fatal(err)
	}
	lba, _ := layout.LBA(img.Boot[0].Content)
	image := iso[lba*iso9660.SectorSize:][:img.Boot[0].Content.Size]
	var sum uint32
	for i := 64; i < len(image); i += 4 {
		var word [4]byte
		copy(word[:], image[i:])
		sum += binary.LittleEndian.Uint32(word[:])
	}
	for _, test := range []struct {
		name      string
		got, want uint64
	}{
		{"first block in the master boot record", binary.LittleEndian.Uint64(iso[0x1b0:]), uint64(4*lba + 4)},
		{"first block in diskboot", binary.LittleEndian.Uint64(image[2548:]), uint64(4*lba + 5)},
		{"descriptor in the boot table", uint64(binary.LittleEndian.Uint32(image[8:])), 16},
		{"image in the boot table", uint64(binary.LittleEndian.Uint32(image[12:])), uint64(lba)},
		{"length in the boot table", uint64(binary.LittleEndian.Uint32(image[16:])), uint64(len(image))},
		{"sum in the boot table", uint64(binary.LittleEndian.Uint32(image[20:])), uint64(sum)},
		{"rest of the boot table", uint64(len(bytes.Trim(image[24:64], "\x00"))), 0},
	} {
		if test.got != test.want {
			t.Errorf("%s: %d, want %d", test.name, test.got, test.want)
		}
	}
}

func TestShortImagesAreRefused(t *testing.T) {
	loader := fakeLoader()
	loader.BIOS = loader.BIOS[:2000]
	if err := loader.AddTo(&iso9660.Image{VolumeID: "X", ModTime: time.Unix(1<<30, 0)}); err == nil {
		t.Error("a BIOS image without diskboot is accepted")
	}
}

// TestPartitionTables asks everybody who reads partition tables whether they are content.
func TestPartitionTables(t *testing.T) {
	name, _ := writeISO(t, fakeLoader())
	for _, test := range []struct {
		command []string
		pkg     string
		want    []string
		never   []string
	}{
		{[]string{"sgdisk", "-v", "-p", name}, "gdisk",
			[]string{"No problems found", "EF00", "EFI system partition"}, []string{"aution", "arning"}},
		{[]string{"fdisk", "-l", name}, "fdisk",
			[]string{"Disklabel type: gpt", "EFI System"}, []string{"PMBR size", "corrupt", "align"}},
		{[]string{"xorriso", "-abort_on", "WARNING", "-indev", name,
			"-report_el_torito", "plain", "-report_system_area", "plain"}, "xorriso",
			[]string{"BIOS  y   none", "UEFI  y   none", "grub2-mbr", "GPT",
				"boot-info-table", "grub2-boot-info", "El Torito img path :   1  /boot/grub/bios.img"}, nil},
	} {
		t.Run(test.command[0], func(t *testing.T) {
			// That no sector before the first partition is usable is meant (disk.go).
			out := strings.Replace(hostTool(t, test.pkg, test.command...), "Warning: There is a gap between", "", 1)
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
			for _, never := range test.never {
				if strings.Contains(out, never) {
					t.Errorf("says %q:\n%s", never, out)
				}
			}
		})
	}
}

// TestLaterPartition puts the image on a stick and makes a partition in what is left, as a person would: it
// must not lie in the image, not even where the table still says that the disk ends with that.
func TestLaterPartition(t *testing.T) {
	for _, test := range []struct {
		name    string
		command []string
		size    uint64 // bytes that the partition has at least
	}{
		{"table moved to the end", []string{"sgdisk", "-e", "-n", "0:0:0"}, 32 << 20},
		{"table as it was written", []string{"sgdisk", "-n", "0:0:0"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			name, _ := writeISO(t, fakeLoader())
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(name, 64<<20); err != nil {
				t.Fatal(err)
			}
			hostTool(t, "gdisk", append(test.command, name)...)
			hostTool(t, "gdisk", "sgdisk", "-v", name)
			stick, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer stick.Close()
			table, err := gpt.Read(file.New(stick, true), 512, 512)
			if err != nil {
				t.Fatal(err)
			}
			later := table.Partitions[2]
			if iso9660.MaxTail != boot.MediumPadding {
				t.Errorf("the padding has %d bytes", iso9660.MaxTail)
			}
			if end := uint64(info.Size()) - iso9660.MaxTail; later.Start*512 < end || later.Size < test.size {
				t.Errorf("the new partition starts at byte %d and has %d; the files end at %d",
					later.Start*512, later.Size, end)
			}
		})
	}
}

func TestSystemPartition(t *testing.T) {
	loader := fakeLoader()
	name, _ := writeISO(t, loader)
	iso, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer iso.Close()
	table, err := gpt.Read(file.New(iso, true), 512, 512)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Partitions) == 0 || table.Partitions[0].Type != gpt.EFISystemPartition {
		t.Fatalf("partitions %+v", table.Partitions)
	}
	info, err := iso.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Verify(file.New(iso, true), uint64(info.Size())); err != nil {
		t.Errorf("go-diskfs: %v", err)
	}
	part := table.Partitions[0]
	esp := make([]byte, part.Size)
	if _, err := iso.ReadAt(esp, int64(part.Start)*512); err != nil {
		t.Fatal(err)
	}
	path := name + ".esp"
	if err := os.WriteFile(path, esp, 0o600); err != nil {
		t.Fatal(err)
	}
	hostTool(t, "dosfstools", "fsck.fat", "-n", path)
	if got := hostTool(t, "mtools", "mtype", "-i", path, "::/EFI/BOOT/BOOTX64.EFI"); got != string(loader.EFI) {
		t.Errorf("BOOTX64.EFI has %d bytes, want %d", len(got), len(loader.EFI))
	}
}

func hostTool(t *testing.T, pkg string, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed (Debian package %s)", command[0], pkg)
	}
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func TestBuildSameBytesTwice(t *testing.T) {
	payload := needPayload(t)
	var loaders [2]*Loader
	for i := range loaders {
		var err error
		if loaders[i], err = Build(t.Context(), payload, "0123456789abcdef"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(loaders[0].BIOS, loaders[1].BIOS) || !bytes.Equal(loaders[0].EFI, loaders[1].EFI) {
		t.Error("grub-mkimage gives other bytes the second time")
	}
	writeISO(t, loaders[0])
}

func TestBuildNamesWhatIsMissing(t *testing.T) {
	payload := t.TempDir()
	have := func(name string) {
		t.Helper()
		path := filepath.Join(payload, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ missing, pkg string }{
		{"usr/lib/grub/i386-pc/boot_hybrid.img", "grub-pc-bin"},
		{"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "libc6"},
		{"usr/bin/grub-mkimage", "grub-common"},
		{"usr/lib/grub/i386-pc/kernel.img", "grub-pc-bin"},
	} {
		_, err := Build(t.Context(), payload, "1")
		if err == nil || !strings.Contains(err.Error(), step.missing) ||
			!strings.Contains(err.Error(), "package "+step.pkg) {
			t.Errorf("error %v, want %s and package %s", err, step.missing, step.pkg)
		}
		have(step.missing)
	}
}
