package diskimage

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// testVHD describes a VHD that a test makes: there is no program in Debian that makes differencing disks.
type testVHD struct {
	disk, parent []byte // parent nil: a dynamic disk
	id, parentID byte   // all bytes of the unique ids
	parentName   string // in the header
	relative     string // in a locator, if not empty
	blockSize    int
}

const testBlock = 32 << 10

// bytes writes the image as the specification says. Sectors that are as in the parent, or zero, are not in it, and
// blocks of such sectors neither.
func (v testVHD) bytes() []byte {
	if v.blockSize == 0 {
		v.blockSize = testBlock
	}
	blocks := (len(v.disk) + v.blockSize - 1) / v.blockSize
	table := make([]byte, (4*blocks+511)&^511)
	for i := range table {
		table[i] = 0xff
	}
	locator := utf16Bytes(binary.LittleEndian, v.relative)
	const headerAt, locatorAt, tableAt = 512, 512 + 1024, 512 + 1024 + 512
	image := slices.Concat(v.footer(headerAt), v.header(blocks, tableAt, locatorAt, len(locator)),
		append(locator, make([]byte, 512-len(locator))...), table)
	for n := range blocks {
		if block := v.block(n); block != nil {
			binary.BigEndian.PutUint32(image[tableAt+4*n:], uint32(len(image)/512))
			image = append(image, block...)
		}
	}
	return append(image, v.footer(headerAt)...)
}

func (v testVHD) footer(header uint64) []byte {
	kind := uint32(vhdDynamic)
	if v.parent != nil {
		kind = vhdDifferencing
	}
	return footerOf(len(v.disk), kind, header, v.id)
}

func footerOf(size int, kind uint32, header uint64, id byte) []byte {
	b := make([]byte, vhdFooterBytes)
	copy(b, vhdFooterCookie)
	binary.BigEndian.PutUint32(b[8:], 2)
	binary.BigEndian.PutUint32(b[12:], 0x10000)
	binary.BigEndian.PutUint64(b[16:], header)
	copy(b[28:], "win ")
	copy(b[36:], "Wi2k")
	binary.BigEndian.PutUint64(b[40:], uint64(size))
	binary.BigEndian.PutUint64(b[48:], uint64(size))
	copy(b[56:], []byte{0, 10, 4, 17})
	binary.BigEndian.PutUint32(b[60:], kind)
	copy(b[68:84], bytes.Repeat([]byte{id}, 16))
	binary.BigEndian.PutUint32(b[64:], vhdSum(b, 64))
	return b
}

func (v testVHD) header(blocks int, table, locator uint64, locatorSize int) []byte {
	b := make([]byte, vhdHeaderBytes)
	copy(b, vhdHeaderCookie)
	binary.BigEndian.PutUint64(b[8:], 1<<64-1)
	binary.BigEndian.PutUint64(b[16:], table)
	binary.BigEndian.PutUint32(b[24:], 0x10000)
	binary.BigEndian.PutUint32(b[28:], uint32(blocks))
	binary.BigEndian.PutUint32(b[32:], uint32(v.blockSize))
	if v.parent != nil {
		copy(b[40:56], bytes.Repeat([]byte{v.parentID}, 16))
		copy(b[64:576], utf16Bytes(binary.BigEndian, v.parentName))
	}
	if v.relative != "" {
		copy(b[576:], "W2ru")
		binary.BigEndian.PutUint32(b[580:], 512)
		binary.BigEndian.PutUint32(b[584:], uint32(locatorSize))
		binary.BigEndian.PutUint64(b[592:], locator)
	}
	binary.BigEndian.PutUint32(b[36:], vhdSum(b, 36))
	return b
}

// block returns a block with its bitmap, nil if there is nothing in it.
func (v testVHD) block(n int) []byte {
	bitmap, data := make([]byte, (v.blockSize/512/8+511)&^511), make([]byte, v.blockSize)
	used := false
	for sector := range v.blockSize / 512 {
		at := n*v.blockSize + sector*512
		if at >= len(v.disk) {
			break
		}
		below := make([]byte, 512)
		if v.parent != nil {
			copy(below, v.parent[min(at, len(v.parent)):])
		}
		if part := v.disk[at : at+512]; !bytes.Equal(part, below) {
			bitmap[sector/8] |= 0x80 >> (sector % 8)
			copy(data[sector*512:], part)
			used = true
		}
	}
	if !used {
		return nil
	}
	return append(bitmap, data...)
}

