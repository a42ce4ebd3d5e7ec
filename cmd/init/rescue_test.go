package main

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/zerodisc/zerodisc/internal/disks"
)

func TestDiskLine(t *testing.T) {
	for _, test := range []struct {
		device           disks.Device
		what, mountPoint string
		want             string
	}{
		{disks.Device{Name: "sda", Bytes: 500e9, Model: "Model"}, "", "", "  sda             500.0 GB  Model\n"},
		{disks.Device{Name: "sda1", Bytes: 21e6, Partition: true, Label: "EFI"}, `vfat "BOOT"`, "",
			"    sda1           21.0 MB  vfat \"BOOT\"  (partition \"EFI\")\n"},
		{disks.Device{Name: "nvme0n1", Bytes: 4e12}, "", "", "  nvme0n1           4.0 TB\n"},
		{disks.Device{Name: "sr0", Bytes: 39e6}, "", "/media/boot", "  sr0              39.0 MB  at /media/boot\n"},
		{disks.Device{Name: "sr1", Bytes: 1 << 30, Model: "Drive"}, "", "", "  sr1                       Drive\n"},
	} {
		if got := diskLine(test.device, test.what, test.mountPoint); got != test.want {
			t.Errorf("%+v: %q, want %q", test.device, got, test.want)
		}
	}
}

// Leaving the shell again and again must not pile up threads that wait for a dying disk.
func TestDyingDiskIsReadOnce(t *testing.T) {
	end := make(chan struct{})
	reads := make(chan string, 100)
	r := diskReader{identify: func(name string) string {
		if name == "sda" {
			reads <- name
			<-end
			return "ext4"
		}
		return "vfat"
	}}
	devices := []disks.Device{{Name: "sda"}, {Name: "sdb"}}
	for range 5 {
		// sdb needs no time but the scheduler's.
		if got := r.identifyAll(devices, 100*time.Millisecond); got["sda"] != silent {
			t.Errorf("contents %v", got)
		}
	}
	if len(reads) != 1 {
		t.Errorf("sda was read %d times at once", len(reads))
	}
	close(end)
	for range 1000 { // until the read has come back
		if got := r.identifyAll(devices, time.Minute); got["sda"] == "ext4" && got["sdb"] == "vfat" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("sda is never read again")
}

func TestNICTable(t *testing.T) {
	sys := fstest.MapFS{
		"class/net/lo/address":           {Data: []byte("00:00:00:00:00:00\n")},
		"class/net/eth0/address":         {Data: []byte("52:54:00:12:34:56\n")},
		"class/net/eth0/device/driver":   {Data: []byte("../../bus/pci/drivers/e1000"), Mode: fs.ModeSymlink},
		"class/net/bonding_masters/file": {},
	}
	if got, want := nicTable(sys), "\n  eth0         52:54:00:12:34:56  e1000\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := nicTable(fstest.MapFS{}); !strings.Contains(got, "no network cards") {
		t.Errorf("%q", got)
	}
}

// A line that is longer than the screen is wide would be hard to read.
func TestRescueCommandsFitTheScreen(t *testing.T) {
	for line := range strings.Lines(rescueCommands + question) {
		if len(line) > 80 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}
