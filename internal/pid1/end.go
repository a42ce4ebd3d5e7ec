package pid1

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// grace is how long processes have between SIGTERM and SIGKILL. Guests are down by then (stage2
	// shut them down); what is left are shells and daemons that keep nothing.
	grace = 2 * time.Second
	// stuckAfter is how long nothing has to be written to any disk before one that does not take its data is
	// given up. A slow stick may need minutes for what it was sent, but each second it takes some.
	stuckAfter = 30 * time.Second
)

var rebootCommands = map[Action]int{
	PowerOff: unix.LINUX_REBOOT_CMD_POWER_OFF,
	Reboot:   unix.LINUX_REBOOT_CMD_RESTART,
	Halt:     unix.LINUX_REBOOT_CMD_HALT,
}

// End ends every process, unmounts what can be unmounted, syncs and stops the machine.
func End(action Action) {
	_ = unix.Kill(-1, unix.SIGTERM)
	waitForChildren(grace)
	_ = unix.Kill(-1, unix.SIGKILL)
	untilStuck(stuckAfter, unwritten, func() {
		unix.Sync()
		unmountAll()
	})
	_ = unix.Reboot(rebootCommands[action])
}

// waitForChildren reaps until no child is left or the limit has passed.
func waitForChildren(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		switch pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); {
		case err == syscall.ECHILD:
			return
		case pid <= 0:
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// untilStuck does work, and leaves it behind once the amount that is left to do has stayed the same for patience.
// A sync waits without end for a disk that has died.
func untilStuck(patience time.Duration, left func() int64, work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	amount, since := left(), time.Now()
	for time.Since(since) < patience {
		select {
		case <-done:
			return
		case <-time.After(patience / 30):
		}
		if now := left(); now != amount {
			amount, since = now, time.Now()
		}
	}
}

// unwritten is how many KiB wait to be written to disks.
func unwritten() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return unwrittenKiB(string(text))
}

// unwrittenKiB adds up what of /proc/meminfo (proc(5)) is dirty and what is being written.
func unwrittenKiB(meminfo string) int64 {
	var sum int64
	for line := range strings.Lines(meminfo) {
		key, rest, _ := strings.Cut(line, ":")
		var kib int64
		if key != "Dirty" && key != "Writeback" {
			continue
		}
		if _, err := fmt.Sscan(rest, &kib); err == nil {
			sum += kib
		}
	}
	return sum
}

// unmountAll unmounts every block device's file system, the last mounted first, so that a
// writable disk somebody mounted is clean afterwards.
func unmountAll() {
	text, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return
	}
	for _, dir := range blockMounts(string(text)) {
		if unix.Unmount(dir, 0) != nil {
			_ = unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
}

// blockMounts returns the mount points of /proc/mounts (proc(5)) whose source is a block device,
// in the order in which they can be unmounted.
func blockMounts(text string) []string {
	octal := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var dirs []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "/dev/") {
			dirs = append(dirs, octal.Replace(f[1]))
		}
	}
	slices.Reverse(dirs)
	return dirs
}
