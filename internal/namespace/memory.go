package namespace

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

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
