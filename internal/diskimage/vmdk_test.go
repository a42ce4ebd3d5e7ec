package diskimage

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// sparseVMDK makes a sparse extent of 1 MiB: a header, a directory of one table, the table, and a grain of 4 KiB.
func sparseVMDK() []byte {
	b := make([]byte, 20<<10)
	copy(b, vmdkMagic)
	for _, p := range []put{
		{4, 4, 1}, {8, 4, vmdkLineEndings}, {12, 8, 2048}, {20, 8, 8}, {44, 4, 512}, {56, 8, 1}, {512, 4, 2},
		{1024, 4, 16}, // the first grain, at 8 KiB
	} {
		p.intoLittle(b)
	}
	copy(b[73:], "\n \r\n")
	return b
}

func (p put) intoLittle(b []byte) {
	switch p.bytes {
	case 2:
		binary.LittleEndian.PutUint16(b[p.at:], uint16(p.value))
	case 4:
		binary.LittleEndian.PutUint32(b[p.at:], uint32(p.value))
	case 8:
		binary.LittleEndian.PutUint64(b[p.at:], p.value)
	default:
		b[p.at] = byte(p.value)
	}
}

func TestVMDKGrains(t *testing.T) {
	for name, test := range map[string]struct {
		puts []put
		kind Kind   // of the first grain
		want string // an error of opening or reading
	}{
		"data":              {nil, Data, ""},
		"absent":            {[]put{{1024, 4, 0}}, Zero, ""},
		"zero":              {[]put{{8, 4, vmdkZeroGrains}, {1024, 4, 1}}, Zero, ""},
		"sector 1":          {[]put{{1024, 4, 1}}, Data, ""},
		"no table":          {[]put{{512, 4, 0}}, Zero, ""},
		"data beyond":       {[]put{{1024, 4, 1<<32 - 1}}, Data, "data at offset 2199023255040 is beyond"},
		"table beyond":      {[]put{{512, 4, 1<<32 - 1}}, Data, "a grain table at offset 2199023255040 is beyond"},
		"not VMDK":          {[]put{{0, 1, 'X'}}, 0, "qemu-img info"},
		"version 4":         {[]put{{4, 4, 4}}, 0, "version 4"},
		"copied as text":    {[]put{{75, 1, '\n'}}, 0, "copied as text"},
		"huge":              {[]put{{12, 8, 1 << 60}}, 0, "disk of 1152921504606846976 sectors"},
		"no grains":         {[]put{{20, 8, 0}}, 0, "grains of 0 sectors"},
		"huge grains":       {[]put{{20, 8, 1 << 40}}, 0, "grains of 1099511627776 sectors"},
		"no table entries":  {[]put{{44, 4, 0}}, 0, "tables of 0 entries"},
		"table entries":     {[]put{{44, 4, 1 << 31}}, 0, "tables of 2147483648 entries"},
		"directory beyond":  {[]put{{56, 8, 1 << 40}}, 0, "not all of it was copied"},
		"directory far":     {[]put{{56, 8, 1<<64 - 2}}, 0, "offsets"},
		"directory cut":     {[]put{{12, 8, 1 << 40}}, 0, "not all of it was copied"},
		"no footer":         {[]put{{56, 8, vmdkAtEnd}}, 0, "not a VMDK"},
		"other compression": {[]put{{8, 4, vmdkCompressed}, {77, 2, 7}}, 0, "method 7"},
		"compressed 1 GiB":  {[]put{{8, 4, vmdkCompressed}, {77, 2, 1}, {20, 8, 1 << 21}}, 0, "2097152 sectors"},
		"not compressed":    {[]put{{8, 4, vmdkCompressed | vmdkMarkers}, {77, 2, 1}}, Packed, "8192 is damaged"},
		"no marker":         {[]put{{8, 4, vmdkCompressed}, {77, 2, 1}}, Packed, "8192 is damaged"},
		"marker cut": {
			[]put{{8, 4, vmdkCompressed | vmdkMarkers}, {77, 2, 1}, {1024, 4, 40}}, Packed, "beyond the end",
		},
	} {
		t.Run(name, func(t *testing.T) {
			image := sparseVMDK()
			for _, p := range test.puts {
				p.intoLittle(image)
			}
			dir := t.TempDir()
			write(t, dir, "disk", image)
			i, err := tryOpen(t, dir, "disk", "vmdk")
			var run Run
			if err == nil {
				defer i.Close()
				if run, err = i.Lookup(0, 100); err == nil {
					_, err = i.ReadAt(make([]byte, 100), 0)
				}
				if next, err := i.Lookup(4096, 100); name != "table beyond" && (err != nil || next.Kind != Zero) {
					t.Errorf("the next grain: %+v, %v", next, err)
				}
			}
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if run.Kind != test.kind {
				t.Errorf("a run of kind %d, want %d", run.Kind, test.kind)
			}
		})
	}
}

