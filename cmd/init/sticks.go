package main

import (
	"context"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/sysfs"
)

// sticksLimit is how long the boot waits for USB sticks that are plugged in. The kernel gives them a second before it
// looks for their disks (delay_use of usb-storage), in which a fast machine is through with everything else.
const sticksLimit = 5 * time.Second

// massStorage is the class of an interface of a USB disk (USB Mass Storage Class Specification Overview 1.4).
const massStorage = "08"

// awaitSticks waits until the USB disks that are plugged in are there. Without any it takes no time.
func (d *dom0) awaitSticks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sticksLimit)
	defer cancel()
	waited := false
	for ctx.Err() == nil && sticksOnTheirWay(sysfs.FS(sysDir)) {
		waited = true
		time.Sleep(50 * time.Millisecond)
	}
	if waited {
		_ = d.devices.Settle(ctx, deviceQuiet) // what was not announced in time comes too late, which is said then
	}
}

// sticksOnTheirWay says whether a USB disk has a driver whose SCSI host has found nothing yet.
func sticksOnTheirWay(sys fs.FS) bool {
	const dir = "bus/usb/devices"
	entries, err := fs.ReadDir(sys, dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		class, err := fs.ReadFile(sys, path.Join(dir, e.Name(), "bInterfaceClass"))
		if err != nil || strings.TrimSpace(string(class)) != massStorage {
			continue
		}
		host, found := "", false
		below, _ := fs.ReadDir(sys, path.Join(dir, e.Name()))
		for _, b := range below {
			if strings.HasPrefix(b.Name(), "host") {
				host = path.Join(dir, e.Name(), b.Name())
			}
		}
		if host == "" {
			continue
		}
		targets, _ := fs.ReadDir(sys, host)
		for _, t := range targets {
			found = found || strings.HasPrefix(t.Name(), "target")
		}
		if !found {
			return true
		}
	}
	return false
}
