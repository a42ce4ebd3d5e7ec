package blkid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// put writes numbers and texts into an image at offsets.
func put(image []byte, fields map[int]any) []byte {
	for at, field := range fields {
		switch v := field.(type) {
		case string:
			copy(image[at:], v)
		case byte:
			image[at] = v
		case uint16:
			binary.LittleEndian.PutUint16(image[at:], v)
		case uint32:
			binary.LittleEndian.PutUint32(image[at:], v)
		case uint64:
			binary.LittleEndian.PutUint64(image[at:], v)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	return image
}

const mib = 1 << 20

// raidImage makes a member of an array with a superblock of version 1.
func raidImage(size, at int) []byte {
	b := put(make([]byte, size), map[int]any{
		at: uint32(raidMagic), at + 4: uint32(1), at + 16: "0123456789abcdef", at + 32: "host:name",
		at + 144: uint64(at / 512), at + 168: "ABCDEFGHIJKLMNOP", at + 220: uint32(3), at + 256: uint16(0),
		at + 258: uint16(1), at + 260: uint16(0xffff),
	})
	return put(b, map[int]any{at + 216: raidSum(b[at:at+262], 216)})
}

// raid0Image makes a member of an array with a superblock of version 0.90.
func raid0Image(size int) []byte {
	at := size&^(raidReserved-1) - raidReserved
	return put(make([]byte, size), map[int]any{
		at: uint32(raidMagic), at + 8: uint32(90), at + 20: uint32(0x01020304), at + 32: uint32(512),
		at + 52: uint32(0x05060708), at + 56: uint32(0x090a0b0c), at + 60: uint32(0x0d0e0f10),
	})
}

// partitioned puts an MBR with one partition on an image.
func partitioned(image []byte, start, sectors uint32) []byte {
	return put(image, map[int]any{440: uint32(0xcafe), 450: byte(0x83), 454: start, 458: sectors, 510: "\x55\xaa"})
}

// bitLockerImage makes a volume with a description.
func bitLockerImage(head string, field int) []byte {
	const at = 64 << 10
	return put(make([]byte, mib), map[int]any{
		0: head, field: uint64(at), 510: "\x55\xaa",
		at: "-FVE-FS-", at + 10: uint16(2), at + 64: uint32(48 + 8 + 6),
		at + 80:  "\x33\x22\x11\x00\x55\x44\x77\x66ABCDEFGH",
		at + 112: uint16(14), at + 114: uint16(7), at + 116: uint16(2), at + 120: "P\x00C\x00", // 14 bytes with the NUL
	})
}

// handmade are images of which no program makes one without a kernel or Windows.
var handmade = map[string]struct {
	image []byte
	want  Content
}{
	"RAID 0.90": {raid0Image(2*mib + 4096), Content{
		Type: "linux_raid_member", Version: "0.90.0", UUID: "01020304-0506-0708-090a-0b0c0d0e0f10",
	}},
	"RAID 1.0": {raidImage(4*mib+4096, 4*mib-4096), Content{Type: "linux_raid_member", Version: "1.0"}},
	"RAID 1.1": {raidImage(4*mib, 0), Content{Type: "linux_raid_member", Version: "1.1"}},
	"RAID 1.2": {raidImage(4*mib, 4096), Content{Type: "linux_raid_member", Version: "1.2"}},
	"the last partition's RAID": {
		partitioned(raid0Image(2*mib), 1024, 3072),
		Content{Table: Table{Type: "dos", UUID: "0000cafe", Partitions: []Partition{
			{Number: 1, Start: 1024, Sectors: 3072, Type: "0x83", UUID: "0000cafe-01"},
		}}},
	},
	"BitLocker":       {bitLockerImage("\xeb\x58\x90-FVE-FS-", 176), Content{Type: "BitLocker", Version: "2"}},
	"BitLocker to go": {bitLockerImage("\xeb\x58\x90MSWIN4.1", 440), Content{Type: "BitLocker", Version: "2"}},
	"BitLocker of Vista": {
		put(make([]byte, mib), map[int]any{0: "\xeb\x52\x90-FVE-FS-", 510: "\x55\xaa"}), Content{Type: "BitLocker"},
	},
	"hibernated": {put(make([]byte, mib), map[int]any{
		4086: "S1SUSPEND", 1024: uint32(1), 1028: uint32(9), 1036: "0123456789abcdef",
	}), Content{Type: "swsuspend", Version: "s1suspend", UUID: "30313233-3435-3637-3839-616263646566"}},
}

func TestHandmade(t *testing.T) {
	usages := map[string]Usage{"linux_raid_member": RAID, "BitLocker": Crypto, "swsuspend": Other}
	for name, test := range handmade {
		got, err := Identify(Device{ReaderAt: bytes.NewReader(test.image), Size: int64(len(test.image))})
		want := test.want
		want.Usage = usages[want.Type]
		switch {
		case want.Type == "linux_raid_member" && want.Version[0] == '1':
			want.Label = "host:name"
			want.UUID = "30313233-3435-3637-3839-616263646566"
			want.SubUUID = "41424344-4546-4748-494a-4b4c4d4e4f50"
		case want.Version == "2":
			want.UUID, want.Label = "00112233-4455-6677-4142-434445464748", "PC"
		}
		if got.Table.Type != "" && want.Table.Type == "" {
			got.Table = Table{} // blkid sees one in BitLocker's boot sector, too
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, got\n%+v, want\n%+v", name, err, got, want)
		}
	}
}

// TestHandmadeAgainstBlkid holds the images above to what blkid says of them. Before 2.39 it does not read BitLocker's
// metadata.
func TestHandmadeAgainstBlkid(t *testing.T) {
	for name, test := range handmade {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, test.image, 0o600); err != nil {
			t.Fatal(err)
		}
		got, want := said(identifyPath(t, path)), blkidSays(t, path)
		if want["ID_FS_TYPE"] == "BitLocker" && want["ID_FS_UUID"] == "" {
			maps.DeleteFunc(got, func(key, _ string) bool { return want[key] == "" })
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got  %s\nwant %s", name, sorted(got), sorted(want))
		}
	}
}

func identifyBytes(t *testing.T, image []byte) Content {
	t.Helper()
	content, err := Identify(Device{ReaderAt: bytes.NewReader(image), Size: int64(len(image))})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// whole returns the image of a fixture.
func whole(t *testing.T, name string) []byte {
	t.Helper()
	s, _ := readFixture(t, "testdata/"+name+".txt")
	image, err := io.ReadAll(io.NewSectionReader(s, 0, s.size))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// layered returns the rows of one fixture, cut off at an offset, on those of another.
func layered(t *testing.T, below, above string, end int64) sparse {
	t.Helper()
	image, _ := readFixture(t, "testdata/"+below+".txt")
	top, _ := readFixture(t, "testdata/"+above+".txt")
	for offset, row := range top.rows {
		if offset < end {
			image.rows[offset] = row
		}
	}
	return image
}

// TestDisksWithHistory: what a disk was before may still show.
func TestDisksWithHistory(t *testing.T) {
	lvm := whole(t, "lvm")
	for _, test := range []struct {
		name   string
		image  io.ReaderAt
		size   int64
		want   string
		others []string
	}{
		{"Btrfs that was swap", layered(t, "btrfs-on-swap", "empty", 0), 128 * mib, "btrfs", []string{"swap"}},
		{"ext4 that was Btrfs", layered(t, "btrfs", "ext4", 4096), 128 * mib, "ext4", []string{"btrfs"}},
		{"LUKS on what was ext4", layered(t, "ext4", "luks-1", 16*mib), 16 * mib, "crypto_LUKS", nil},
		{"a file system seen through RAID",
			bytes.NewReader(put(raidImage(4*mib, 4*mib-8192), map[int]any{
				1080: "\x53\xef", 1024 + 0x4c: uint32(1),
			})), 4 * mib, "linux_raid_member", nil},
		{"a partition table on what was LVM",
			bytes.NewReader(partitioned(slices.Clone(lvm), 2048, 4096)), 16 * mib, "", nil},
		{"an empty table on LVM",
			bytes.NewReader(put(lvm, map[int]any{510: "\x55\xaa"})), 16 * mib, "LVM2_member", nil},
		{"a disc of both kinds", layered(t, "udf-bridge", "empty", 0), 1 * mib, "udf", nil},
	} {
		got, err := Identify(Device{ReaderAt: test.image, Size: test.size})
		if err != nil || got.Type != test.want || !slices.Equal(got.Others, test.others) {
			t.Errorf("%s: %q and %q, %v, want %q and %q", test.name, got.Type, got.Others, err, test.want, test.others)
		}
	}
}

func TestOpticalHasNoRAID(t *testing.T) {
	image := raidImage(4*mib, 4*mib-8192)
	d := Device{ReaderAt: bytes.NewReader(image), Size: int64(len(image)), Optical: true}
	if got, err := Identify(d); err != nil || got.Type != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPartitions reads what sgdisk and sfdisk wrote.
func TestPartitions(t *testing.T) {
	gpt := identifyBytes(t, whole(t, "gpt")).Table.Partitions
	if len(gpt) != 2 || gpt[0].Name != "first one" || gpt[0].Start != 2048 || gpt[0].Sectors != 2048 ||
		gpt[0].Type != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" || gpt[1].Number != 3 || gpt[1].Start != 8192 {
		t.Errorf("%+v", gpt)
	}
	dos := identifyBytes(t, whole(t, "dos")).Table
	var got []string
	for _, p := range dos.Partitions {
		got = append(got, fmt.Sprintf("%d %s %d+%d %x", p.Number, p.Type, p.Start, p.Sectors, p.Flags))
		if p.UUID != fmt.Sprintf("%s-%02x", dos.UUID, p.Number) {
			t.Errorf("partition %d has UUID %s", p.Number, p.UUID)
		}
	}
	want := []string{
		"1 0x83 2048+4096 80", "2 0x5 6144+16384 0", "5 0x83 8192+2048 0", "6 0x83 12288+2048 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

// TestSizes holds what file systems say of their size to that of the images that they were made in.
func TestSizes(t *testing.T) {
	names, _ := filepath.Glob("testdata/*.txt")
	known := 0
	for _, name := range names {
		image, want := readFixture(t, name)
		content, err := Identify(Device{ReaderAt: image, Size: image.size})
		if content.Bytes == 0 && (want["ID_FS_USAGE"] != string(FileSystem) || want["ID_FS_TYPE"] == "udf") {
			continue
		}
		known++
		if err != nil || content.Bytes > image.size || content.Bytes < image.size*3/4-512<<10 {
			t.Errorf("%s: %d bytes of %d, %v", name, content.Bytes, image.size, err)
		}
	}
	if known < 20 {
		t.Errorf("the size of only %d file systems is known", known)
	}
	image, _ := readFixture(t, "testdata/vfat-32.txt")
	image.size /= 2
	cut, err := Identify(Device{ReaderAt: image, Size: image.size})
	if err != nil || cut.Lacks != image.size {
		t.Errorf("of a half %d bytes are missing, %v", cut.Lacks, err)
	}
	if got := product(1<<63, 4); got != math.MaxInt64 {
		t.Errorf("what is too large is %d bytes", got)
	}
}

// gptImage makes a disk with a table of these entries, first and last sector of each.
func gptImage(entries ...[2]uint64) []byte {
	const sectors, array = 4096, 128 * 512
	image := put(make([]byte, sectors*512), map[int]any{450: byte(0xee), 454: uint32(1), 458: uint32(sectors - 1),
		510: "\x55\xaa"})
	list := make([]byte, array)
	for i, e := range entries {
		put(list, map[int]any{128 * i: "a kind", 128*i + 32: e[0], 128*i + 40: e[1]})
	}
	for _, at := range []int{1, sectors - 1} {
		first := 2
		if at > 1 {
			first = sectors - 1 - array/512
		}
		copy(image[first*512:], list)
		header := put(image[at*512:at*512+512], map[int]any{
			0: "EFI PART", 12: uint32(92), 24: uint64(at), 40: uint64(130), 48: uint64(sectors - 130),
			72: uint64(first), 80: uint32(array / 128), 84: uint32(128), 88: crc32.ChecksumIEEE(list),
		})
		put(header, map[int]any{16: crc32.ChecksumIEEE(header[:92])})
	}
	return image
}

// TestTableFaults has tables that are damaged or made to harm.
func TestTableFaults(t *testing.T) {
	const broken = "it is damaged, or the disk is cut short"
	good := [2]uint64{200, 299}
	many := make([][2]uint64, 400)
	for i := range many {
		many[i] = [2]uint64{uint64(130 + 2*i), uint64(131 + 2*i)}
	}
	damage := func(image []byte, at int) []byte { return put(image, map[int]any{at: "damaged"}) }
	for _, test := range []struct {
		name  string
		image []byte
		want  []string
	}{
		{"good", gptImage(good, [2]uint64{300, 400}), nil},
		{"overlap", gptImage([2]uint64{299, 400}, good), []string{"partitions 1 and 2 overlap"}},
		{"beyond", gptImage(good, [2]uint64{300, 1 << 40}), []string{"partition 2 is not within the disk"}},
		{"absurd", gptImage([2]uint64{1 << 63, 1<<64 - 1}, [2]uint64{0, 1<<64 - 1}), []string{
			"partition 1 is not within the disk", "partition 2 is not within the disk"}},
		{"backwards", gptImage([2]uint64{300, 200}), []string{"partition 1 ends before it begins"}},
		{"many", gptImage(many...), []string{"Linux takes the first 255 partitions of it"}},
		{"first copy", damage(gptImage(good), 512), []string{
			"the first copy of it is damaged, and Linux does not use the one at the disk's end"}},
		{"both copies", damage(damage(gptImage(good), 1024), 4000*512), []string{broken}},
		{"cut short", gptImage(good)[:mib], []string{broken}},
		{"beyond in an MBR", partitioned(make([]byte, mib), 1024, 4096), []string{
			"partition 1 is not within the disk"}},
		{"a boot loader", append(partitioned(whole(t, "ext4")[:mib], 1024, 1<<20), make([]byte, 15*mib)...), nil},
	} {
		if got := identifyBytes(t, test.image).Table.Faults; !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := identifyBytes(t, gptImage(make([][2]uint64, 512)...)).Table.Faults; len(got) != maxFaults+1 {
		t.Errorf("512 faults are told as %q", got)
	}
}

// TestSectorsOf4KiB: tables count the disk's own sectors.
func TestSectorsOf4KiB(t *testing.T) {
	image := partitioned(make([]byte, 16*mib), 256, 512)
	d := Device{ReaderAt: bytes.NewReader(image), Size: int64(len(image)), Sector: 4096}
	content, err := Identify(d)
	if err != nil || len(content.Table.Partitions) != 1 || content.Table.Partitions[0].Start != 2048 {
		t.Errorf("%+v, %v", content, err)
	}
}

func TestExtendedPartitionsThatDoNotEnd(t *testing.T) {
	link := func(image []byte, at, next int) {
		put(image, map[int]any{
			at*512 + 450: byte(0x83), at*512 + 454: uint32(1), at*512 + 458: uint32(1), at*512 + 466: byte(5),
			at*512 + 470: uint32(next - 10), at*512 + 474: uint32(3), at*512 + 510: "\x55\xaa",
		})
	}
	image := put(make([]byte, 4*mib), map[int]any{
		450: byte(5), 454: uint32(10), 458: uint32(8000), 510: "\x55\xaa",
	})
	link(image, 10, 20)
	link(image, 20, 10)
	table := identifyBytes(t, image).Table
	if len(table.Partitions) != 3 || len(table.Faults) != 1 || !strings.Contains(table.Faults[0], "leads back") {
		t.Errorf("a loop: %+v", table)
	}
	for at := 10; at < 7900; at += 10 {
		link(image, at, at+10)
	}
	if n := len(identifyBytes(t, image).Table.Partitions); n != mbrMaxLinks+1 {
		t.Errorf("a long chain: %d partitions, want %d", n, mbrMaxLinks+1)
	}
}

func TestErrors(t *testing.T) {
	dead := Device{ReaderAt: broken{}, Size: mib}
	if got, err := Identify(dead); !errors.Is(err, syscall.EIO) || got.Type != "" {
		t.Errorf("a disk that cannot be read: %+v, %v", got, err)
	}
	image := whole(t, "ext4")
	end := Device{ReaderAt: damaged{bytes.NewReader(image), mib}, Size: int64(len(image))}
	if got, err := Identify(end); !errors.Is(err, syscall.EIO) || got.Type != "ext4" {
		t.Errorf("a disk whose end cannot be read: %+v, %v", got, err)
	}
	short := Device{ReaderAt: bytes.NewReader(image[:mib]), Size: int64(len(image))}
	if got, err := Identify(short); err != nil || got.Type != "ext4" {
		t.Errorf("a file that became shorter: %+v, %v", got, err)
	}
	for size := range 2000 {
		d := Device{ReaderAt: bytes.NewReader(image[:size]), Size: int64(size)}
		if got, err := Identify(d); err != nil || got.Type != "" && size < 2048 {
			t.Fatalf("the first %d bytes: %+v, %v", size, got, err)
		}
	}
}

// broken is a device that cannot be read.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

type damaged struct {
	io.ReaderAt
	from int64
}

func (d damaged) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > d.from {
		return 0, syscall.EIO
	}
	return d.ReaderAt.ReadAt(p, at)
}

func TestEncode(t *testing.T) {
	for _, test := range []struct{ text, encoded, safe string }{
		{"root", "root", "root"},
		{"two words", `two\x20words`, "two_words"},
		{" a \t b ", `\x20a\x20\x09\x20b\x20`, "a_b"},
		{`back\slash`, `back\x5cslash`, `back\slash`},
		{"../../etc", `..\x2f..\x2fetc`, "../../etc"},
		{"Größe", "Größe", "Größe"},
		{"\xff\x1b[2J", `\xff\x1b\x5b2J`, "__[2J"},
		{"\ufdd0\ufffd", `\xef\xb7\x90` + "\ufffd", "___\ufffd"},
		{"", "", ""},
	} {
		if got := Encode(test.text); got != test.encoded {
			t.Errorf("Encode(%q) = %q, want %q", test.text, got, test.encoded)
		}
		if got := Safe(test.text); got != test.safe {
			t.Errorf("Safe(%q) = %q, want %q", test.text, got, test.safe)
		}
	}
}

// counter counts what is read.
type counter struct {
	io.ReaderAt
	reads, bytes int
}

func (c *counter) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, at)
}

// TestFewReads: a disk is read in few places. Each read costs a dying disk seconds.
func TestFewReads(t *testing.T) {
	for _, test := range []struct {
		name string
		most int
	}{
		{"ext4", 3}, {"vfat-32", 4}, {"gpt", 3}, {"ntfs", 6}, {"iso9660", 2}, {"udf", 12}, {"empty", 1},
	} {
		image, _ := readFixture(t, "testdata/"+test.name+".txt")
		c := &counter{ReaderAt: image}
		if _, err := Identify(Device{ReaderAt: c, Size: image.size}); err != nil {
			t.Fatal(err)
		}
		if c.reads > test.most {
			t.Errorf("%s: %d reads of %d bytes, want at most %d", test.name, c.reads, c.bytes, test.most)
		}
	}
}

// FuzzIdentify makes an image of pieces: for each an offset of four bytes, a length of two, and as many bytes.
func FuzzIdentify(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.txt")
	for _, name := range names {
		image, _ := readFixture(f, name)
		f.Add(pieces(image), image.size)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		image := sparse{size: size, rows: map[int64][]byte{}}
		for len(data) >= 6 && len(image.rows) < 2000 {
			offset, n := int64(binary.LittleEndian.Uint32(data)), int(binary.LittleEndian.Uint16(data[4:]))
			data = data[6:]
			n = min(n, len(data), rowSize)
			image.rows[offset] = append(slices.Clone(data[:n]), make([]byte, rowSize-n)...)
			data = data[n:]
		}
		c := &counter{ReaderAt: image}
		content, err := Identify(Device{ReaderAt: c, Size: size})
		if err != nil || c.reads > maxReads+1 || c.bytes > maxBytes+headSize {
			t.Errorf("%v after %d reads of %d bytes", err, c.reads, c.bytes)
		}
		check(t, content)
	})
}

// pieces writes an image as the fuzz target reads it.
func pieces(image sparse) []byte {
	var b []byte
	for _, offset := range slices.Sorted(maps.Keys(image.rows)) {
		b = binary.LittleEndian.AppendUint32(b, uint32(offset))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(image.rows[offset])))
		b = append(b, image.rows[offset]...)
	}
	return b
}

