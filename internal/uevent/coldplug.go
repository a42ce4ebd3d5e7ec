package uevent

import (
	"context"
	"errors"
	"io/fs"
	"path"
)

// coldplugClasses are the classes whose devices coldplug reports in addition to those on buses, and which of them: what
// parts of init wait for, what has links, and what has module aliases of its own. /sys/devices is not walked as
// a whole: most of its directories (power, queues, 63 virtual terminals) concern nobody here.
var coldplugClasses = []struct{ class, names string }{
	{"block", "*"}, {"net", "*"}, {"input", "*"}, {"dmi", "*"}, {"mmc_host", "*"}, {"scsi_host", "*"},
	{"tty", "tty[AU][CS]*"}, // serial ports at USB: ttyACM0, ttyUSB0
}

// Coldplug calls found with an "add" event for each device that sys (/sys) has on a bus or in
// one of the classes above, as if it had just come. It reads each device's uevent file, which
// holds its modalias. Having the kernel send the event again would cost a write, a message and its receipt
// instead of one read. Devices that go away meanwhile are passed over.
func Coldplug(ctx context.Context, sys fs.FS, found func(Event)) error {
	buses, err := fs.ReadDir(sys, "bus")
	if err != nil {
		return err
	}
	for _, bus := range buses {
		if err := coldplugDir(ctx, sys, path.Join("bus", bus.Name(), "devices"), "*", bus.Name(), found); err != nil {
			return err
		}
	}
	for _, c := range coldplugClasses {
		if err := coldplugDir(ctx, sys, path.Join("class", c.class), c.names, c.class, found); err != nil {
			return err
		}
	}
	return nil
}

// coldplugDir reports the devices that dir holds links to, as far as their names match.
func coldplugDir(ctx context.Context, sys fs.FS, dir, names, subsystem string, found func(Event)) error {
	devices, err := fs.ReadDir(sys, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, device := range devices {
		if err := ctx.Err(); err != nil {
			return err
		}
		if matches, _ := path.Match(names, device.Name()); !matches {
			continue
		}
		if event, ok := readDevice(sys, path.Join(dir, device.Name()), subsystem); ok {
			found(event)
		}
	}
	return nil
}

// readDevice makes an event of the device that link leads to.
func readDevice(sys fs.FS, link, subsystem string) (Event, bool) {
	target, err := fs.ReadLink(sys, link)
	if err != nil {
		return Event{}, false // not a device, or gone
	}
	text, err := fs.ReadFile(sys, path.Join(link, "uevent"))
	if err != nil {
		return Event{}, false
	}
	event := newEvent(string(text), "\n")
	event.Action = "add"
	event.DevPath = "/" + path.Join(path.Dir(link), target)
	event.Subsystem = subsystem
	return event, true
}
