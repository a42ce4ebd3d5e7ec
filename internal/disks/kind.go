package disks

import (
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// Kind is what a block device is made of.
type Kind int

// The kinds of block devices. Disks and their partitions are of the same kind.
const (
	Hardware Kind = iota
	Optical       // a CD drive
	Floppy        // too small for anything, and slow to say that nothing is in it
	Combined      // of disks: by the device mapper, or an array of Linux RAID
	Part          // an array that only a logical volume is made of
	Virtual       // of a file or of memory, or served by a program: guests' disks are among them
)

// kinds has the beginnings of names, those with more of the name first. A number follows, where they do not end in a
// mark (Linux, Documentation/admin-guide/devices.txt).
var kinds = []struct {
	prefix string
	kind   Kind
}{
	{boot.ArrayInVolume, Part},
	{"md_", Combined}, {"md", Combined}, {"dm-", Combined},
	{"sr", Optical},
	{"fd", Floppy},
	{"loop", Virtual}, {"ram", Virtual}, {"zram", Virtual}, {"ublkb", Virtual}, {"nbd", Virtual}, {"mtdblock", Virtual},
}

// KindOf returns the kind of a block device by its name, "sda1".
func KindOf(name string) Kind {
	for _, k := range kinds {
		rest, ok := strings.CutPrefix(name, k.prefix)
		marked := strings.ContainsAny(k.prefix, "-_")
		if ok && (marked || rest != "" && rest[0] >= '0' && rest[0] <= '9') {
			return k.kind
		}
	}
	return Hardware
}
