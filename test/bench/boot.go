package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Sample is one boot: figures by name, in the unit that figures gives.
type Sample map[string]float64

// The figures that others are computed from.
const (
	initStart     = "init"
	bothAddresses = "both addresses"
	initToCreate  = "init to first xl create"
)

// bootLimit is when a boot counts as failed; TCG on two cores needs about 45 s.
const bootLimit = 3 * time.Minute

// guests are the two that come with the disc.
var guests = []string{"tty1", "tty2"}

// milestones are the moments of a boot, in order, by what the serial console says then.
var milestones = []struct {
	name string
	line *regexp.Regexp // nil: an event
	want console.Query
}{
	{name: "GRUB", line: regexp.MustCompile(`GRUB`)},
	{name: "Xen", line: regexp.MustCompile(`\(XEN\) Xen version|Xen \d+\.\d+`)},
	{name: initStart, want: console.Query{"msg": "init"}},
	{name: "first guest", want: console.Query{"msg": boot.MsgGuestRunning}},
	{name: "ready", want: console.Query{"msg": boot.MsgReady}},
}

// start boots machine and returns it with the time, in seconds since power-on, of each milestone
// up to both guests' addresses. The caller ends the machine, also after an error.
func start(ctx context.Context, machine qemu.Machine) (*qemu.Process, Sample, error) {
	p, err := qemu.Launch(machine, dir)
	if err != nil {
		return nil, nil, err
	}
	sample := Sample{}
	for _, m := range milestones {
		at, err := reach(ctx, p, m.line, m.want)
		if err != nil {
			return p, nil, fmt.Errorf("%s: %w", m.name, err)
		}
		sample[m.name] = at
	}
	for _, guest := range guests {
		at, err := reach(ctx, p, nil, console.Query{"msg": boot.MsgGuestAddress, "guest": guest})
		if err != nil {
			return p, nil, fmt.Errorf("address of guest %s: %w", guest, err)
		}
		sample[bothAddresses] = max(sample[bothAddresses], at)
	}
	sample["both addresses / init"] = sample[bothAddresses] / sample[initStart]
	sample[initToCreate], err = firstCreate(p)
	sample[initToCreate] -= sample[initStart]
	return p, sample, err
}

// firstCreate returns when the first xl create began, in seconds since power-on.
func firstCreate(p *qemu.Process) (float64, error) {
	first := math.Inf(1)
	for _, event := range p.Console.Events(0, console.Query{"msg": boot.MsgGuestRunning}) {
		took, err := event.Milliseconds()
		if err != nil {
			return 0, err
		}
		first = min(first, event.At.Sub(p.PowerOn).Seconds()-took.Seconds())
	}
	return first, nil
}

// reach waits for a line or an event and returns its time in seconds since power-on.
func reach(ctx context.Context, p *qemu.Process, line *regexp.Regexp, want console.Query) (float64, error) {
	if line != nil {
		found, err := p.Console.WaitLine(ctx, 0, line)
		return found.At.Sub(p.PowerOn).Seconds(), err
	}
	found, err := p.Console.WaitEvent(ctx, 0, want)
	return found.At.Sub(p.PowerOn).Seconds(), err
}

// bootOnce boots machine once and measures everything.
func bootOnce(machine qemu.Machine) (Sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	p, sample, err := start(ctx, machine)
	if p == nil {
		return nil, err
	}
	defer p.Close()
	if err == nil {
		err = errors.Join(addStages(sample, p), addMemory(ctx, sample, p))
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Report())
	}
	return sample, nil
}

// stagePrefix begins the names of the figures that init's stages get.
const stagePrefix = "stage "

// addStages adds how long init says each of its stages took, in milliseconds.
func addStages(sample Sample, p *qemu.Process) error {
	for _, event := range p.Console.Events(0, console.Query{"msg": boot.MsgStage}) {
		took, err := event.Milliseconds()
		if err != nil {
			return err
		}
		sample[stagePrefix+event.Get("name")] = float64(took.Milliseconds())
	}
	return nil
}

var (
	memTotal     = regexp.MustCompile(`(?m)^MemTotal:\s+(\d+) kB`)
	memAvailable = regexp.MustCompile(`(?m)^MemAvailable:\s+(\d+) kB`)
	vmRSS        = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB`)
)

// addMemoryInUse adds what of dom0's memory could not be given to a new process, in MiB: MemTotal - MemAvailable, RAM
// disks included.
func addMemoryInUse(ctx context.Context, sample Sample, name string, p *qemu.Process) error {
	info, err := p.Shell(ctx, "cat /proc/meminfo")
	if err != nil {
		return err
	}
	total, err := mebibytes(info, memTotal)
	if err != nil {
		return err
	}
	available, err := mebibytes(info, memAvailable)
	sample[name] = total - available
	return err
}

// addMemory adds dom0's memory in use and what init's two processes have resident, in MiB.
func addMemory(ctx context.Context, sample Sample, p *qemu.Process) error {
	if err := addMemoryInUse(ctx, sample, "dom0 RAM in use", p); err != nil {
		return err
	}
	stage2, err := p.Stage2(ctx)
	if err != nil {
		return err
	}
	for name, pid := range map[string]string{"stage2 RSS": stage2, "process 1 RSS": "1"} {
		status, err := p.Shell(ctx, "cat /proc/"+pid+"/status")
		if err != nil {
			return err
		}
		if sample[name], err = mebibytes(status, vmRSS); err != nil {
			return err
		}
	}
	return nil
}

// mebibytes returns the number of kB that re finds in text, in MiB.
func mebibytes(text string, re *regexp.Regexp) (float64, error) {
	found := re.FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("nothing matches %s in %q", re, text)
	}
	kib, err := strconv.ParseFloat(found[1], 64)
	return kib / 1024, err
}

// The search for the smallest machine goes down from memoryStart in steps of memoryStep, MiB.
const (
	memoryStart = 512
	memoryStep  = 32
)

// smallestMemory returns the least memory, in MiB, with which both guests get an address, one
// boot a step, or 0 where memoryStart is not enough.
func smallestMemory(machine qemu.Machine) int {
	best := 0
	for mib := memoryStart; mib > 0; mib -= memoryStep {
		machine.MemoryMiB = mib
		ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
		p, _, err := start(ctx, machine)
		cancel()
		if p != nil {
			p.Close()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%d MiB: %v (%s)\n", mib, err, filepath.Join(dir, "serial.log"))
			break
		}
		fmt.Fprintf(os.Stderr, "%d MiB: both guests\n", mib)
		best = mib
	}
	return best
}
