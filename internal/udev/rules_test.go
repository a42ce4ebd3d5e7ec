package udev

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// ata makes what HDIO_GET_IDENTITY gives.
func ata(model, serial, firmware string, atapi bool) []byte {
	id := make([]byte, ataIdentity)
	copy(id[2*27:], pad(model, 40))
	copy(id[2*10:], pad(serial, 20))
	copy(id[2*23:], pad(firmware, 8))
	if atapi {
		id[0], id[1] = 0xc0, 0x85
	}
	return id
}

func wwn(id []byte) []byte {
	copy(id[2*108:], "\x00\x50\xc5\x00\x65\xa1\xf1\xee")
	return id
}

// told is what the machine's disks answer.
var told = map[string]Answer{
	"sda": {Identity: wwn(ata("QEMU HARDDISK", "QM00005", "2.5+", false)), Content: blkid.Content{Table: blkid.Table{
		Type: "gpt", UUID: "0f0f0f0f-0000-4000-8000-000000000001", Partitions: []blkid.Partition{
			{Number: 1, Start: 2048, Sectors: 4096, Type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
				UUID: "11111111-0000-4000-8000-000000000001", Name: "EFI System/1", Flags: 4},
			{Number: 2, Start: 8192, Sectors: 1 << 20, Type: "a19d880f-05fc-4d3b-a006-743f0f84911e",
				UUID: "11111111-0000-4000-8000-000000000002"},
		},
	}}},
	"sda1": {Content: blkid.Content{
		Type: "vfat", Usage: blkid.FileSystem, Version: "FAT32", Label: "ESP 1", UUID: "1A2B-3C4D",
	}},
	"sda2": {Content: blkid.Content{
		Type: "linux_raid_member", Usage: blkid.RAID, Version: "1.2", Label: "host:data",
		UUID: "01234567-89ab-cdef-0123-456789abcdef", SubUUID: "fedcba98-7654-3210-0123-456789abcdef",
	}},
	"sr0": {Identity: ata("QEMU DVD-ROM", "QM00007", "2.5+", true), Medium: true, Content: blkid.Content{
		Type: "iso9660", Usage: blkid.FileSystem, Label: "ZERODISC", UUID: "2025-01-02-03-04-05-00",
		Table: blkid.Table{Type: "dos", UUID: "0000cafe"},
	}},
	"sdb1": {Content: blkid.Content{
		Type: "ext4", Usage: blkid.FileSystem, Version: "1.0", Label: "../../etc\x1b",
		UUID: "22222222-0000-4000-8000-000000000001",
	}},
	"dm-0":    {Content: blkid.Content{Type: "xfs", Usage: blkid.FileSystem, Label: "home", UUID: "3333"}},
	"md127p1": {Content: blkid.Content{Type: "btrfs", Usage: blkid.FileSystem, UUID: "4444", SubUUID: "5555"}},
	"sdc":     {Content: blkid.Content{Type: "ext4", Usage: blkid.FileSystem, UUID: "6666", Others: []string{"swap"}}},
}

// describe makes the description of a fixture, of a partition after its disk.
func describe(t *testing.T, f fixture, known *records) *record {
	t.Helper()
	e := f.event(t)
	answer := told[e.DevName]
	b := &builder{attrs: newAttributes(machine()), event: e, known: known, disk: known.get(diskOf(e))}
	if f.subsystem == "block" && probed(b.attrs, e.DevPath) {
		b.answer = &answer
	}
	rec := &record{description: build(b), event: e, id: deviceID(e), answer: b.answer, initialized: 1}
	known.put(rec)
	return rec
}

// TestDatabase holds what is said of every device to testdata/database.txt.
func TestDatabase(t *testing.T) {
	known := newRecords()
	var b strings.Builder
	for _, f := range fixtures {
		if rules[f.subsystem] == nil {
			continue
		}
		rec := describe(t, f, known)
		if f.subsystem == "pci" || len(rec.properties)+len(rec.links) == 0 {
			continue
		}
		b.WriteString(rec.id + " " + rec.event.DevPath + "\n")
		for line := range strings.Lines(rec.entry().text()) {
			if !strings.HasPrefix(line, "I:") && !strings.HasPrefix(line, "V:") {
				b.WriteString("  " + line)
			}
		}
		if len(rec.altNames) > 0 {
			b.WriteString("  alternative names: " + strings.Join(rec.altNames, " ") + "\n")
		}
	}
	const golden = "testdata/database.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant %s", b.String(), golden)
	}
}

