package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/stage"
)

const (
	// rescueMediaTimeout is how long the rescue mode waits for the boot medium, which it does not need.
	rescueMediaTimeout = 5 * time.Second
	// identifyTimeout is how long the shell waits for disks to be read; one that fails may take minutes.
	identifyTimeout = 2 * time.Second
)

// rescueSystem is the mode for repairing a machine: all drivers and a shell, no network, nothing mounted
// but the boot medium.
type rescueSystem struct {
	machine
	reader diskReader
}

// rescueModules are the file systems: mount finds out by itself only what the kernel has already, and NTFS
// not even then.
var rescueModules = []string{"ext4", "vfat", "exfat", "ntfs3", "udf", "isofs"}

// runRescue boots the rescue shell.
func runRescue(s *system) int {
	r := &rescueSystem{machine: machine{system: s, modules: rescueModules}, reader: diskReader{identify: identify}}
	return int(s.untilAsked(r.boot))
}

func (r *rescueSystem) boot(ctx context.Context) {
	r.setHostname()
	stage.Run(ctx, r.stageEnded, []stage.Stage{
		{Name: "tools", Run: r.mountTools, Remedy: "there are no drivers: the initrd is damaged, check the disc"},
		{Name: "devices", Run: r.findDevices, Remedy: "devices that came late are still taken; see dmesg"},
		{Name: "media", Run: r.findMedium, Remedy: "nothing here needs it"},
	})
	if ctx.Err() != nil {
		return
	}
	r.tell(host.Ready{Guests: host.NoGuests, Took: time.Since(r.start)})
	r.keepShells(ctx, r.banner)
}

// findMedium mounts the boot medium where there is one. When that is an ISO file on a disk it is left
// alone: the disk would have to be mounted.
func (r *rescueSystem) findMedium(ctx context.Context) error {
	if r.cmdline[boot.KeyMediumID] == "" {
		return nil
	}
	return r.mountMedium(ctx, rescueMediaTimeout, false)
}

// rescueCommands is what the rescue shell offers, by what a person wants to do. All of them are on the
// disc: the tool block of go.mod lists them. A screen has 80 columns.
const rescueCommands = `
  look     dmesg  lsmod  pci  dmidecode  free  ps  df  find  grep  more
  mount    mount -r /dev/sda1 /mnt (without -r: to write)   umount /mnt
           ext2 to ext4, vfat, exfat, iso9660, udf, squashfs; -t ntfs3 for NTFS
  copy     cp  tar  dd  cpio  gzip  shasum  scp  wget
  network  dhclient -ipv6=false eth0     or, where there is no DHCP server:
           ip link set eth0 up           ip addr add 192.0.2.2/24 dev eth0
           ip route add default via 192.0.2.1
  drivers  modprobe NAME  rmmod NAME
  end      poweroff  reboot (what is mounted is written and unmounted first)
  exit shows this again.
`

// banner stands above the rescue shell: what this is, what the machine has, and what can be done.
func (r *rescueSystem) banner() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // fails for bad addresses only
	text := fmt.Sprintf("\nzerodisc %s rescue shell, Linux %s, all of it in RAM.\n"+
		"It mounts no local disk by itself, runs no network service, and leaves network\ncards down.\n",
		boot.Version, unix.ByteSliceToString(u.Release[:]))
	return text + r.diskTable() + nicTable(os.DirFS("/sys")) + rescueCommands + "\n"
}

// diskTable lists the machine's disks and partitions and what is on them.
func (r *rescueSystem) diskTable() string {
	devices, err := disks.List(os.DirFS("/sys"))
	if err != nil {
		return fmt.Sprintf("\n  disks: %v\n", err)
	}
	if len(devices) == 0 {
		return "\n  no disks\n"
	}
	mounts, _ := os.ReadFile("/proc/mounts")
	mounted := disks.MountPoints(string(mounts))
	contents := r.reader.identifyAll(devices, identifyTimeout)
	var b strings.Builder
	b.WriteString("\n")
	for _, d := range devices {
		b.WriteString(diskLine(d, contents[d.Name], mounted["/dev/"+d.Name]))
	}
	return b.String()
}

