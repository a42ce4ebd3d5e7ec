package disks

import "golang.org/x/sys/unix"

// Disc is what a CD drive says of its disc.
type Disc int

// The answers of a drive.
const (
	NoDrive  Disc = iota // it is none, or does not say
	NoDisc               // the tray is empty, or open
	NotReady             // it is reading the disc in
	HasDisc
)

// From linux/cdrom.h.
const (
	cdromDriveStatus = 0x5326
	cdslCurrent      = 1<<31 - 1
)

// discs are the drive's answers by their numbers: CDS_NO_INFO and so on (sr_drive_status in drivers/scsi/sr_ioctl.c).
var discs = [...]Disc{NoDrive, NoDisc, NoDisc, NotReady, HasDisc}

// DiscIn asks an open block device for its disc. To read without one would fail too, but the kernel would write about
// each read on the console.
func DiscIn(fd uintptr) Disc {
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, cdromDriveStatus, cdslCurrent)
	if errno != 0 || status >= uintptr(len(discs)) {
		return NoDrive
	}
	return discs[status]
}
