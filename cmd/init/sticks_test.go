package main

import (
	"testing"
	"testing/fstest"
)

func TestSticksOnTheirWay(t *testing.T) {
	const stick, keyboard = "bus/usb/devices/1-1:1.0/", "bus/usb/devices/1-2:1.0/"
	class := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text + "\n")} }
	for _, test := range []struct {
		name string
		sys  fstest.MapFS
		want bool
	}{
		{"no USB", fstest.MapFS{}, false},
		{"a keyboard", fstest.MapFS{keyboard + "bInterfaceClass": class("03")}, false},
		{"no driver", fstest.MapFS{stick + "bInterfaceClass": class("08")}, false},
		{"waits", fstest.MapFS{
			stick + "bInterfaceClass": class("08"), stick + "host2/scsi_host/host2/state": class(""),
		}, true},
		{"there", fstest.MapFS{
			stick + "bInterfaceClass": class("08"), stick + "host2/target2:0:0/2:0:0:0/vendor": class("QEMU"),
		}, false},
	} {
		if got := sticksOnTheirWay(test.sys); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
