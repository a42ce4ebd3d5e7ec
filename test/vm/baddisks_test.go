//go:build vm && full

package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/zerodisc/zerodisc/internal/blkid"
)

// badKinds are the file systems that are cut short or damaged: how one is made, and how many bytes at its beginning
// say what it is.
var badKinds = []struct {
	kind, command string
	mib, head     int64
}{
	{"ext4", `mkfs.ext4 -q -d $DIR $FILE`, 64, 2 << 10},
	{"xfs", `mkfs.xfs -q $FILE`, 304, 512},
	{"btrfs", `mkfs.btrfs -q --rootdir $DIR $FILE`, 128, 68 << 10},
	{"vfat", `mkfs.vfat -F 32 $FILE >/dev/null && mcopy -s -i $FILE $DIR/* ::`, 64, 16 << 10},
	{"exfat", `mkfs.exfat $FILE >/dev/null`, 64, 12 << 10},
	{"ntfs", `mkfs.ntfs -q -F -f $FILE`, 64, 20 << 10},
	{"iso9660", `xorriso -as mkisofs -quiet -R -o $FILE $DIR`, 0, 52 << 10},
	{"squashfs", `mksquashfs $DIR $FILE -quiet -no-progress -noappend`, 0, 96},
	{"erofs", `mkfs.erofs --quiet $FILE $DIR`, 0, 4 << 10},
}

// noise is n bytes without any order, the same for a seed.
func noise(seed, n int64) []byte {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	data := make([]byte, n)
	_, _ = random.Read(data)
	return data
}

// cutBytes is what is left of a file system that is cut short.
const cutBytes = 8 << 20

// makeBadKinds makes two disks with a partition for each file system: on the first one they are cut short, on the
// second one only their beginnings are left.
func makeBadKinds(t *testing.T) (cut, hit string) {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "payload"), string(noise(1, 20<<20)))
	mustMkdir(t, filepath.Join(root, "guests/stranger"))
	write(t, filepath.Join(root, "guests/stranger/stranger.cfg"), "kernel = \"dom0\"\n")
	var cuts, hits []partition
	for i, k := range badKinds {
		file := filepath.Join(t.TempDir(), k.kind)
		if k.mib > 0 {
			file = emptyDisk(t, k.kind, k.mib)
		}
		tool(t, "sh", "-c", strings.NewReplacer("$DIR", root, "$FILE", file).Replace(k.command))
		data, err := os.ReadFile(file)
		if err != nil || len(data) < 2*cutBytes {
			t.Fatalf("%s: %d bytes, %v", k.kind, len(data), err)
		}
		cuts = append(cuts, partition{name: "cut " + k.kind, data: bytes.Clone(data[:cutBytes])})
		copy(data[k.head:min(int64(len(data)), 64<<20)], noise(int64(i), 64<<20))
		hits = append(hits, partition{name: "hit " + k.kind, data: data})
		for _, p := range []partition{cuts[i], hits[i]} {
			content, err := blkid.Identify(blkid.Device{ReaderAt: bytes.NewReader(p.data), Size: int64(len(p.data))})
			if err != nil || content.Type != k.kind {
				t.Fatalf("%s holds %q, %v", p.name, content.Type, err)
			}
		}
	}
	return writeGPT(t, cuts), writeGPT(t, hits)
}

func mustMkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// partition is an entry of a GPT. Without first and last, in sectors, it follows the one before.
type partition struct {
	name        string
	data        []byte
	first, last uint64
}

const gptSector = 512

