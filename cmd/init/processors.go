package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// useProcessors switches on processors that this guest gets while it runs (guest set -vcpus): the kernel's driver for
// Xen only registers them, and leaves the rest to whoever hears of them (drivers/xen/cpu_hotplug.c).
func (g *demoGuest) useProcessors(ctx context.Context) error {
	listener, err := uevent.Listen()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		event, err := listener.Receive()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, uevent.ErrOverflow):
		case err != nil:
			return errors.Join(err, listener.Close())
		case event.Subsystem == "cpu" && event.Action == "add":
			if err := switchOn(ctx, filepath.Join(sysDir, event.DevPath)); err != nil {
				g.log.Error("processor", "err", err)
			}
		}
	}
}

// switchOn switches on a processor, which is announced a moment before it may be used.
func switchOn(ctx context.Context, device string) (err error) {
	for range 10 {
		if err = os.WriteFile(filepath.Join(device, "online"), []byte("1"), 0o200); err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
