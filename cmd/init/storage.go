package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/lvm"
	"github.com/zerodisc/zerodisc/internal/statefile"
	"github.com/zerodisc/zerodisc/internal/statevolume"
	"github.com/zerodisc/zerodisc/internal/storage"
	"github.com/zerodisc/zerodisc/internal/udev"
	"github.com/zerodisc/zerodisc/internal/uevent"
	"github.com/zerodisc/zerodisc/internal/volumes"
)

// Values of stores.disks in the configuration.
const (
	storesLabelled = "labelled" // guests of labelled volumes start, those of others are listed
	storesAll      = "all"
	storesNone     = "none"
)

// followStorage looks for guests on the machine's disks, for as long as it runs. They start once turn is closed; the
// medium's, which are first, may have disks there.
func (d *dom0) followStorage(ctx context.Context, autostart bool, turn <-chan struct{}) {
	which := d.stores()
	if which == storesNone || d.devices == nil {
		return
	}
	devices, err := d.devices.Subscribe(ctx, isStorage)
	if err != nil {
		d.log.Error("storage", "err", err, "remedy", "no guest is looked for on disks")
		return
	}
	events := make(chan storage.Event)
	send := func(device string, gone bool) {
		select {
		case events <- storage.Event{Device: device, Gone: gone}:
		case <-ctx.Done():
		}
	}
	left := d.leftVolumes()
	manager := storage.New(storage.Config{
		Kernel: storage.Linux{}, Assembler: d.assembler(ctx, send), Dir: boot.MediaDir, Skip: d.isMedium(),
		StartAll: which == storesAll, Turn: turn, Left: left,
		Start: func(ctx context.Context, found []*guests.Guest) {
			<-turn
			d.owners.controller.Offer(ctx, d.unknown(found), autostart)
		},
		Found: d.owners.controller.Found, Refuse: d.owners.controller.RefuseAt,
		Uses: d.usersOf, Tell: d.state.Tell, Log: d.log,
	})
	guarded.Go(ctx, func() {
		for _, v := range left {
			if !fileExists(filepath.Join("/sys/class/block", filepath.Base(v.Device))) {
				send(v.Device, true) // it was taken away meanwhile
			}
		}
		for e := range devices {
			send("/dev/"+e.DevName, e.Action == "remove")
		}
	})
	d.watch(ctx, "storage", endless(func(ctx context.Context) { manager.Run(ctx, events) }))
}

// assembler makes volumes and arrays of disks. After a crash of init it takes over those that there are.
func (d *dom0) assembler(ctx context.Context, send func(device string, gone bool)) storage.Assembler {
	assembler := volumes.New(volumes.Config{
		Load:    func(module string) error { return loadModules(ctx, module) },
		Lost:    func(device string) { send(device, true) },
		Problem: func(sentence string) { d.state.Tell(host.VolumeProblem{Text: sentence}) },
		Adopt:   d.left != nil,
	})
	d.watch(ctx, "volumes", endless(assembler.Run))
	return assembler
}

// stores is which guests of disks the configuration asks for.
func (d *dom0) stores() string {
	if value := d.config().Stores.Disks; value != "" {
		return value
	}
	return storesLabelled
}

// isStorage says whether an event is about a disk, partition or volume that may hold guests.
func isStorage(e uevent.Event) bool {
	return e.Subsystem == "block" && isStorageName(e.DevName)
}

// isStorageName leaves out what is made of files, of memory or for guests, what is only a part of a volume, and
// floppies, which are slow to say that there is nothing in them.
func isStorageName(device string) bool {
	if k := disks.KindOf(device); k == disks.Virtual || k == disks.Floppy || k == disks.Part {
		return false
	}
	if !strings.HasPrefix(device, "dm-") {
		return true
	}
	dir := filepath.Join("/sys/class/block", device, "dm")
	name, err := os.ReadFile(filepath.Join(dir, "name"))
	uuid, err2 := os.ReadFile(filepath.Join(dir, "uuid"))
	if err != nil || err2 != nil {
		return true // it has just gone
	}
	if id := strings.TrimSpace(string(uuid)); lvm.IsVolume(id) { // its group may be called "guest"
		return !lvm.IsPart(id)
	}
	return !strings.HasPrefix(string(name), "guest-") && !strings.HasPrefix(string(name), statefile.NamePrefix)
}

// isMedium returns what says of a device that it is the boot medium, or a partition of it that lies within the image.
// The medium may come back as another device, so it is known by what it holds.
func (d *dom0) isMedium() func(device string, content blkid.Content) bool {
	medium := d.state.Snapshot().Host.Medium
	if medium.Device == "" || medium.File != "" {
		return func(string, blkid.Content) bool { return false }
	}
	identify := storage.Linux{}.Identify
	what, err := identify(medium.Device)
	var image unix.Statfs_t
	if err = errors.Join(err, unix.Statfs(medium.Mount, &image)); err != nil {
		d.log.Debug("storage", "err", err)
	}
	end := int64(image.Blocks)*image.Bsize - boot.MediumPadding
	isCopy := func(label, uuid string) bool { return label == boot.VolumeID && uuid == what.UUID }
	return func(device string, content blkid.Content) bool {
		sectors := readLine(filepath.Join("/sys/class/block", filepath.Base(device), "start"))
		start, err := strconv.ParseInt(sectors, 10, 54)
		if err != nil || start*512 >= end {
			return isCopy(content.Label, content.UUID)
		}
		disk := statevolume.Lookup(udev.RunDir, sysDir, wholeDisk(device)) // it may have a thousand partitions
		return isCopy(content.Label, content.UUID) || isCopy(disk.Label, disk.UUID)
	}
}

// readLine is the text of a file of one line, "" where it cannot be read.
func readLine(name string) string {
	text, _ := os.ReadFile(name)
	return strings.TrimSpace(string(text))
}

// usersOf lists the guests that have a disk below a directory, or a device.
func (d *dom0) usersOf(dir, device string) []string {
	var names []string
	for _, g := range d.state.Snapshot().Guests {
		for _, disk := range g.AllDisks() {
			uses := dir != "" && strings.HasPrefix(disk.Target, dir+"/") || disk.Node != "" && disk.Node == device
			if g.Phase.Live() && uses && !slices.Contains(names, g.Name) {
				names = append(names, g.Name)
			}
		}
	}
	return names
}
