package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/statevolume"
	"github.com/zerodisc/zerodisc/internal/udev"
)

// Values of stores.state in the configuration; any other one is a UUID.
const (
	stateAuto = "auto"
	stateNone = "no"
)

// takeState mounts the state volume, and adds the configuration that is on it.
func (d *dom0) takeState(ctx context.Context) error {
	err := d.findState(ctx)
	d.readStateConfig(ctx)
	return err
}

// findState mounts the state volume if there is one, and follows devices for one that comes later.
func (d *dom0) findState(ctx context.Context) error {
	uuid := d.config().Stores.State
	switch uuid {
	case stateNone:
		return nil
	case stateAuto:
		uuid = ""
	}
	if d.devices == nil {
		return errors.New("devices are not followed")
	}
	there, err := statevolume.Known(udev.RunDir, sysDir, isStorageName)
	if err != nil {
		return err
	}
	devices, err := d.devices.Subscribe(ctx, isStorage)
	if err != nil {
		return err
	}
	manager := statevolume.New(statevolume.Config{
		Kernel: &statevolume.Linux{}, Dir: boot.StateMount, UUID: uuid, Left: d.leftState(),
		Load: func(modules ...string) {
			if err := loadModules(ctx, modules...); err != nil {
				d.log.Debug("state volume", "err", err)
			}
		},
		Uses: func(device string) []string { return d.usersOf(boot.StateMount, device) },
		Late: func() { guarded.Go(ctx, func() { d.startLate(ctx) }) },
		Tell: d.state.Tell, Log: d.log,
	})
	events := make(chan statevolume.Event)
	go func() {
		defer close(events)
		for e := range devices {
			event := statevolume.Event{Device: "/dev/" + e.DevName, Gone: e.Action == "remove"}
			if !event.Gone {
				event.Volume = statevolume.Lookup(udev.RunDir, sysDir, event.Device)
			}
			select {
			case events <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	d.watch(ctx, "state-volume", endless(func(ctx context.Context) { manager.Run(ctx, there, events) }))
	if !d.saved {
		d.saved = manager.Wait(ctx)
	}
	return nil
}

// startLate starts the guests of a state volume that has come after the others were started.
func (d *dom0) startLate(ctx context.Context) {
	if d.owners == nil {
		return
	}
	found, broken := guests.Scan(boot.StateGuests)
	for _, e := range broken {
		d.owners.controller.RefuseAt(e, "", true)
	}
	d.owners.controller.Offer(ctx, guests.Trust(found), config.Is(d.config().Autostart, true))
}

// scanGuests reads the guests of the medium and the initrd, and of the state volume if it is there.
func (d *dom0) scanGuests() (found []*guests.Guest, broken []*guests.Error) {
	found, broken = guests.Scan(boot.MediaMount+"/"+boot.MediumGuests, boot.GuestsInRAM)
	if !d.saved {
		return found, broken
	}
	saved, faults := guests.Scan(boot.StateGuests)
	return withSaved(found, saved, faults), append(broken, faults...)
}

// withSaved adds the guests of the state volume. One of them has the place of the one of its name that it was saved
// from, also if it cannot be read: whoever has saved a guest does not want to go on with its old disks.
func withSaved(found, saved []*guests.Guest, faults []*guests.Error) []*guests.Guest {
	has := map[string]bool{}
	for _, g := range saved {
		has[g.Name] = true
	}
	for _, e := range faults {
		has[e.Guest] = true
	}
	all := slices.DeleteFunc(slices.Clone(found), func(g *guests.Guest) bool { return has[g.Name] })
	all = append(all, saved...)
	slices.SortFunc(all, func(a, b *guests.Guest) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// onState says whether a path is a file on the state volume, and that can be written to.
func onState(target string) bool {
	path := realPath(target)
	var stat unix.Statfs_t
	info, err := os.Stat(path)
	return strings.HasPrefix(path, boot.StateMount+"/") && err == nil && info.Mode().IsRegular() &&
		unix.Statfs(path, &stat) == nil && stat.Type == unix.EXT4_SUPER_MAGIC && stat.Flags&unix.ST_RDONLY == 0
}
