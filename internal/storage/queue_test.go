package storage

import (
	"slices"
	"testing"
)

func TestQueueTakesTurns(t *testing.T) {
	var q queue
	for _, device := range []string{"sda", "sda1", "sda2", "nvme0n1p1", "sda3", "nvme0n1p2", "md127p1", "sdb", "dm-0"} {
		q.put("/dev/" + device)
	}
	want := []string{"sda", "nvme0n1p1", "md127p1", "sdb", "dm-0", "sda1", "nvme0n1p2", "sda2", "sda3", ""}
	for i, device := range want {
		got := q.next()
		if device != "" {
			device = "/dev/" + device
		}
		if got != device {
			t.Errorf("turn %d: %q, want %q", i, got, device)
		}
	}
	q.put("/dev/sda4")
	if got := q.next(); got != "/dev/sda4" || q.next() != "" {
		t.Errorf("afterwards: %q", got)
	}
}

func TestDiskName(t *testing.T) {
	var got []string
	for _, device := range []string{"sda", "sda12", "nvme0n1p3", "mmcblk0p1", "md127p1", "dm-3", "md_copy", "loop7"} {
		got = append(got, diskName("/dev/"+device))
	}
	want := []string{"sda", "sda", "nvme0n1", "mmcblk0", "md127", "dm-", "md_copy", "loop"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
