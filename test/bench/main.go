// Command bench measures the shipped image: what takes how many bytes of it, and, booted from CD
// in QEMU several times, how long each step takes and how much memory dom0 needs. It prints a
// table of medians and writes the same, with every single run, as JSON.
//
//	go run ./test/bench [-iso FILE] [-n RUNS] [-accel auto|tcg|kvm] [-mode bios|uefi] [-json FILE]
//	                    [-storage=false] [-idle=false] [-many=false] [-smallest=false]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dir keeps what the machines leave behind: the serial log of the last boot.
const dir = "build/vm/bench"

func run(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	iso := flags.String("iso", "build/zerodisc.iso", "image to measure")
	runs := flags.Int("n", 5, "boots per figure")
	accelName := flags.String("accel", "auto", "auto (KVM where it works), tcg or kvm")
	mode := flags.String("mode", string(qemu.BIOS), "firmware: bios or uefi")
	out := flags.String("json", "build/bench.json", "where the figures go")
	storage := flags.Bool("storage", true, "measure a guest's disks, and how soon a USB stick is seen")
	idle := flags.Bool("idle", true, "measure what a host uses on which nothing happens")
	many := flags.Bool("many", true, "measure hosts with 50 guests, which needs 8 GB of memory here, and with 10")
	smallest := flags.Bool("smallest", true, "search for the smallest memory that works")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *runs < 1 {
		return fmt.Errorf("-n %d: want at least one run", *runs)
	}
	emulator, err := qemu.Debian()
	if err != nil {
		return err
	}
	accel, err := qemu.ParseAccel(*accelName, emulator)
	if err != nil {
		return err
	}
	machine := qemu.Machine{ISO: *iso, Accel: accel, Firmware: qemu.Firmware(*mode)}

	result := Result{Image: *iso, Accel: string(accel), Mode: *mode}
	if result.Bytes, err = sizes(*iso); err != nil {
		return err
	}
	samples, err := bootOften(machine, *runs)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		wanted  bool
		measure func(qemu.Machine) ([]Sample, error)
	}{{*storage, measureStorage}, {*idle, measureIdle}, {*many, measureMany}} {
		if !part.wanted {
			continue
		}
		more, err := part.measure(machine)
		if err != nil {
			return err
		}
		samples = append(samples, more...)
	}
	result.Figures = summarize(samples)
	if *smallest {
		result.SmallestMiB = smallestMemory(machine)
	}
	result.Print(os.Stdout)
	return writeJSON(*out, result)
}

// bootOften boots machine several times, one after the other.
func bootOften(machine qemu.Machine, runs int) ([]Sample, error) {
	var samples []Sample
	for i := range runs {
		sample, err := bootOnce(machine)
		if err != nil {
			return nil, fmt.Errorf("boot %d of %d: %w", i+1, runs, err)
		}
		fmt.Fprintf(os.Stderr, "boot %d of %d: both addresses after %.1f s\n", i+1, runs, sample[bothAddresses])
		samples = append(samples, sample)
	}
	return samples, nil
}

func writeJSON(path string, result Result) error {
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
