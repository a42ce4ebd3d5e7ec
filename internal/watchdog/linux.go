package watchdog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Linux is the kernel's watchdogs.
type Linux struct{}

const classDir = "/sys/class/watchdog"

// List lists them in the order of their numbers.
func (Linux) List() ([]Device, error) {
	entries, err := os.ReadDir(classDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no driver is loaded
	}
	var devices []Device
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(classDir, entry.Name(), "identity"))
		if err != nil {
			continue // it has just gone
		}
		devices = append(devices, Device{Name: entry.Name(), Identity: strings.TrimSpace(string(text))})
	}
	slices.SortStableFunc(devices, func(a, b Device) int { return len(a.Name) - len(b.Name) }) // 2 before 10
	return devices, err
}

// Open starts the watchdog.
func (Linux) Open(d Device) (Dog, error) {
	file, err := os.OpenFile("/dev/"+d.Name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &dog{file}, nil
}

type dog struct{ file *os.File }

// SetTimeout asks for a timeout. A driver that cannot wait so long keeps its own.
func (d *dog) SetTimeout(timeout time.Duration) (time.Duration, error) {
	fd := int(d.file.Fd())
	_ = unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, int(timeout/time.Second)) // what it has is asked next
	has, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	return time.Duration(has) * time.Second, err
}

// Feed writes a byte that is not the magic one.
func (d *dog) Feed() error {
	_, err := d.file.Write([]byte{0})
	return err
}

// Disarm writes the byte that makes the close the end.
func (d *dog) Disarm() error {
	_, err := d.file.WriteString("V")
	return errors.Join(err, d.file.Close())
}