// writeGPT makes a disk with a GUID partition table (UEFI specification, 5.3), whatever the entries say. What would be
// past the end of the disk is not written.
func writeGPT(t *testing.T, partitions []partition) string {
	t.Helper()
	entries := make([]byte, max(128, len(partitions))*128)
	firstUsable := 2 + uint64(len(entries)/gptSector) + 1
	next := (firstUsable + 7) &^ 7
	for i, p := range partitions {
		if p.last == 0 {
			p.first, p.last = next, next+uint64(max(len(p.data), 4096)/gptSector)-1
			next = (p.last + 8) &^ 7
		}
		partitions[i] = p
		entry := entries[i*128:]
		copy(entry, "zerodisc-of-kind")
		copy(entry[16:], fmt.Sprintf("bad disk %07d", i))
		binary.LittleEndian.PutUint64(entry[32:], p.first)
		binary.LittleEndian.PutUint64(entry[40:], p.last)
		for j, unit := range utf16.Encode([]rune(p.name)) {
			binary.LittleEndian.PutUint16(entry[56+2*j:], unit)
		}
	}
	last := next + 2048
	file := emptyDisk(t, "gpt.img", 0)
	disk, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	put := func(data []byte, sector uint64) {
		if _, err := disk.WriteAt(data, int64(sector*gptSector)); err != nil {
			t.Fatal(err)
		}
	}
	mbr := make([]byte, 512)
	copy(mbr[446:], "\x00\x00\x02\x00\xee\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff")
	copy(mbr[510:], "\x55\xaa")
	put(mbr, 0)
	put(gptHeader(entries, 1, last, 2, firstUsable), 1)
	put(entries, 2)
	put(entries, last-uint64(len(entries)/gptSector))
	put(gptHeader(entries, last, 1, last-uint64(len(entries)/gptSector), firstUsable), last)
	for _, p := range partitions {
		if p.data != nil && p.first < last {
			put(p.data, p.first)
		}
	}
	return file
}

// gptHeader is the header at sector at. Usable is all that is not the table's.
func gptHeader(entries []byte, at, other, entriesAt, firstUsable uint64) []byte {
	h := make([]byte, gptSector)
	copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
	lastUsable := max(at, other) - uint64(len(entries)/gptSector) - 1
	for place, value := range map[int]uint64{24: at, 32: other, 40: firstUsable, 48: lastUsable, 72: entriesAt} {
		binary.LittleEndian.PutUint64(h[place:], value)
	}
	copy(h[56:], "zerodisc bad one")
	binary.LittleEndian.PutUint32(h[80:], uint32(len(entries)/128))
	binary.LittleEndian.PutUint32(h[84:], 128)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return h
}

// makeLoopingMBR makes a disk whose chain of logical partitions leads back to its beginning. Linux makes partitions of
// the same sectors until it has no numbers left.
func makeLoopingMBR(t *testing.T, data []byte) string {
	t.Helper()
	disk := make([]byte, 1<<20+len(data))
	entry := func(record []byte, n int, kind byte, start, sectors uint32) {
		e := record[446+16*n:]
		e[4] = kind
		binary.LittleEndian.PutUint32(e[8:], start)
		binary.LittleEndian.PutUint32(e[12:], sectors)
		copy(record[510:], "\x55\xaa")
	}
	sectors := uint32(len(data) / 512)
	entry(disk, 0, 0x05, 1024, sectors+1024)
	entry(disk[1024*512:], 0, 0x83, 1024, sectors)
	entry(disk[1024*512:], 1, 0x05, 0, sectors+1024)
	copy(disk[1<<20:], data)
	file := filepath.Join(t.TempDir(), "mbr.img")
	write(t, file, string(disk))
	return file
}

// fileSystem makes an ext4 file system with what is in a directory.
func fileSystem(t *testing.T, mib int64, label, dir string) string {
	t.Helper()
	file := emptyDisk(t, "disk.img", mib)
	tool(t, "mkfs.ext4", "-q", "-O", "^metadata_csum,^dir_index", "-L", label, "-d", dir, file)
	return file
}

// store makes a volume with one guest's configuration, which is long enough to be a disk, too.
func store(t *testing.T, mib int64, label, guest, config string) string {
	t.Helper()
	root := t.TempDir()
	mustMkdir(t, filepath.Join(root, "guests", guest))
	write(t, filepath.Join(root, "guests", guest, "guest.cfg"), config+strings.Repeat("#\n", 2048))
	return fileSystem(t, mib, label, root)
}

// makeSelfContained makes disks that are parts of themselves: the header of each is once more where its volume begins.
func makeSelfContained(t *testing.T) (group, array string) {
	t.Helper()
	files := unpackDisks(t)
	for _, name := range []string{"usb.0", "raid.0"} {
		disk, err := os.OpenFile(files[name], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer disk.Close()
		head := make([]byte, 1<<20)
		if _, err = disk.ReadAt(head, 0); err == nil {
			_, err = disk.WriteAt(head, 1<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return files["usb.0"], files["raid.0"]
}
