package disks

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestList(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	sys := fstest.MapFS{
		"block/loop0/size":             file("8\n"),
		"block/sda/size":               file("976773168\n"),
		"block/sda/device/model":       file("Disk \x1b[31m   \n"),
		"block/sda/queue/rotational":   file("1\n"),
		"block/sda/sda1/size":          file("2048\n"),
		"block/sda/sda1/partition":     file("1\n"),
		"block/sda/sda1/uevent":        file("MAJOR=8\nPARTNAME=EFI system\nPARTN=1\n"),
		"block/sda/sda10/size":         file("2\n"),
		"block/sda/sda10/partition":    file("10\n"),
		"block/sda/sda2/size":          file("many\n"),
		"block/sda/sda2/partition":     file("2\n"),
		"block/sr0/size":               file("78475\n"),
		"block/zram0/size":             file("0\n"),
		"class/block/something/else/a": file(""),
	}
	want := []Device{
		{Name: "sda", Bytes: 500107862016, Model: `Disk \x1b[31m`},
		{Name: "sda1", Bytes: 1 << 20, Partition: true, Label: "EFI system"},
		{Name: "sda2", Partition: true},
		{Name: "sda10", Bytes: 1024, Partition: true},
		{Name: "sr0", Bytes: 78475 * 512},
	}
	if got, err := List(sys); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want\n%v", got, err, want)
	}
	if _, err := List(fstest.MapFS{}); err == nil {
		t.Error("a machine without sysfs has disks")
	}
}

// image is a device of n bytes with texts at offsets.
func image(n int, texts map[int]string) []byte {
	b := make([]byte, n)
	for at, text := range texts {
		copy(b[at:], text)
	}
	return b
}

func TestIdentify(t *testing.T) {
	const whole = 128 << 10
	for _, test := range []struct {
		image []byte
		want  Content
	}{
		{nil, Content{}},
		{image(whole, nil), Content{}},
		{image(whole, map[int]string{510: "\x55\xaa"}), Content{}}, // a partition table alone
		{image(whole, map[int]string{1080: "\x53\xef", 1144: "root"}), Content{"ext4", "root"}},
		{image(1082, map[int]string{1080: "\x53\xef"}), Content{"ext4", ""}},
		{image(1081, map[int]string{1080: "\x53\xef"}), Content{}},
		{image(whole, map[int]string{82: "FAT32   ", 71: "EFI        "}), Content{"vfat", "EFI"}},
		{image(whole, map[int]string{54: "FAT16   ", 43: "NO NAME    "}), Content{"vfat", ""}},
		{image(whole, map[int]string{3: "NTFS    "}), Content{"ntfs", ""}},
		{image(whole, map[int]string{0: "XFSB", 108: "twelve chars"}), Content{"xfs", "twelve chars"}},
		{image(whole, map[int]string{65600: "_BHRfS_M", 65835: strings.Repeat("b", 256)}),
			Content{"btrfs", strings.Repeat("b", 256)}},
		{image(whole, map[int]string{4086: "SWAPSPACE2"}), Content{"swap", ""}},
		{image(whole, map[int]string{32769: "CD001", 32808: "ZERODISC                        "}),
			Content{"iso9660", "ZERODISC"}},
		{image(whole, map[int]string{0: "LUKS\xba\xbe"}), Content{"crypto_LUKS", ""}},
		{image(whole, map[int]string{1080: "\x53\xef", 1144: "\x1b[2J\xff"}), Content{"ext4", `\x1b[2J\xff`}},
	} {
		if got, err := Identify(bytes.NewReader(test.image)); err != nil || got != test.want {
			t.Errorf("%+v, %v, want %+v", got, err, test.want)
		}
	}
	if _, err := Identify(broken{}); !errors.Is(err, syscall.EIO) {
		t.Errorf("a device that cannot be read: %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

func FuzzIdentify(f *testing.F) {
	f.Add(image(2048, map[int]string{1080: "\x53\xef", 1144: "root"}))
	f.Fuzz(func(t *testing.T, head []byte) {
		if c := identify(head); strings.ContainsAny(c.Label, "\x1b\n\x00") || c.Type == "" && c.Label != "" {
			t.Errorf("%q", c)
		}
	})
}

func TestMountPoints(t *testing.T) {
	got := MountPoints("tmpfs /run tmpfs rw 0 0\n/dev/sr0 /media/boot iso9660 ro 0 0\n\n")
	if got["/dev/sr0"] != "/media/boot" || len(got) != 2 {
		t.Errorf("%v", got)
	}
}
