package md

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Module is the driver. It loads those of the levels by itself.
const Module = "md_mod"

// Commands (linux/raid/md_u.h).
const (
	cmdSetArray = 0x40480923 // SET_ARRAY_INFO
	cmdAddDisk  = 0x40140921 // ADD_NEW_DISK
	cmdRun      = 0x400c0930 // RUN_ARRAY
	cmdStop     = 0x932      // STOP_ARRAY
)

// places where the driver is talked to; tests have their own.
const (
	newArray = "/sys/module/md_mod/parameters/new_array"
	sysBlock = "/sys/block"
)

// Start starts an array without superblocks for reading, and returns its device. name is its name in /dev and begins
// with "md_". devices are its members in their places, "" for one that is missing; they have the data from their first
// sector on and refuse writes, which is what makes the driver start the array for reading only.
func Start(name string, g Geometry, devices []string) (device string, err error) {
	if err := os.WriteFile(newArray, []byte(name), 0); err != nil {
		return "", fmt.Errorf("make RAID array %s (is the module %s loaded?): %w", name, Module, err)
	}
	device = filepath.Join("/dev", name)
	if err := start(device, name, g, devices); err != nil {
		return "", errors.Join(fmt.Errorf("start RAID array %s: %w", name, err), Stop(device))
	}
	return device, nil
}

func start(device, name string, g Geometry, devices []string) error {
	array, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer array.Close()
	if err := command(array, cmdSetArray, arrayInfo(g)); err != nil {
		return fmt.Errorf("describe it: %w", err)
	}
	if g.Level == RAID0 && g.Layout != 0 { // the command has no room for it
		file := filepath.Join(sysBlock, name, "md/layout")
		if err := os.WriteFile(file, strconv.AppendUint(nil, uint64(g.Layout), 10), 0); err != nil {
			return err
		}
	}
	for place, member := range devices {
		if member == "" {
			continue
		}
		info, err := diskInfo(place, member)
		if err != nil {
			return err
		}
		if err := command(array, cmdAddDisk, info); err != nil {
			return fmt.Errorf("add %s: %w", member, err)
		}
	}
	if err := command(array, cmdRun, make([]byte, 12)); err != nil {
		return fmt.Errorf("run it: %w; dmesg has the reason", err)
	}
	return confirm(filepath.Join(sysBlock, name, "ro"))
}

// confirm makes sure that an array is for reading only.
func confirm(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(text)) != "1" {
		return errors.New("the driver would write to it")
	}
	return nil
}

// arrayInfo is a struct mdu_array_info_s. The members' size is left to the driver, which takes the smallest.
func arrayInfo(g Geometry) []byte {
	const level, disks, notPersistent, state, layout, chunk, size = 4, 7, 9, 11, 16, 17, 18
	const clean = 1
	info := make([]byte, 4*size)
	for i, value := range map[int]uint32{
		1: 90, level: uint32(g.Level), disks: uint32(g.Disks), notPersistent: 1, state: clean,
		layout: g.Layout, chunk: uint32(g.Chunk),
	} {
		binary.NativeEndian.PutUint32(info[4*i:], value)
	}
	return info
}

// diskInfo is a struct mdu_disk_info_s.
func diskInfo(place int, device string) ([]byte, error) {
	const active, inSync = 1 << 1, 1 << 2
	var stat unix.Stat_t
	if err := unix.Stat(device, &stat); err != nil {
		return nil, fmt.Errorf("add %s: %w", device, err)
	}
	info := make([]byte, 20)
	for i, value := range []uint32{
		uint32(place), unix.Major(stat.Rdev), unix.Minor(stat.Rdev), uint32(place), active | inSync,
	} {
		binary.NativeEndian.PutUint32(info[4*i:], value)
	}
	return info, nil
}

func command(array *os.File, number uintptr, argument []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, array.Fd(), number, uintptr(unsafe.Pointer(&argument[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// Stop takes an array away. That there is none is no error; one that is in use stays, with EBUSY.
func Stop(device string) error {
	array, err := os.OpenFile(device, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop RAID array: %w", err)
	}
	defer array.Close()
	if err := command(array, cmdStop, make([]byte, 4)); err != nil {
		return fmt.Errorf("stop RAID array %s: %w", device, err)
	}
	return nil
}