func utf16Bytes(order binary.ByteOrder, text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, 0, 0)
		order.PutUint16(b[len(b)-2:], unit)
	}
	return b
}

// changed returns a disk that differs from the given one in some sectors.
func changed(disk []byte) []byte {
	disk = slices.Clone(disk)
	for sector := 0; sector < len(disk)/512; sector += 1 + sector%23 {
		disk[sector*512+sector%512] ^= 0x5a
	}
	clear(disk[100<<10 : 140<<10])
	return disk
}

// family is a disk, one made from it, and one made from that one.
func family() (disks [3][]byte, images [3]testVHD) {
	disks[0] = content(300<<10 + 512)
	disks[1] = changed(disks[0])
	disks[2] = changed(disks[1])
	images[0] = testVHD{disk: disks[0], id: 1}
	images[1] = testVHD{disk: disks[1], parent: disks[0], id: 2, parentID: 1, parentName: `C:\Disks\parent.vhd`}
	images[2] = testVHD{disk: disks[2], parent: disks[1], id: 3, parentID: 2, relative: `.\sub\child.vhd`}
	return disks, images
}

// TestVHDParentMoved: a parent that was elsewhere may lie next to the disk.
func TestVHDParentMoved(t *testing.T) {
	disks, images := family()
	images[1].relative = `..\Parents\parent.vhd`
	dir := t.TempDir()
	write(t, dir, "parent.vhd", images[0].bytes())
	write(t, dir, "child.vhd", images[1].bytes())
	check(t, open(t, dir, "child.vhd", "vhd"), disks[1])
}

func TestVHDFamily(t *testing.T) {
	disks, images := family()
	dir := t.TempDir()
	mkdir(t, dir, "sub")
	write(t, dir, "sub/parent.vhd", images[0].bytes())
	write(t, dir, "sub/child.vhd", images[1].bytes())
	write(t, dir, "grandchild.vhd", images[2].bytes())
	for n, name := range []string{"sub/parent.vhd", "sub/child.vhd", "grandchild.vhd"} {
		i := open(t, dir, name, "vhd")
		if kinds := check(t, i, disks[n]); kinds[Data] < 5 {
			t.Errorf("%s: runs %v", name, kinds)
		}
	}
	if got := open(t, dir, "grandchild.vhd", "vhd").Files(); !slices.Equal(got, []string{
		"grandchild.vhd", "sub/child.vhd", "sub/parent.vhd",
	}) {
		t.Errorf("files %q", got)
	}
}

// TestVHDAgainst7zip lets another reader of differencing disks read what the tests write, so that not both are wrong.
func TestVHDAgainst7zip(t *testing.T) {
	disks, images := family()
	images[1].parentName, images[2].parentName = "parent.vhd", "child.vhd" // it looks for nothing but these
	dir := t.TempDir()
	for n, name := range []string{"parent.vhd", "child.vhd", "grandchild.vhd"} {
		write(t, dir, name, images[n].bytes())
		compare(t, name+" by 7zip", []byte(sevenZip(t, dir, "VHD", name)), disks[n], 0)
	}
}

// sevenZip returns the disk that 7zip finds in an image.
func sevenZip(t *testing.T, dir, format, name string) string {
	t.Helper()
	if _, err := exec.LookPath("7zz"); err != nil {
		t.Skip("7zz is not installed (Debian package 7zip)")
	}
	out, err := exec.Command("7zz", "x", "-so", "-t"+format, filepath.Join(dir, name)).Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("7zz: %v, %d bytes", err, len(out))
	}
	return string(out)
}

// TestVHDFooters reads images whose footers are lost, and disks whose guest has written what looks like one.
func TestVHDFooters(t *testing.T) {
	disk := content(100 << 10)
	dynamic := testVHD{disk: disk, id: 1}.bytes()
	hostile := slices.Clone(disk)
	copy(hostile, dynamic[:4096])
	dir := t.TempDir()
	write(t, dir, "cut", dynamic[:len(dynamic)-512])
	check(t, open(t, dir, "cut", "vhd"), disk)
	write(t, dir, "fixed", append(hostile, footerOf(len(disk), vhdFixed, 1<<64-1, 1)...))
	check(t, open(t, dir, "fixed", "vhd"), hostile)
}

