package diskimage

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func mkdir(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
}

// qcow2On makes an empty image of 1 MiB with a backing file.
func qcow2On(backing, format string) []byte {
	b := emptyQCOW2()
	at := qcow2HeaderV3
	if format != "" {
		binary.BigEndian.PutUint32(b[at:], extensionBackingFormat)
		binary.BigEndian.PutUint32(b[at+4:], uint32(len(format)))
		copy(b[at+8:], format)
		at += 8 + (len(format)+7)&^7
	}
	at += 8
	copy(b[at:], backing)
	binary.BigEndian.PutUint64(b[8:], uint64(at))
	binary.BigEndian.PutUint32(b[16:], uint32(len(backing)))
	return b
}

// emptyQCOW2 makes an image of 1 MiB, of clusters of 4 KiB, with an L1 table and an L2 table that have no entries.
func emptyQCOW2() []byte {
	const cluster = 4096
	b := make([]byte, 4*cluster)
	copy(b, qcow2Magic)
	binary.BigEndian.PutUint32(b[4:], 3)
	binary.BigEndian.PutUint32(b[20:], 12)
	binary.BigEndian.PutUint64(b[24:], 1<<20)
	binary.BigEndian.PutUint32(b[36:], 1)
	binary.BigEndian.PutUint64(b[40:], cluster)
	binary.BigEndian.PutUint32(b[100:], qcow2HeaderV3)
	binary.BigEndian.PutUint64(b[cluster:], 2*cluster)
	return b
}

// TestChainRefuses lets images name files that they must not reach.
func TestChainRefuses(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "secret", make([]byte, 1<<20))
	for name, test := range map[string]struct {
		backing, format string
		want            string
	}{
		"absolute":         {outside + "/secret", "raw", "qemu-img rebase -u -F raw -b secret disk.qcow2"},
		"dotdot":           {"../secret", "raw", "escapes from parent; put secret into the directory of the image"},
		"deep dotdot":      {"sub/../../secret", "raw", "escapes"},
		"symbolic link":    {"link", "raw", "escapes"},
		"linked dir":       {"linked/secret", "raw", "escapes"},
		"itself":           {"disk.qcow2", "qcow2", "based on itself"},
		"hard link":        {"hard", "qcow2", "based on itself"},
		"each other":       {"other.qcow2", "qcow2", "another image: disk.qcow2: the image is based on itself"},
		"missing":          {"base\x1b[2J", "raw", `base\x1b[2J: no such file or directory; put base\x1b[2J into`},
		"no format":        {"base.raw", "", "qemu-img rebase -u -F FORMAT -b base.raw disk.qcow2"},
		"unknown format":   {"base.raw", "qed", `the format "qed"`},
		"wrong format":     {"base.raw", "qcow2", "not a qcow2 image"},
		"pipe":             {"pipe", "raw", "not a regular file"},
		"directory":        {"sub", "raw", "not a regular file"},
		"json":             {`json:{"driver":"nbd"}`, "raw", "is not a file"},
		"URL":              {"nbd://host/disk", "raw", "is not a file"},
		"NUL":              {"base.raw\x00", "raw", `base.raw\x00: invalid argument`},
		"name of 2000":     {strings.Repeat("x", 2000), "raw", "2000 bytes"},
		"long format":      {"base.raw", strings.Repeat("r", 16), "16 bytes"},
		"deep":             {"0.qcow2", "qcow2", "more than 32 images"},
		"component":        {strings.Repeat("x", 300), "raw", "file name too long"},
		"below a file":     {"base.raw/x", "raw", "not a directory"},
		"loop of links":    {"loop", "raw", "too many levels of symbolic links"},
		"absolute Windows": {`C:\base.raw`, "raw", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "base.raw", make([]byte, 1<<20))
			write(t, dir, "disk.qcow2", qcow2On(test.backing, test.format))
			write(t, dir, "other.qcow2", qcow2On("disk.qcow2", "qcow2"))
			for n := range 40 {
				write(t, dir, fmt.Sprintf("%d.qcow2", n), qcow2On(fmt.Sprintf("%d.qcow2", n+1), "qcow2"))
			}
			mkdir(t, dir, "sub")
			links := map[string]string{"link": outside + "/secret", "linked": outside, "loop": "loop"}
			for link, target := range links {
				if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Link(filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "hard")); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := tryOpen(t, dir, "disk.qcow2", "qcow2")
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "disk.qcow2") {
				t.Errorf("error %q, want %q", err, test.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\x00") {
				t.Errorf("not printable: %q", err)
			}
		})
	}
}

// TestLinksInside: what stays in the directory is fine.
func TestLinksInside(t *testing.T) {
	dir := t.TempDir()
	disk := content(1 << 20)
	mkdir(t, dir, "sub")
	write(t, dir, "base.raw", disk)
	write(t, dir, "sub/disk.qcow2", qcow2On("../link", "raw"))
	if err := os.Symlink("base.raw", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	check(t, open(t, dir, "sub/disk.qcow2", "qcow2"), disk)
}

func TestUnknownFormat(t *testing.T) {
	_, err := tryOpen(t, t.TempDir(), "disk.qed", "qed")
	if err == nil || err.Error() != `disk.qed: the disk format "qed" is unknown; known are qcow2, raw, vhd, vmdk` {
		t.Error(err)
	}
}

// TestRawStaysRaw: a guest may write what it likes to its raw disk.
func TestRawStaysRaw(t *testing.T) {
	dir := t.TempDir()
	disk := qcow2On("/etc/shadow", "raw")
	write(t, dir, "disk.img", disk)
	check(t, open(t, dir, "disk.img", "raw"), disk)
}

// TestOpenClosesFiles: an image that is refused leaves nothing open.
func TestOpenClosesFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "disk.qcow2", qcow2On("base.qcow2", "qcow2"))
	write(t, dir, "base.qcow2", qcow2On("missing", "raw"))
	openFiles := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	before := openFiles()
	for range 10 {
		if _, err := tryOpen(t, dir, "disk.qcow2", "qcow2"); err == nil {
			t.Fatal("opened")
		}
	}
	if now := openFiles(); now > before {
		t.Errorf("%d files are open, %d before", now, before)
	}
}
