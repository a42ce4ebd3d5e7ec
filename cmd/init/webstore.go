package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/webstore"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// spareForDownloads is how many bytes of dom0's memory files may take.
func spareForDownloads() (int64, error) {
	available, err := xen.NewBalloon().AvailableKiB()
	return (available - keepKiB) << 10, err
}

// fetchGuests takes guests from the web servers that the kernel command line names, each on its own and
// for as long as the machine runs.
func (d *dom0) fetchGuests(ctx context.Context) {
	if !d.cmdline.Has(boot.KeyGuests) && !d.cmdline.Has(boot.KeyGuestsSum) {
		return
	}
	sources, err := webstore.ParseSources(d.cmdline[boot.KeyGuests], d.cmdline[boot.KeyGuestsSum])
	if err == nil {
		err = mountStores()
	}
	if err != nil {
		d.log.Error("kernel parameter", "key", boot.KeyGuests, "err", err, "remedy", "no guest is fetched; docs/kernel-parameters.md")
		d.report.Problem(err.Error())
		return
	}
	client := webstore.NewClient()
	for i, source := range sources {
		dir := filepath.Join(boot.WebStoresDir, strconv.Itoa(i+1))
		store := webstore.Store{
			Source: source, Dir: dir, Client: client, Budget: d.downloads,
			Report: d.reportStore(source.String()), Start: d.startFetched(source.Pin != nil), Refuse: d.refuseFetched,
		}
		go d.runStore(ctx, store)
	}
}

// mountStores makes the place for what is fetched. How much it takes is the budget's business, so the
// file system has no limit of its own.
func mountStores() error {
	if err := os.MkdirAll(boot.WebStoresDir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", boot.WebStoresDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=100%"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", boot.WebStoresDir, err)
	}
	return nil
}

// runStore runs one store, once there are random numbers for its connections.
func (d *dom0) runStore(ctx context.Context, store webstore.Store) {
	select {
	case <-d.random:
	case <-ctx.Done():
		return
	}
	err := os.Mkdir(store.Dir, 0o755)
	if err == nil {
		err = store.Run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error(boot.MsgGuestStore, "url", store.Source.String(), "err", err)
	}
}

// reportStore tells how far a store is.
func (d *dom0) reportStore(url string) func(webstore.Event) {
	return func(e webstore.Event) {
		d.report.Store(url, e.String())
		if e.Quiet {
			return
		}
		level := slog.LevelInfo
		if e.State == webstore.Waiting {
			level = slog.LevelWarn
		}
		d.log.LogAttrs(context.Background(), level, boot.MsgGuestStore, append([]slog.Attr{slog.String("url", url)}, e.Attrs()...)...)
	}
}

// startFetched returns what starts the guest in a directory and says whether it fitted. A store is trusted when
// the list of its files is pinned: then it is the one that was meant.
func (d *dom0) startFetched(trusted bool) func(ctx context.Context, dir string) bool {
	return func(ctx context.Context, dir string) bool { return d.startFrom(ctx, dir, trusted) }
}

func (d *dom0) startFrom(ctx context.Context, dir string, trusted bool) bool {
	d.memory.Lock()
	defer d.memory.Unlock()
	host, err := xen.ReadHost(ctx, xen.Exec)
	if err != nil {
		d.guests.refused(filepath.Base(dir), dir, err)
		return false
	}
	guest, err := guests.Load(dir)
	var broken *guests.Error
	if errors.As(err, &broken) {
		return d.launch(ctx, nil, []*guests.Error{broken}, host.FreeKiB) > 0
	}
	guest.Trusted = trusted
	return d.launch(ctx, []*guests.Guest{guest}, nil, host.FreeKiB) > 0
}

// refuseFetched tells of a guest that could not be fetched. While guests are created it waits: one of
// them may have the same name.
func (d *dom0) refuseFetched(e *guests.Error) {
	d.memory.Lock()
	defer d.memory.Unlock()
	d.guests.refused(e.Guest, e.File, e)
}
