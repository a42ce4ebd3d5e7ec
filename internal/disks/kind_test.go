package disks

import "testing"

func TestKindOf(t *testing.T) {
	for name, want := range map[string]Kind{
		"sda": Hardware, "sdb12": Hardware, "nvme0n1p2": Hardware, "vda": Hardware, "mmcblk0boot0": Hardware,
		"xvda": Hardware, "sr0": Optical, "fd0": Floppy, "fdc": Hardware, "": Hardware, "loop": Hardware,
		"dm-0": Combined, "md0": Combined, "md127p1": Combined, "md_home": Combined, "md_lvm:abc": Part,
		"loop0": Virtual, "loop12p1": Virtual, "ram0": Virtual, "zram0": Virtual, "nbd0p1": Virtual,
		"ublkb3": Virtual, "mtdblock0": Virtual, "rams": Hardware,
	} {
		if got := KindOf(name); got != want {
			t.Errorf("%s is of kind %d, want %d", name, got, want)
		}
	}
}
