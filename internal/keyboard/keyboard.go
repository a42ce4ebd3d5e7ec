// Package keyboard loads a layout into the kernel, where it holds for all keyboards and screens of the machine
// (ioctl_console(2)).
package keyboard

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/keymap"
)

// Requests of include/uapi/linux/kd.h.
const (
	setEntry   = 0x4b47 // KDSKBENT
	setCompose = 0x4bfb // KDSKBDIACRUC
)

// noSuchMap takes a map away, where the first key of one is given it (K_NOSUCHMAP).
const noSuchMap = 0x027f

// Load loads a layout by way of a screen.
func Load(k *keymap.Keyboard, screen string) error {
	tty, err := os.OpenFile(screen, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	connection, err := tty.SyscallConn()
	if err != nil {
		return err
	}
	failure := connection.Control(func(fd uintptr) { err = load(fd, k) })
	if failure != nil {
		return failure
	}
	return err
}

func load(fd uintptr, k *keymap.Keyboard) error {
	for _, e := range entries(k) {
		if err := ioctl(fd, setEntry, unsafe.Pointer(&e)); err != nil {
			return fmt.Errorf("set key %d of map %d to %#x: %w", e.key, e.number, e.does, err)
		}
	}
	if len(k.Compose) == 0 {
		return nil
	}
	table := composeTable(k.Compose)
	if err := ioctl(fd, setCompose, unsafe.Pointer(&table[0])); err != nil {
		return fmt.Errorf("set the compose table: %w", err)
	}
	return nil
}

// entry is struct kbentry.
type entry struct {
	number, key uint8
	does        uint16
}

// entries is what the kernel is told of a layout's keys. A map that the layout has not is taken away.
func entries(k *keymap.Keyboard) []entry {
	var list []entry
	for number := range math.MaxUint8 + 1 {
		m := k.Maps[uint8(number)]
		if m == nil {
			list = append(list, entry{uint8(number), 0, noSuchMap})
			continue
		}
		for key, does := range m {
			list = append(list, entry{uint8(number), uint8(key), does})
		}
	}
	return list
}

// composeTable is struct kbdiacrsuc: a number, and three numbers for each of MAX_DIACR entries.
func composeTable(list []keymap.Compose) []byte {
	table := make([]byte, 4+keymap.MaxCompose*3*4)
	binary.NativeEndian.PutUint32(table, uint32(len(list)))
	for i, c := range list {
		for j, value := range [3]uint16{c.Accent, c.Base, c.Result} {
			binary.NativeEndian.PutUint32(table[4+12*i+4*j:], uint32(value))
		}
	}
	return table
}

func ioctl(fd uintptr, request uint, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}