func TestForeignNamesStayInTheirPlace(t *testing.T) {
	for _, group := range []string{"disk", "..", ".", "", "a/b", "-x", "mapper", "a\nb", "block", "größe"} {
		if validGroup(group) {
			t.Errorf("a volume group %q may have a directory", group)
		}
	}
	b := &builder{}
	for _, last := range []string{"", ".", "..", "a/b", strings.Repeat("x", 256), "\x00"} {
		b.link("disk/by-label", last)
	}
	if len(b.links) > 0 {
		t.Errorf("%q", b.links)
	}
}

// TestArraysOfOurs has arrays as package volumes makes them: of loop devices over the members, and one inside a logical
// volume, which nobody is to see.
func TestArraysOfOurs(t *testing.T) {
	known := newRecords()
	for _, f := range fixtures {
		if strings.HasSuffix(f.path, "/sda2") {
			known.put(&record{event: f.event(t), answer: &Answer{Content: told["sda2"].Content}})
		}
	}
	sys := machine()
	array := func(name string) description {
		file := func(at, text string) { sys["devices/virtual/block/"+at] = &fstest.MapFile{Data: []byte(text)} }
		file(name+"/md/array_state", "readonly\n")
		file(name+"/slaves/loop7", "")
		file("loop7/loop/backing_file", "/dev/sda2\n")
		e := uevent.Event{DevPath: "/devices/virtual/block/" + name, Subsystem: "block", DevName: name, DevType: "disk"}
		b := &builder{attrs: newAttributes(sys), event: e, known: known}
		if probed(b.attrs, e.DevPath) {
			b.answer = &Answer{Content: blkid.Content{Type: "ext4", Usage: blkid.FileSystem, UUID: "7777"}}
		}
		return build(b)
	}
	want := []string{
		"disk/by-id/md-name-host:data", "disk/by-id/md-uuid-01234567:89abcdef:01234567:89abcdef",
		"disk/by-uuid/7777", "md/data",
	}
	if got := slices.Sorted(slices.Values(array("md_data").links)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if hidden := array(boot.ArrayInVolume + "x"); len(hidden.links) > 0 || len(hidden.properties) > 0 {
		t.Errorf("%+v", hidden)
	}
}

func TestSplitLVM(t *testing.T) {
	for label, want := range map[string][3]string{
		"vg-lv": {"vg", "lv", ""}, "my--vg-my--lv": {"my-vg", "my-lv", ""}, "vg-lv-real": {"vg", "lv", "real"},
		"vg": {"vg", "", ""}, "": {"", "", ""}, "a----b-c": {"a--b", "c", ""},
	} {
		group, volume, layer := splitLVM(label)
		if got := [3]string{group, volume, layer}; got != want {
			t.Errorf("%q: %q, want %q", label, got, want)
		}
	}
}

func TestSCSISerial(t *testing.T) {
	id := identity{vendor: "VENDOR", model: "MODEL"}
	naa := "\x01\x03\x00\x08\x50\x01\x02\x03\x04\x05\x06\x07"
	for _, test := range []struct {
		name, page string
		want       scsiNumber
	}{
		{"none", "", scsiNumber{}},
		{"another page", page(0x80, naa), scsiNumber{}},
		{"NAA", page(0x83, naa), scsiNumber{"35001020304050607", "5001020304050607", "5001020304050607", ""}},
		{"NAA after a vendor's own", page(0x83, "\x02\x00\x00\x03abc"+naa),
			scsiNumber{"35001020304050607", "5001020304050607", "5001020304050607", ""}},
		{"a vendor's own", page(0x83, "\x02\x00\x00\x03abc"),
			scsiNumber{long: "0VENDOR  MODEL           abc", short: "abc"}},
		{"a target port's", page(0x83, "\x01\x13\x00\x08\x50\x01\x02\x03\x04\x05\x06\x07"), scsiNumber{}},
		{"EUI-64", page(0x83, "\x01\x02\x00\x02\xab\xcd"), scsiNumber{long: "2abcd", short: "abcd"}},
		{"T10", page(0x83, "\x02\x01\x00\x04VEND"), scsiNumber{long: "1VEND", short: "VEND"}},
		{"cut off", page(0x83, naa)[:10], scsiNumber{}},
		{"a length too large", page(0x83, "\x01\x03\x00\xff\x50"), scsiNumber{}},
		{"empty", page(0x83, "\x01\x03\x00\x00"), scsiNumber{}},
	} {
		if got := scsiSerial([]byte(test.page), id); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func FuzzSCSISerial(f *testing.F) {
	f.Add([]byte(page(0x83, "\x01\x03\x00\x08\x50\x01\x02\x03\x04\x05\x06\x07")))
	f.Fuzz(func(t *testing.T, page []byte) {
		n := scsiSerial(page, identity{})
		if len(n.wwn) > 16 || strings.Contains(name(n.long), "/") {
			t.Errorf("%+q", n.long)
		}
		scsiUnitSerial(page)
	})
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ text, name, value string }{
		{"  QEMU  HARDDISK   ", "QEMU_HARDDISK", "  QEMU  HARDDISK"},
		{"a/b c", "a_b_c", "a/b c"},
		{"\x1b[2J\n", "__2J", "__2J"},
		{`a\x20b`, `a\x20b`, `a\x20b`},
		{"ÄÖ", "ÄÖ", "ÄÖ"},
		{"\xff", "_", "_"},
		{"tail\n\n", "tail", "tail"},
	} {
		if got := name(test.text); got != test.name {
			t.Errorf("name(%q) = %q, want %q", test.text, got, test.name)
		}
		if got := value(test.text); got != test.value {
			t.Errorf("value(%q) = %q, want %q", test.text, got, test.value)
		}
	}
}

func TestAccess(t *testing.T) {
	for _, test := range []struct {
		node  string
		block bool
		group string
		mode  os.FileMode
	}{
		{"sda", true, "disk", 0o660}, {"sr0", true, "cdrom", 0o660}, {"tty7", false, "tty", 0o620},
		{"tty", false, "tty", 0o666}, {"ttyS0", false, "dialout", 0o660}, {"null", false, "", 0},
		{"bus/usb/001/002", false, "", 0o664}, {"input/event0", false, "input", 0o660}, {"kvm", false, "kvm", 0o660},
		{"mem", false, "kmem", 0o640}, {"console", false, "", 0}, {"net/tun", false, "", 0o666},
	} {
		a, ok := accessOf(test.node, test.block)
		if !ok {
			a = access{}
		}
		if a.group != test.group || a.mode != test.mode {
			t.Errorf("%s: %+v, want %s %o", test.node, a, test.group, test.mode)
		}
	}
}

func TestProperties(t *testing.T) {
	var p Properties
	p.Set("A", "1")
	p.Set("AB", "2\nE:X=3")
	p.Set("A", "4")
	p.Set("C", "5")
	p.Set("C", "")
	p.Set("D", "")
	if !slices.Equal(p, Properties{"A=4", "AB=2_E:X=3"}) || p.Get("A") != "4" || p.Get("B") != "" {
		t.Errorf("%q", p)
	}
}

// TestProbed leaves alone what cannot be read: a partition whose card was taken out.
func TestProbed(t *testing.T) {
	const disk = "/devices/usb1/block/sdb"
	for _, test := range []struct {
		size string
		want bool
	}{{"131072", true}, {"0", false}} {
		sys := fstest.MapFS{
			disk[1:] + "/size":           {Data: []byte(test.size + "\n")},
			disk[1:] + "/sdb1/partition": {Data: []byte("1\n")},
		}
		if got := probed(newAttributes(sys), disk+"/sdb1"); got != test.want {
			t.Errorf("of a disk of %s sectors: %t", test.size, got)
		}
		if !probed(newAttributes(sys), disk) {
			t.Error("a disk is asked whether there is something in it")
		}
	}
}
