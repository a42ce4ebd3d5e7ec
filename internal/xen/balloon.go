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

// Balloon changes how much memory dom0 has. What it gives up is free for guests.
type Balloon struct {
	dir      string // of the balloon driver in sysfs
	meminfo  string
	patience time.Duration // moveTime outside tests
}

// NewBalloon returns dom0's balloon (Documentation/ABI/stable/sysfs-devices-system-xen_memory).
func NewBalloon() *Balloon {
	return &Balloon{dir: "/sys/devices/system/xen_memory/xen_memory0", meminfo: "/proc/meminfo", patience: moveTime}
}

// CurrentKiB returns the memory that dom0 has now.
func (b *Balloon) CurrentKiB() (int64, error) { return b.read("info/current_kb") }

// moveTime is how long dom0 waits for the balloon driver to move memory.
const moveTime = 10 * time.Second

// GiveUpKiB makes dom0 smaller by kib and returns, once Xen has the memory back, how much it was.
// The caller sees to it that dom0 can spare it (AvailableKiB). When the driver takes too long, dom0
// stays as small as it is by then, and that much is returned with the error.
func (b *Balloon) GiveUpKiB(ctx context.Context, kib int64) (int64, error) {
	moved, err := b.move(ctx, -kib)
	return -moved, err
}

// TakeKiB makes dom0 larger by kib, of what Xen has free, and returns how much larger it got: less with an error. Xen
// has to allow it that much (Toolstack.AllowDom0). What dom0 did not have when it was started is plugged into its
// kernel as new memory.
func (b *Balloon) TakeKiB(ctx context.Context, kib int64) (int64, error) { return b.move(ctx, kib) }

// move changes dom0's memory by kib and returns by how much it has changed.
func (b *Balloon) move(ctx context.Context, kib int64) (int64, error) {
	before, err := b.CurrentKiB()
	if err != nil {
		return 0, err
	}
	target := before + kib
	if err := b.setTarget(target); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	for {
		now, err := b.CurrentKiB()
		if err != nil || kib < 0 && now <= target || kib > 0 && now >= target {
			return now - before, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			// The driver would go on for what is refused now.
			err := fmt.Errorf("change dom0's memory to %d KiB: it has %d KiB: %w", target, now, ctx.Err())
			return now - before, errors.Join(err, b.setTarget(now))
		}
	}
}

// setTarget tells the driver how much memory dom0 shall have.
func (b *Balloon) setTarget(kib int64) error {
	if err := os.WriteFile(filepath.Join(b.dir, "target_kb"), strconv.AppendInt(nil, kib, 10), 0); err != nil {
		return fmt.Errorf("set dom0 memory: %w", err)
	}
	return nil
}

// AvailableKiB is how much memory dom0 can give to new processes, or give up.
func (b *Balloon) AvailableKiB() (int64, error) {
	file, err := os.Open(b.meminfo)
	if err != nil {
		return 0, fmt.Errorf("dom0 memory in use: %w", err)
	}
	defer file.Close()
	available, err := parseAvailable(file)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", b.meminfo, err)
	}
	return available, nil
}

// parseAvailable reads MemAvailable, KiB, out of /proc/meminfo (proc(5)).
func parseAvailable(r io.Reader) (int64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil || kib < 0 {
			return 0, fmt.Errorf("MemAvailable: %q is no number of kB", rest)
		}
		return kib, nil
	}
	return 0, errors.Join(errors.New("no MemAvailable"), lines.Err())
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
