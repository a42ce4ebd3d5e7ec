package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/pageout"
	"github.com/zerodisc/zerodisc/internal/pressure"
	"github.com/zerodisc/zerodisc/internal/sysctl"
	"github.com/zerodisc/zerodisc/internal/zram"
)

// makeSwap gives dom0 swap space in RAM for half of its memory, which takes about a quarter of it when it is full. It
// lets dom0 spare what xl needs only while it creates a guest, and what idle programs have written.
func makeSwap(context.Context) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return err
	}
	return zram.Swap(int64(info.Totalram) * int64(info.Unit) / 2 &^ int64(os.Getpagesize()-1))
}

// endThrashing has a process ended when it takes so much memory that no other gets on.
func endThrashing(ctx context.Context) error {
	kernel, err := pressure.Open()
	if err != nil {
		return err
	}
	defer kernel.Close()
	return pressure.Run(ctx, kernel)
}

// bootOver is how long after `ready` what the boot has left in memory is tidied up: guests boot until then.
const bootOver = 20 * time.Second

// tidyMemory gives back what the boot needed: garbage, modules that lie in /usr/lib as well, what the kernel remembers
// of a walk through /sys, and pages of all processes that are not used any more, which are compressed.
func (d *dom0) tidyMemory(ctx context.Context) {
	select {
	case <-time.After(bootOver):
	case <-ctx.Done():
		return
	}
	for _, module := range slices.Concat(boot.Stage1Modules, boot.GuestModules) {
		_ = os.Remove(filepath.Join(boot.EarlyModules, module+".ko")) // after a crash it has gone already
	}
	debug.FreeOSMemory()
	if err := errors.Join(sysctl.Set("vm.drop_caches", "2"), pageout.All()); err != nil {
		d.log.Debug("tidy memory", "err", err)
	}
}
