package xen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// balloonHeadroomKiB stays free in dom0 above what it uses now: less and the kernel starts
// killing processes before the balloon has reached its target.
const balloonHeadroomKiB = 32 << 10

// Balloon changes how much memory dom0 has. What it gives up is free for guests.
type Balloon struct {
	dir     string // of the balloon driver in sysfs
	meminfo string
}

// ErrBalloonBounds reports a target that dom0 could not live with.
var ErrBalloonBounds = errors.New("dom0 memory target out of bounds")

// NewBalloon returns dom0's balloon (Documentation/ABI/stable/sysfs-devices-system-xen_memory).
func NewBalloon() *Balloon {
	return &Balloon{dir: "/sys/devices/system/xen_memory/xen_memory0", meminfo: "/proc/meminfo"}
}

// CurrentKiB returns the memory that dom0 has now.
func (b *Balloon) CurrentKiB() (int64, error) { return b.read("info/current_kb") }

// TargetKiB returns the memory that dom0 is growing or shrinking to.
func (b *Balloon) TargetKiB() (int64, error) { return b.read("target_kb") }

// SetTargetKiB makes dom0 shrink or grow to kib, which takes a while. It refuses, with
// ErrBalloonBounds, less than dom0 uses now plus 32 MiB. Xen itself keeps dom0 from growing beyond
// what is free and what dom0_mem=max: allows: CurrentKiB then stays below the target.
func (b *Balloon) SetTargetKiB(kib int64) error {
	floor, err := b.floorKiB()
	if err != nil {
		return err
	}
	if kib < floor {
		return fmt.Errorf("%w: %d KiB asked for, dom0 needs %d KiB (what it uses and %d KiB more)", ErrBalloonBounds, kib, floor, int64(balloonHeadroomKiB))
	}
	path := filepath.Join(b.dir, "target_kb")
	if err := os.WriteFile(path, strconv.AppendInt(nil, kib, 10), 0); err != nil {
		return fmt.Errorf("set dom0 memory: %w", err)
	}
	return nil
}

// giveUpTime is how long GiveUpKiB waits for the balloon driver to hand the memory over.
const giveUpTime = 10 * time.Second

// GiveUpKiB makes dom0 smaller by kib, or by less where dom0 needs the rest itself, and returns,
// once Xen has the memory back, how much that was.
func (b *Balloon) GiveUpKiB(ctx context.Context, kib int64) (int64, error) {
	floor, err := b.floorKiB()
	if err != nil {
		return 0, err
	}
	before, err := b.CurrentKiB()
	if err != nil {
		return 0, err
	}
	target := max(floor, before-kib)
	if target >= before {
		return 0, nil
	}
	if err := b.SetTargetKiB(target); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, giveUpTime)
	defer cancel()
	for {
		now, err := b.CurrentKiB()
		if err != nil || now <= target {
			return before - now, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return before - now, fmt.Errorf("shrink dom0 to %d KiB: it still has %d KiB: %w", target, now, ctx.Err())
		}
	}
}

// AvailableKiB is how much memory dom0 can give to new processes.
func (b *Balloon) AvailableKiB() (int64, error) {
	m, err := b.readMeminfo()
	return m["MemAvailable"], err
}

// floorKiB is the least that dom0 can do with now.
func (b *Balloon) floorKiB() (int64, error) {
	m, err := b.readMeminfo()
	return m["MemTotal"] - m["MemAvailable"] + balloonHeadroomKiB, err
}

func (b *Balloon) readMeminfo() (map[string]int64, error) {
	file, err := os.Open(b.meminfo)
	if err != nil {
		return nil, fmt.Errorf("dom0 memory in use: %w", err)
	}
	defer file.Close()
	m, err := parseMeminfo(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.meminfo, err)
	}
	return m, nil
}

// parseMeminfo reads MemTotal and MemAvailable, KiB, out of /proc/meminfo (proc(5)).
func parseMeminfo(r io.Reader) (map[string]int64, error) {
	values := map[string]int64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, rest, _ := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 || (key != "MemTotal" && key != "MemAvailable") {
			continue
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		values[key] = kib
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(values) != 2 || values["MemAvailable"] < 0 || values["MemAvailable"] > values["MemTotal"] {
		return nil, errors.New("no usable MemTotal and MemAvailable")
	}
	return values, nil
}

func (b *Balloon) read(name string) (int64, error) {
	path := filepath.Join(b.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("dom0 memory (is the balloon driver there?): %w", err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("dom0 memory: %s: %w", path, err)
	}
	return kib, nil
}