// TestVMDKSmallTables: what is behind a grain table in its page does not belong to it.
func TestVMDKSmallTables(t *testing.T) {
	image := sparseVMDK()
	for _, p := range []put{{44, 4, 4}, {1024, 4, 0}, {512, 4, 2}, {516, 4, 3}, {1536, 4, 16}} {
		p.intoLittle(image) // tables of 4 grains of 4 KiB, the second one with data
	}
	copy(image[8<<10:], "data")
	want := make([]byte, 1<<20)
	copy(want[16<<10:], "data")
	dir := t.TempDir()
	write(t, dir, "disk", image)
	check(t, open(t, dir, "disk", "vmdk"), want)
}

// TestVMDKFooter reads an image whose header refers to a footer, as VMware writes streams; QEMU does not. qemu-img
// judges it.
func TestVMDKFooter(t *testing.T) {
	dir := t.TempDir()
	disk := content(1 << 20)
	write(t, dir, "disk.raw", disk)
	qemuImg(t, dir, "convert -f raw -O vmdk -o subformat=streamOptimized disk.raw stream")
	image := read(t, dir, "stream")
	image = image[:len(image)&^511]
	header := slices.Clone(image[:512])
	binary.LittleEndian.PutUint64(image[56:], vmdkAtEnd)
	marker := make([]byte, 512)
	marker[0], marker[12] = 1, 3 // a footer of one sector
	write(t, dir, "disk.vmdk", slices.Concat(image, marker, header, make([]byte, 512)))
	qemuImg(t, dir, "convert -f vmdk -O raw disk.vmdk expected")
	compare(t, "qemu-img", read(t, dir, "expected"), disk, 0)
	check(t, open(t, dir, "disk.vmdk", "vmdk"), disk)
}

