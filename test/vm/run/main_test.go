package main

import (
	"testing"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

func TestParse(t *testing.T) {
	arguments := []string{"-mode", "uefi", "-medium", "usb", "-mem", "512", "-accel", "tcg", "-print"}
	m, accel, printOnly, err := parse(arguments)
	if err != nil || !printOnly || m.Firmware != qemu.UEFI ||
		m.Medium != qemu.USB || m.MemoryMiB != 512 || accel != "tcg" {
		t.Errorf("parse: %+v, %v, %v", m, printOnly, err)
	}
}

func TestListsWindow(t *testing.T) {
	for help, want := range map[string]bool{
		"Available display backend types:\nnone\ngtk\nsdl\n": true,
		"Available display backend types:\nnone\ncurses\n":   false,
	} {
		if got := listsWindow(help); got != want {
			t.Errorf("listsWindow(%q) = %v", help, got)
		}
	}
}
