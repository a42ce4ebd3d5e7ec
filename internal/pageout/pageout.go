// Package pageout has the kernel move what processes have written to swap space, whether memory is short or not. dom0's
// swap space is compressed RAM (package zram): what was needed while the machine started, and is not any more, takes a
// third of its room there.
package pageout

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// All moves the memory of all processes. What is needed comes back page by page.
func All() error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var errs []error
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil {
			err = one(pid)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // it has ended
			errs = append(errs, fmt.Errorf("process %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}

// one moves the memory of one process; the kernel's own have none.
func one(pid int) error {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer maps.Close()
	ranges, err := written(maps)
	if err != nil || len(ranges) == 0 {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	for _, r := range ranges {
		if err := r.pageOut(process); err != nil {
			return err
		}
	}
	return nil
}

// span is a range of a process's memory.
type span struct{ start, end uint64 }

// pageOut is process_madvise(2) with MADV_PAGEOUT. What has been unmapped meanwhile, or cannot be moved, stays.
func (s span) pageOut(process int) error {
	vector := struct{ base, length uint64 }{s.start, s.end - s.start}
	_, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(process), uintptr(unsafe.Pointer(&vector)), 1,
		unix.MADV_PAGEOUT, 0, 0)
	if errno != 0 && errno != unix.ENOMEM && errno != unix.EINVAL {
		return errno
	}
	return nil
}

// written reads the ranges that are a process's own and writable, of the form of proc_pid_maps(5).
func written(maps io.Reader) ([]span, error) {
	var spans []span
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "rw") || !strings.HasSuffix(fields[1], "p") {
			continue
		}
		var s span
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &s.start, &s.end); err != nil || s.end <= s.start {
			return nil, fmt.Errorf("memory range %.40q", fields[0])
		}
		spans = append(spans, s)
	}
	return spans, lines.Err()
}
