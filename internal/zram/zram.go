// Package zram makes swap space of compressed RAM (Documentation/admin-guide/blockdev/zram.rst). What programs have
// written and do not use for the moment takes less than half its room there, and no disk is touched.
package zram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Module is the driver. It makes one device when it is loaded: the one that Swap takes.
const Module = "zram"

// places is where the kernel shows what Swap needs; tests have their own.
type places struct{ sys, device, vm string }

var kernel = places{sys: "/sys/block/zram0", device: "/dev/zram0", vm: "/proc/sys/vm"}

// Swap makes the driver's device swap space for size bytes, a multiple of the page size, and has the kernel use it.
func Swap(size int64) error {
	if err := kernel.format(size); err != nil {
		return fmt.Errorf("swap: %w", err)
	}
	path, err := unix.BytePtrFromString(kernel.device)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(path)), 0, 0); errno != 0 {
		return fmt.Errorf("swap: swapon %s: %w", kernel.device, errno)
	}
	return nil
}

// format sets the device's size, writes the header of swap space and tells the kernel when to swap.
func (p places) format(size int64) error {
	if err := os.WriteFile(filepath.Join(p.sys, "disksize"), strconv.AppendInt(nil, size, 10), 0); err != nil {
		return err
	}
	device, err := os.OpenFile(p.device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = device.Write(header(size, os.Getpagesize()))
	if err := errors.Join(err, device.Close()); err != nil {
		return err
	}
	// Documentation/admin-guide/sysctl/vm.rst. Beyond 100, swapping counts as cheaper than reading a file again, and
	// here it is: a page of 4 KiB against a block of 256 KiB. Nothing is gained by reading neighbours of a page.
	for name, value := range map[string]string{"swappiness": "180", "page-cluster": "0"} {
		if err := os.WriteFile(filepath.Join(p.vm, name), []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// header is the first page of swap space (include/linux/swap.h, union swap_header).
func header(size int64, page int) []byte {
	const version, lastPage, signature = 1024, 1028, "SWAPSPACE2"
	h := make([]byte, page)
	binary.NativeEndian.PutUint32(h[version:], 1)
	binary.NativeEndian.PutUint32(h[lastPage:], uint32(size/int64(page)-1))
	copy(h[page-len(signature):], signature)
	return h
}
