// Package namespace makes the file system tree that programs expect of Linux: it mounts the kernel's
// file systems and makes the links of /dev and the directories of a root in RAM.
package namespace

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one row of the mount table, mount(2).
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

const (
	noExec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	noDev  = unix.MS_NOSUID | unix.MS_NODEV
)

// mounts in the order in which they are made. What programs write without being asked has limits that a small
// dom0 can bear: /run, /tmp, logs; and /dev, where a disk's name that is misspelt becomes a file. This program's own
// files and the logs are in file systems of their own, so that they go on when another one is full.
var mounts = []mount{
	{"proc", "/proc", "proc", noExec, ""},
	{"sysfs", "/sys", "sysfs", noExec, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755,size=4m"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5"},
	{"tmpfs", "/dev/shm", "tmpfs", noDev, "mode=1777,size=1m"},
	{"tmpfs", "/run", "tmpfs", noDev, "mode=0755,size=10%"},
	{"tmpfs", "/run/zerodisc", "tmpfs", noDev, "mode=0755,size=8m"},
	{"tmpfs", "/tmp", "tmpfs", noDev, "mode=1777,size=25%"},
	{"tmpfs", "/root", "tmpfs", noDev, "mode=0700,size=25%"}, // what is copied to this host lands here
	{"tmpfs", "/var/log", "tmpfs", noDev, "mode=0755,size=8m"},
	// The kernel mounts nothing beneath what is mounted on the root file system itself (internal/toram).
	{"tmpfs", "/media", "tmpfs", noExec, "mode=0755,size=1m"},
}

// links of /dev that programs expect, as every Linux system has them.
var links = [][2]string{
	{"/dev/fd", "/proc/self/fd"},
	{"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
}

// dirs are made in addition to the mount points.
var dirs = []string{"/mnt", "/run/lock"}

// Make mounts the table, then makes the directories and links. It is meant for an initramfs, where none
// of them exist yet; it leaves alone what is already there. One failure does not stop the rest: the error
// joins all of them.
func Make() error {
	var errs []error
	for _, m := range mounts {
		errs = append(errs, m.make())
	}
	errs = append(errs, boundRoot())
	for _, dir := range dirs {
		errs = append(errs, os.MkdirAll(dir, 0o755))
	}
	for _, l := range links {
		if err := os.Symlink(l[1], l[0]); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (m mount) make() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data)
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
	}
	return nil
}
