// Package uevent follows the devices of the machine: it listens to the kernel's uevents, looks
// through /sys for the devices that were there before (coldplug), has kernel modules loaded for
// what it finds, and lets other parts of init follow what comes and goes.
//
// The device nodes themselves are devtmpfs's work; package udev gives them owners and links.
package uevent

import (
	"errors"
	"fmt"
	"strings"
)

// MaxEventBytes bounds one message: the kernel's own buffer for the variables has 2 KiB
// (UEVENT_BUFFER_SIZE), before it stands the device's path.
const MaxEventBytes = 8 << 10

// Event is something that happened to a device, or a device that coldplug found.
type Event struct {
	Action    string // add, remove, change, bind, unbind, move, online, offline
	DevPath   string // below /sys, with a leading slash: /devices/pci0000:00/...
	Subsystem string // block, net, pci, usb, ...
	DevName   string // of its node below /dev, if it has one: sda1, input/event0
	DevType   string // disk, partition, usb_device, ...
	Interface string // of a network device: eth0
	Modalias  string // what its driver's module is found by

	vars []string // KEY=VALUE, all of them
}

// Get returns the value of one of the event's variables, "" where it has none.
func (e Event) Get(key string) string {
	for _, v := range e.vars {
		if len(v) > len(key) && v[len(key)] == '=' && v[:len(key)] == key {
			return v[len(key)+1:]
		}
	}
	return ""
}

// Vars returns all variables, KEY=VALUE. They are not to be changed.
func (e Event) Vars() []string { return e.vars }

// WithAction returns the event with another action.
func (e Event) WithAction(action string) Event {
	e.Action = action
	return e
}

// Parse reads a message of the kernel: "ACTION@DEVPATH", then KEY=VALUE strings, each ended by
// a NUL (Linux: lib/kobject_uevent.c).
func Parse(message []byte) (Event, error) {
	if len(message) > MaxEventBytes {
		return Event{}, fmt.Errorf("parse uevent: %d bytes", len(message))
	}
	header, rest, ok := strings.Cut(string(message), "\x00")
	action, devpath, at := strings.Cut(header, "@")
	if !ok || !at || action == "" || !strings.HasPrefix(devpath, "/") {
		return Event{}, fmt.Errorf("parse uevent: %.60q: want ACTION@/DEVPATH", header)
	}
	event := newEvent(rest, "\x00")
	event.Action, event.DevPath = action, devpath
	if event.Subsystem == "" {
		return Event{}, errors.New("parse uevent: no SUBSYSTEM")
	}
	return event, nil
}

// newEvent takes the variables from text, where end ends each.
func newEvent(text, end string) Event {
	e := Event{vars: make([]string, 0, strings.Count(text, end)+1)}
	for text != "" {
		var v string
		v, text, _ = strings.Cut(text, end)
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			continue
		}
		e.vars = append(e.vars, v)
		if field := e.field(key); field != nil {
			*field = value
		}
	}
	return e
}

// field is where the variable key has a field of its own.
func (e *Event) field(key string) *string {
	switch key {
	case "SUBSYSTEM":
		return &e.Subsystem
	case "DEVNAME":
		return &e.DevName
	case "DEVTYPE":
		return &e.DevType
	case "INTERFACE":
		return &e.Interface
	case "MODALIAS":
		return &e.Modalias
	}
	return nil
}
