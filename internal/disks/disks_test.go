package disks

import (
	"slices"
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

func TestMountPoints(t *testing.T) {
	got := MountPoints("tmpfs /run tmpfs rw 0 0\n/dev/sr0 /media/boot iso9660 ro 0 0\n\n")
	if got["/dev/sr0"] != "/media/boot" || len(got) != 2 {
		t.Errorf("%v", got)
	}
}