func TestVMDKDescriptor(t *testing.T) {
	disk := content(64 << 10)
	sector := func(from, to int) []byte { return disk[from*512 : to*512] }
	const head = "# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n"
	for name, test := range map[string]struct {
		text string
		disk []byte
		want string // an error
	}{
		"one":    {head + `RW 128 FLAT "flat" 0`, disk, ""},
		"CRLF":   {strings.ReplaceAll(head+`RW 128 FLAT "flat" 0`+"\n", "\n", "\r\n"), disk, ""},
		"spaces": {"#  Disk  Descriptorfile \n\tRW  2   FLAT   \"flat\"  3 \n", sector(3, 5), ""},
		"pieces": {head + "RW 2 FLAT \"flat\" 3\nRW 1 ZERO\nRDONLY 3 VMFS \"flat\"\n",
			slices.Concat(sector(3, 5), make([]byte, 512), sector(0, 3)), ""},
		"sparse":          {head + `RW 8 SPARSE "sparse"`, make([]byte, 4096), ""},
		"empty":           {head, nil, "names no extents"},
		"snapshot":        {"# Disk DescriptorFile\nparentCID=1234\nRW 1 ZERO", nil, "qemu-img convert"},
		"too short":       {head + `RW 4096 SPARSE "sparse"`, nil, "belongs to another disk"},
		"not sparse":      {head + `RW 1 SPARSE "flat"`, nil, "not a VMDK"},
		"ESX":             {head + `RW 1 VMFSSPARSE "flat"`, nil, "VMFSSPARSE"},
		"device":          {head + `RW 1 FLAT "/dev/sda" 0`, nil, "has a directory in its name"},
		"dotdot":          {head + `RW 1 FLAT "../flat" 0`, nil, "has a directory in its name"},
		"Windows":         {head + `RW 1 FLAT "C:\flat" 0`, nil, "has a directory in its name"},
		"only dots":       {head + `RW 1 FLAT ".." 0`, nil, "escapes"},
		"no name":         {head + `RW 1 FLAT`, nil, "without the name"},
		"missing":         {head + "RW 1 FLAT \"x\x1by\" 0", nil, `x\x1by: no such file`},
		"no end":          {head + `RW 1 FLAT "flat`, nil, "has no end"},
		"no kind":         {head + `RW 1 "flat"`, nil, "want ACCESS"},
		"negative":        {head + `RW -1 FLAT "flat" 0`, nil, `line 4: "RW -1 FLAT`},
		"negative offset": {head + `RW 1 FLAT "flat" -1`, nil, `"-1" is no number`},
		"huge":            {head + `RW 9223372036854775807 ZERO`, nil, "is no number"},
		"huge together":   {head + strings.Repeat("RW 4398046511104 ZERO\n", 2), nil, "would have more than"},
		"long":            {head + strings.Repeat(" ", maxDescriptor), nil, "at most 262144"},
		"many files":      {head + strings.Repeat("RW 1 FLAT \"flat\" 0\n", maxFiles), nil, "more than 512 files"},
		"no descriptor":   {"# Some other file\nRW 1 ZERO\n" + strings.Repeat(" ", 600), nil, "not a VMDK"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "flat", disk)
			write(t, dir, "sparse", append(sparseVMDK()[:8192], make([]byte, 4096)...))
			write(t, dir, "disk.vmdk", []byte(test.text))
			i, err := tryOpen(t, dir, "disk.vmdk", "vmdk")
			if err != nil {
				said := err.Error()
				if test.want == "" || !strings.Contains(said, test.want) || strings.Contains(said, "\x1b") {
					t.Errorf("error %q, want %q", err, test.want)
				}
				return
			}
			defer i.Close()
			if test.want != "" {
				t.Fatalf("no error, want %q", test.want)
			}
			check(t, i, test.disk)
		})
	}
}

// TestVMDKFlatCut: a flat extent that is too short is readable as far as it goes.
func TestVMDKFlatCut(t *testing.T) {
	dir := t.TempDir()
	disk := content(4096)
	write(t, dir, "flat", disk)
	write(t, dir, "disk.vmdk", []byte("# Disk DescriptorFile\nRW 16 FLAT \"flat\" 0\n"))
	i := open(t, dir, "disk.vmdk", "vmdk")
	if run, err := i.Lookup(96, 1<<40); err != nil || run.Length != 4000 {
		t.Errorf("%+v, %v; want a run to the end of the file", run, err)
	}
	got := make([]byte, 8192)
	n, err := i.ReadAt(got, 0)
	if n != 4096 || err == nil || !strings.Contains(err.Error(), "flat: data at offset 4096 is beyond the end") {
		t.Errorf("%d bytes, %v", n, err)
	}
	compare(t, "flat", got[:n], disk, 0)
}

func TestVMDKAgainst7zip(t *testing.T) {
	dir := t.TempDir()
	disk := content(3 << 20)
	write(t, dir, "disk.raw", disk)
	qemuImg(t, dir, "convert -f raw -O vmdk disk.raw disk.vmdk")
	check(t, open(t, dir, "disk.vmdk", "vmdk"), []byte(sevenZip(t, dir, "VMDK", "disk.vmdk")))
}