// check holds for any content.
func check(t *testing.T, c Content) {
	t.Helper()
	text := c.Type + c.Version + c.Label + c.UUID + c.SubUUID + c.Table.UUID
	for _, p := range c.Table.Partitions {
		text += p.Name + p.UUID + p.Type
		if p.Start < 0 || p.Sectors < 0 || p.Number < 1 {
			t.Errorf("%+v", p)
		}
	}
	if strings.Contains(text, "\x00") || (c.Type == "") != (c.Usage == "") {
		t.Errorf("%#v", c)
	}
	if len(c.Table.Faults) > maxFaults+1 || c.Bytes < 0 {
		t.Errorf("%d faults, %d bytes", len(c.Table.Faults), c.Bytes)
	}
	if len(c.Label) > 4096 || len(c.UUID) > 64 || len(c.Table.Partitions) > gptMaxBytes/128 {
		t.Errorf("a label of %d bytes, a UUID of %d, %d partitions", len(c.Label), len(c.UUID), len(c.Table.Partitions))
	}
}

// TestSparse holds the tests' own reader to the contract of io.ReaderAt.
func TestSparse(t *testing.T) {
	image, _ := readFixture(t, "testdata/ext4.txt")
	image.size = 4096
	want := whole(t, "ext4")[:4096]
	if err := iotest.TestReader(io.NewSectionReader(image, 0, image.size), want); err != nil {
		t.Error(err)
	}
}
