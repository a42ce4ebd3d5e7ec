package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Figures of a host on which nothing happens.
const (
	idleCPU    = "idle services, of one CPU"
	idleMemory = "dom0 RAM in use, idle"
)

// A boot is over after idleAfter: init has tidied up its memory. Then nothing is done for idleTime.
const (
	idleAfter = 45 * time.Second
	idleTime  = time.Minute
)

// idleLimit is when the machine that does nothing counts as failed.
const idleLimit = bootLimit + idleAfter + idleTime + time.Minute

// measureIdle boots machine once, leaves it alone with its two guests, and measures what dom0's processes use then.
func measureIdle(machine qemu.Machine) ([]Sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), idleLimit)
	defer cancel()
	p, _, err := start(ctx, machine)
	if p == nil {
		return nil, err
	}
	defer p.Close()
	sample := Sample{}
	if err == nil {
		time.Sleep(idleAfter)
		err = errors.Join(addIdleCPU(ctx, sample, p), addPieces(ctx, sample, p))
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Report())
	}
	return []Sample{sample}, nil
}

// addIdleCPU adds which share of a processor dom0's processes use while nothing happens, in percent.
func addIdleCPU(ctx context.Context, sample Sample, p *qemu.Process) error {
	before, err := processTimes(ctx, p)
	if err != nil {
		return err
	}
	time.Sleep(idleTime)
	after, err := processTimes(ctx, p)
	if err != nil {
		return err
	}
	shares := after.since(before)
	for _, process := range slices.Sorted(maps.Keys(shares)) {
		share := 100 * shares[process]
		sample[idleCPU] += share
		if share > 0 {
			fmt.Fprintf(os.Stderr, "idle: %.2f %% of one CPU: process %s\n", share, process)
		}
	}
	return nil
}

// times is how much of a processor each process has used since it began, its children that have ended included, and
// when that was asked, in seconds since the kernel's start.
type times struct {
	at   float64
	used map[string]float64 // by process, "1 (init)"
}

// processTimes asks dom0 for its processes' times.
func processTimes(ctx context.Context, p *qemu.Process) (times, error) {
	text, err := p.Shell(ctx, "cat /proc/[0-9]*/stat /proc/uptime")
	if err != nil {
		return times{}, err
	}
	return parseTimes(text)
}

var (
	statLine   = regexp.MustCompile(`(?m)^(\d+) \((.*)\) (.*)$`)
	uptimeLine = regexp.MustCompile(`(?m)^(\d+\.\d+) \d+\.\d+$`)
)

// Fields of proc_pid_stat(5), counted from the state, which is the first after the name.
const (
	statFirstTime = 11 // utime, stime, cutime, cstime
	statLastTime  = 14
	statBytes     = 20 // vsize: threads of the kernel have none
)

// ticks are the units of processor time in a second.
const ticks = 100

// parseTimes reads proc_pid_stat(5) of many processes, and proc_uptime(5). Left out are the kernel's threads, and the
// shell, which measures.
func parseTimes(text string) (times, error) {
	uptime := uptimeLine.FindStringSubmatch(text)
	if uptime == nil {
		return times{}, fmt.Errorf("no uptime in %.200q", text)
	}
	at, err := strconv.ParseFloat(uptime[1], 64)
	if err != nil {
		return times{}, err
	}
	t := times{at: at, used: map[string]float64{}}
	for _, line := range statLine.FindAllStringSubmatch(text, -1) {
		fields := strings.Fields(line[3])
		if len(fields) <= statBytes || fields[statBytes] == "0" || line[2] == "sh" {
			continue
		}
		for _, field := range fields[statFirstTime : statLastTime+1] {
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return times{}, fmt.Errorf("process %s: %w", line[1], err)
			}
			t.used[fmt.Sprintf("%s (%s)", line[1], line[2])] += n / ticks
		}
	}
	return t, nil
}

// since is how many processors each process has used since before, as a mean. One that was not there then is no
// service.
func (t times) since(before times) map[string]float64 {
	shares := map[string]float64{}
	for process, now := range t.used {
		if then, was := before.used[process]; was {
			shares[process] = (now - then) / (t.at - before.at)
		}
	}
	return shares
}
