package udev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// Group is the multicast group of NETLINK_KOBJECT_UEVENT on which udev tells of events that it has worked on. The
// kernel's own is 1.
const Group = 2

// The header of a message between udev and libudev (systemd, src/libsystemd/sd-device/device-monitor.c). The magic
// number and the hashes, by which the kernel filters for receivers, are big-endian, the rest is in the machine's
// order.
const (
	messagePrefix = "libudev\x00"
	messageMagic  = 0xfeedcafe
	headerSize    = 40
)

// maxMessage bounds a message that is received: the kernel's variables, and what udev adds.
const maxMessage = 32 << 10

// Message writes a message about a device whose properties are given, as libudev expects it.
func Message(subsystem, devtype string, properties []string) []byte {
	length := 0
	for _, p := range properties {
		length += len(p) + 1
	}
	b := make([]byte, headerSize, headerSize+length)
	copy(b, messagePrefix)
	binary.BigEndian.PutUint32(b[8:], messageMagic)
	binary.NativeEndian.PutUint32(b[12:], headerSize)
	binary.NativeEndian.PutUint32(b[16:], headerSize) // where the properties begin
	binary.NativeEndian.PutUint32(b[20:], uint32(length))
	binary.BigEndian.PutUint32(b[24:], murmurHash2(subsystem))
	if devtype != "" {
		binary.BigEndian.PutUint32(b[28:], murmurHash2(devtype))
	}
	for _, p := range properties {
		b = append(append(b, p...), 0)
	}
	return b
}

// ParseMessage reads a message of udev's and returns the properties.
func ParseMessage(b []byte) (Properties, error) {
	if len(b) < headerSize || string(b[:8]) != messagePrefix || binary.BigEndian.Uint32(b[8:]) != messageMagic {
		return nil, errors.New("parse udev message: not one of udev's")
	}
	start, length := binary.NativeEndian.Uint32(b[16:]), binary.NativeEndian.Uint32(b[20:])
	if start < headerSize || uint64(start)+uint64(length) > uint64(len(b)) || len(b) > maxMessage {
		return nil, fmt.Errorf("parse udev message: %d bytes, properties at %d of %d", len(b), start, length)
	}
	var p Properties
	for pair := range strings.SplitSeq(strings.TrimSuffix(string(b[start:start+length]), "\x00"), "\x00") {
		if key, _, ok := strings.Cut(pair, "="); ok && key != "" {
			p = append(p, pair)
		}
	}
	if p.Get("ACTION") == "" || p.Get("DEVPATH") == "" || p.Get("SUBSYSTEM") == "" {
		return nil, errors.New("parse udev message: no ACTION, DEVPATH or SUBSYSTEM")
	}
	return p, nil
}

// murmurHash2 is Austin Appleby's hash of that name with seed 0, on a little-endian machine.
func murmurHash2(text string) uint32 {
	const m, r = 0x5bd1e995, 24
	data := []byte(text)
	h := uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		k ^= k >> r
		h = h*m ^ k*m
	}
	for i, c := range slices.Backward(data) {
		h ^= uint32(c) << (8 * i)
	}
	if len(data) > 0 {
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// announcement is all that is said of a device in a message: the kernel's variables and the rules' properties.
func announcement(e uevent.Event, r *record, sequence string) []string {
	p := Properties{"ACTION=" + e.Action, "DEVPATH=" + e.DevPath, "SUBSYSTEM=" + e.Subsystem}
	for _, v := range e.Vars() {
		key, value, _ := strings.Cut(v, "=")
		if p.index(key) < 0 {
			p.Set(key, value)
		}
	}
	if e.DevName != "" {
		p.Set("DEVNAME", "/dev/"+e.DevName)
	}
	if p.Get("SEQNUM") == "" { // libudev drops what has none
		p.Set("SEQNUM", sequence)
	}
	if r == nil {
		return p
	}
	p = append(p, fmt.Sprintf("USEC_INITIALIZED=%d", r.initialized))
	for _, pair := range r.properties {
		key, value, _ := strings.Cut(pair, "=")
		p.Set(key, value)
	}
	if len(r.links) > 0 {
		p.Set("DEVLINKS", devLinks(r.links))
	}
	return p
}

// devLinks is the property that lists a device's links.
func devLinks(links []string) string {
	return "/dev/" + strings.Join(slices.Sorted(slices.Values(links)), " /dev/")
}
