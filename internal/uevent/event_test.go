package uevent

import (
	"strings"
	"testing"
)

const plugged = "add@/devices/pci0000:00/0000:00:1d.0/usb1/1-1\x00ACTION=add\x00" +
	"DEVPATH=/devices/pci0000:00/0000:00:1d.0/usb1/1-1\x00SUBSYSTEM=usb\x00DEVTYPE=usb_device\x00" +
	"DEVNAME=bus/usb/001/002\x00MODALIAS=usb:v0781p5567\x00SEQNUM=1234\x00"

func TestParse(t *testing.T) {
	e, err := Parse([]byte(plugged))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{e.Action, e.DevPath, e.Subsystem, e.DevType, e.DevName, e.Modalias, e.Get("SEQNUM"), e.Get("SEQ")}
	want := []string{"add", "/devices/pci0000:00/0000:00:1d.0/usb1/1-1", "usb", "usb_device", "bus/usb/001/002",
		"usb:v0781p5567", "1234", ""}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, message := range map[string]string{
		"empty":        "",
		"no NUL":       "add@/devices/x",
		"udev's own":   "libudev\x00\xfe\xed\xca\xfe",
		"no path":      "add@\x00SUBSYSTEM=usb\x00",
		"no action":    "@/devices/x\x00SUBSYSTEM=usb\x00",
		"no subsystem": "add@/devices/x\x00ACTION=add\x00",
		"too long":     "add@/devices/x\x00SUBSYSTEM=usb\x00" + strings.Repeat("A", MaxEventBytes),
	} {
		if e, err := Parse([]byte(message)); err == nil {
			t.Errorf("%s: no error, got %+v", name, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(plugged))
	f.Add([]byte("libudev\x00"))
	f.Add([]byte("add@/\x00SUBSYSTEM=\x00=\x00\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		e, err := Parse(message)
		if err == nil && (e.Action == "" || e.Subsystem == "" || e.DevPath[0] != '/') {
			t.Errorf("incomplete event %+v", e)
		}
	})
}
