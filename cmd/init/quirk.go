package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// am53c974 begins the alias of AMD's SCSI controller 53C974, which the Tekram DC-390 has, too.
const am53c974 = "pci:v00001022d00002020"

// Registers of that controller whose reading acknowledges what is pending: of its DMA engine, and of the controller.
// Each has four bytes (ESP_DMA_STATUS and ESP_INTRPT in drivers/scsi/am53c974.c and esp_scsi.h).
const (
	am53c974DMAStatus = 0x15 * 4
	am53c974Interrupt = 0x05 * 4
)

// quiet prepares the devices with an alias for their driver, before it loads.
//
// The driver of the 53C974 asks for interrupts before it has set up the lists that its handler goes through. A firmware
// that read a disk and left the last interrupt pending, as SeaBIOS does, made dom0's kernel panic.
func quiet(sys, alias string) error {
	if !strings.HasPrefix(alias, am53c974) {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(sys, "bus/pci/devices/*/modalias"))
	errs := []error{err}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.TrimSpace(string(text)) == alias {
			err = acknowledge(filepath.Join(filepath.Dir(name), "resource0"))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// acknowledge reads the registers. ports is the file of the device's I/O ports in sysfs, a byte for each.
func acknowledge(ports string) error {
	f, err := os.Open(ports)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, register := range []int64{am53c974DMAStatus, am53c974Interrupt} {
		if _, err := f.ReadAt(make([]byte, 1), register); err != nil {
			return fmt.Errorf("acknowledge interrupts: %w", err)
		}
	}
	return nil
}
