package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// rootPart is which part of the memory may be written to the root file system, beyond what the initrd has brought.
const rootPart = 10

// boundRoot bounds the root file system, which the kernel lets have half of the memory. Without that a full one leaves
// too little for a small dom0 to run on. What is no file system in memory has its own size.
func boundRoot() error {
	var root unix.Statfs_t
	var all unix.Sysinfo_t
	if err := errors.Join(unix.Statfs("/", &root), unix.Sysinfo(&all)); err != nil {
		return fmt.Errorf("bound the root file system: %w", err)
	}
	if root.Type != unix.TMPFS_MAGIC {
		return nil
	}
	used := (root.Blocks - root.Bfree) * uint64(root.Bsize)
	size := fmt.Sprintf("size=%d", used+all.Totalram*uint64(all.Unit)/rootPart)
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT, size); err != nil {
		return fmt.Errorf("bound the root file system: %w", err)
	}
	return nil
}

// MountMemory mounts a file system in memory at dir, which is made where there is none, for at most so many bytes. With
// 0 bytes it has no limit of its own: all of the memory.
func MountMemory(dir string, bytes int64, mode fs.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	size := "100%"
	if bytes > 0 {
		size = strconv.FormatInt(bytes, 10)
	}
	options := fmt.Sprintf("mode=%#o,size=%s", mode, size)
	if err := unix.Mount("tmpfs", dir, "tmpfs", noExec, options); err != nil {
		return fmt.Errorf("mount a file system in memory at %s: %w", dir, err)
	}
	return nil
}