// diskLine describes a device in a line of the table.
func diskLine(d disks.Device, what, mountPoint string) string {
	name := "  " + d.Name
	if d.Partition {
		name = "    " + d.Name
	}
	size := bytesize.Text(d.Bytes)
	if isDrive(d.Name) && mountPoint == "" {
		size = "" // the kernel's guess when there is no disc
	}
	fields := []string{fmt.Sprintf("%-14s %11s", name, size)}
	if d.Model != "" {
		fields = append(fields, d.Model)
	}
	if what != "" {
		fields = append(fields, what)
	}
	if d.Label != "" {
		fields = append(fields, fmt.Sprintf(`(partition "%s")`, d.Label))
	}
	if mountPoint != "" {
		fields = append(fields, "at "+printable.Line(mountPoint))
	}
	return strings.TrimRight(strings.Join(fields, "  "), " ") + "\n"
}

// diskReader says what is on disks. A read of a dying one hangs in the kernel and cannot be taken back: while it
// does, the disk is not read again, however often a shell is left.
type diskReader struct {
	identify func(name string) string

	mu   sync.Mutex
	busy map[string]bool
}

// silent is said of a disk that is not read in time.
const silent = "does not answer"

// identifyAll says what is on the devices, by name, as far as they can be read in time.
func (r *diskReader) identifyAll(devices []disks.Device, limit time.Duration) map[string]string {
	type answer struct{ name, what string }
	answers := make(chan answer, len(devices)) // room for those that come too late
	contents := map[string]string{}
	for _, d := range devices {
		contents[d.Name] = silent
		if !r.begin(d.Name) {
			answers <- answer{d.Name, silent}
			continue
		}
		go func() {
			what := r.identify(d.Name)
			r.end(d.Name)
			answers <- answer{d.Name, what}
		}()
	}
	late := time.After(limit)
	for range devices {
		select {
		case a := <-answers:
			contents[a.name] = a.what
		case <-late:
			return contents
		}
	}
	return contents
}

// begin notes that a disk is about to be read, and reports whether nobody else is at it.
func (r *diskReader) begin(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[name] {
		return false
	}
	if r.busy == nil {
		r.busy = map[string]bool{}
	}
	r.busy[name] = true
	return true
}

func (r *diskReader) end(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, name)
}

// isDrive says whether a device is an optical or a floppy drive, which may have no disc in it.
func isDrive(name string) bool { return strings.HasPrefix(name, "sr") || strings.HasPrefix(name, "fd") }

// identify says what is on a device. Drives are left alone: when it reads one without a disc the kernel
// writes about that on the console, and a floppy drive takes seconds.
func identify(name string) string {
	if isDrive(name) {
		return ""
	}
	f, err := os.Open("/dev/" + name)
	if err != nil {
		return "cannot be opened"
	}
	defer f.Close()
	content, err := blkid.IdentifyFile(f)
	switch {
	case errors.Is(err, unix.ENOMEDIUM):
		return ""
	case err != nil && content.Type == "":
		return "cannot be read"
	case content.Label != "":
		return fmt.Sprintf(`%s "%s"`, content.Type, printable.Line(content.Label))
	}
	return content.Type
}

// nicTable lists the machine's network cards.
func nicTable(sys fs.FS) string {
	names, _ := fs.Glob(sys, "class/net/*")
	var b strings.Builder
	b.WriteString("\n")
	for _, dir := range names {
		driver, err := fs.ReadLink(sys, path.Join(dir, "device/driver"))
		if err != nil {
			continue // lo and its like: nothing that a cable fits
		}
		address, _ := fs.ReadFile(sys, path.Join(dir, "address"))
		fmt.Fprintf(&b, "  %-12s %s  %s\n", path.Base(dir), strings.TrimSpace(string(address)), path.Base(driver))
	}
	if b.Len() == 1 {
		b.WriteString("  no network cards\n")
	}
	return b.String()
}