// TestVHDGeometry: guests of Virtual PC see a disk that ends with the geometry.
func TestVHDGeometry(t *testing.T) {
	disk := content(1 << 20)
	for _, test := range []struct {
		creator, geometry string
		want              int
	}{
		{"vpc ", "\x00\x0a\x04\x11", 10 * 4 * 17 * 512},
		{"vpc ", "\xff\xff\x10\xff", 1 << 20}, // the largest there is
		{"win ", "\x00\x0a\x04\x11", 1 << 20},
	} {
		footer := footerOf(len(disk), vhdFixed, 1<<64-1, 1)
		copy(footer[28:], test.creator)
		copy(footer[56:], test.geometry)
		binary.BigEndian.PutUint32(footer[64:], vhdSum(footer, 64))
		dir := t.TempDir()
		write(t, dir, "disk.vhd", append(slices.Clone(disk), footer...))
		check(t, open(t, dir, "disk.vhd", "vhd"), disk[:test.want])
	}
}

func TestVHDRefuses(t *testing.T) {
	_, images := family()
	parent, child := images[0].bytes(), images[1]
	damaged := func(at int) []byte {
		b := child.bytes()
		b[at] ^= 0xff
		return b
	}
	based := func(v testVHD) []byte {
		v.disk, v.parent = child.disk, child.parent
		return v.bytes()
	}
	tableAt := func(at uint64) []byte {
		b := child.bytes()
		binary.BigEndian.PutUint64(b[512+16:], at)
		binary.BigEndian.PutUint32(b[512+36:], vhdSum(b[512:512+1024], 36))
		return b
	}
	for name, test := range map[string]struct {
		image []byte
		want  string
	}{
		"empty":            {nil, "only 0 bytes"},
		"no VHD":           {make([]byte, 5000), "qemu-img info"},
		"header damaged":   {damaged(512 + 100), "checksum"},
		"fixed, cut":       {append(footerOf(512, vhdFixed, 1<<64-1, 1), make([]byte, 2000)...), "not all of it"},
		"table beyond":     {tableAt(1 << 40), "beyond the end of the file"},
		"table unaligned":  {tableAt(1000), "table at offset 1000"},
		"no such parent":   {based(testVHD{parentName: "x\x1b.vhd"}), `x\x1b.vhd: no such file`},
		"other parent":     {based(testVHD{parentID: 7, parentName: "parent.vhd"}), "its unique id is another"},
		"nameless parent":  {based(testVHD{}), "does not say"},
		"own parent":       {based(testVHD{parentName: "disk.vhd"}), "based on itself"},
		"parent elsewhere": {based(testVHD{relative: `..\outside.vhd`}), "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "parent.vhd", parent)
			write(t, dir, "disk.vhd", test.image)
			if _, err := tryOpen(t, dir, "disk.vhd", "vhd"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q", err, test.want)
			}
		})
	}
}

func TestSameBits(t *testing.T) {
	for _, test := range []struct {
		bitmap []byte
		first  int
		set    bool
		count  int
	}{
		{[]byte{0xff}, 0, true, 8},
		{[]byte{0xff}, 5, true, 3},
		{[]byte{0}, 3, false, 5},
		{[]byte{0b0001_1100}, 0, false, 3},
		{[]byte{0b0001_1100}, 3, true, 3},
		{[]byte{0b0001_1100}, 6, false, 2},
		{[]byte{0b0000_0111, 0xff, 0xff, 0b1100_0000}, 5, true, 21},
		{[]byte{0b1111_1000, 0, 0, 1}, 5, false, 26},
		{[]byte{0b1111_1001, 0}, 7, true, 1},
	} {
		if set, count := sameBits(test.bitmap, test.first); set != test.set || count != test.count {
			t.Errorf("%08b from %d: %v, %d; want %v, %d", test.bitmap, test.first, set, count, test.set, test.count)
		}
	}
}
