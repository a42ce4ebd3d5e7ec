// Package power watches the machine's power button: the ACPI button driver presents it as an
// input device that sends KEY_POWER (Linux, Documentation/input/event-codes.rst).
package power

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// From linux/input-event-codes.h.
const (
	evKey    = 1
	keyPower = 116
)

// eventSize is the size of struct input_event on 64-bit machines, bytes: two 64-bit times, 16-bit
// type and code, 32-bit value (linux/input.h).
const eventSize = 24

// Watch calls pressed for every press of the power button behind one of sysfs's input devices. It
// opens the devices of /dev/input whose capabilities name KEY_POWER and reads each on a goroutine
// of its own; it returns how many there are. A keyboard's power key counts as well.
func Watch(pressed func()) (int, error) {
	devices, err := filepath.Glob("/sys/class/input/event*")
	if err != nil {
		return 0, err
	}
	buttons := 0
	for _, device := range devices {
		caps, err := os.ReadFile(filepath.Join(device, "device/capabilities/key"))
		if err != nil || !hasKey(string(caps), keyPower) {
			continue
		}
		f, err := os.Open(filepath.Join("/dev/input", filepath.Base(device)))
		if err != nil {
			return buttons, fmt.Errorf("open power button: %w", err)
		}
		buttons++
		go func() {
			defer f.Close()
			read(f, pressed)
		}()
	}
	return buttons, nil
}

// read calls pressed for every key-down of KEY_POWER until r ends.
func read(r io.Reader, pressed func()) {
	var event [eventSize]byte
	for {
		if _, err := io.ReadFull(r, event[:]); err != nil {
			return
		}
		kind := binary.LittleEndian.Uint16(event[16:])
		code := binary.LittleEndian.Uint16(event[18:])
		value := binary.LittleEndian.Uint32(event[20:])
		if kind == evKey && code == keyPower && value == 1 {
			pressed()
		}
	}
}

// hasKey says whether the bitmap of sysfs (hexadecimal 64-bit words, the highest first) has key.
func hasKey(bitmap string, key int) bool {
	words := strings.Fields(bitmap)
	index := len(words) - 1 - key/64
	if index < 0 {
		return false
	}
	word, err := strconv.ParseUint(words[index], 16, 64)
	return err == nil && word>>(key%64)&1 == 1
}
