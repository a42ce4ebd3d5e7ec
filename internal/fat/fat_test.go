package fat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var modTime = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func testImage(files ...File) Image {
	return Image{Label: "ZERODISC", ID: 0x1234ABCD, ModTime: modTime, Files: files}
}

func TestFATSizes(t *testing.T) {
	for _, test := range []struct {
		name string
		size int
		kind string
	}{
		{"empty", 0, "FAT12"},
		{"one byte", 1, "FAT12"},
		{"odd cluster count", 3 * clusterSize, "FAT12"},
		{"largest FAT12", (maxFAT12 - 2) * clusterSize, "FAT12"},
		{"smallest FAT16", (maxFAT12 - 1) * clusterSize, "FAT16"},
		{"over 65535 sectors", 70000 * sectorSize, "FAT16"},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := bytes.Repeat([]byte("0123456789abcdef"), test.size/16+1)[:test.size]
			b, err := testImage(File{"EFI/BOOT/BOOTX64.EFI", data}).Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(b[54:59]); got != test.kind {
				t.Errorf("type %s, want %s", got, test.kind)
			}
			if len(b)%clusterSize != 0 {
				t.Errorf("size %d is not whole clusters", len(b))
			}
			path := write(t, b)
			hostTool(t, "fsck.fat", "-n", "-v", path)
			hostTool(t, "mcopy", "-i", path, "::/EFI/BOOT/BOOTX64.EFI", path+".efi")
			if got, _ := os.ReadFile(path + ".efi"); !bytes.Equal(got, data) {
				t.Errorf("mcopy read %d other bytes than the %d written", len(got), len(data))
			}
		})
	}
}

func TestManyFiles(t *testing.T) {
	var files []File
	for _, dir := range []string{"", "A/", "A/B/", "C/"} {
		for i := range 100 {
			name := dir + "F" + hex.EncodeToString([]byte{byte(i)}) + ".X"
			files = append(files, File{name, []byte(name)})
		}
	}
	b, err := testImage(files...).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, b)
	hostTool(t, "fsck.fat", "-n", path)
	if got := hostTool(t, "mdir", "-i", path, "-/", "-b", "::/"); strings.Count(got, ".X") != len(files) {
		t.Errorf("mdir lists %d files, want %d", strings.Count(got, ".X"), len(files))
	}
	if got := hostTool(t, "mtype", "-i", path, "::/A/B/F63.X"); got != "A/B/F63.X" {
		t.Errorf("A/B/F63.X holds %q", got)
	}
}

func TestSameBytesTwice(t *testing.T) {
	a, b := File{"A/ONE.TXT", []byte("one")}, File{"A/TWO.TXT", []byte("two")}
	first, err := testImage(a, b).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	second, err := testImage(b, a).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(first) != sha256.Sum256(second) {
		t.Error("the order of the files changes the image")
	}
}

func TestRefusals(t *testing.T) {
	good := File{"A.TXT", nil}
	for _, test := range []struct {
		name, want string
		image      Image
	}{
		{"long name", "8.3", testImage(File{"bootloader.efi", nil})},
		{"two dots", "8.3", testImage(File{"a.b.c", nil})},
		{"space", "8.3", testImage(File{"a b", nil})},
		{"not ASCII", "8.3", testImage(File{"ä.txt", nil})},
		{"outside", "below the root", testImage(File{"../a", nil})},
		{"case only", "there already", testImage(good, File{"a.txt", nil})},
		{"below a file", "there already", testImage(good, File{"A.TXT/B", nil})},
		{"long label", "label", Image{Label: "TWELVE_CHARS", ModTime: modTime}},
		{"old", "1980", Image{Label: "X", ModTime: time.Unix(0, 0)}},
		{"too big", "clusters", testImage(File{"BIG", make([]byte, 65525*clusterSize)})},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := test.image.Bytes(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %q", err, test.want)
			}
		})
	}
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fat.img")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hostTool runs an independent judge of the image, which must be content with it.
func hostTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (Debian packages dosfstools, mtools)", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
