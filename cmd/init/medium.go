package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/disks"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/media"
	"github.com/zerodisc/zerodisc/internal/toram"
)

// followMedium sees to it that guests need the boot medium no longer, or have it back when it was pulled.
func (d *dom0) followMedium(ctx context.Context) {
	medium := d.state.Snapshot().Host.Medium
	if medium.Mount == "" || d.owners == nil {
		return
	}
	manager := toram.New(toram.Config{
		Mode: toram.ModeOf(d.config().Stores.ToRAM), Medium: medium, Dir: boot.NextMediumDir,
		Needed: []string{boot.MediumKernel, boot.MediumGuests, boot.MediumReadme},
		Kernel: toram.Linux{Reopen: d.owners.images.Reopen, Log: d.log}, Ledger: d.owners.ledger,
		Subscribe: d.state.Subscribe, Gone: d.awaitRemoval,
		Find: func(ctx context.Context, dir string) (host.Medium, error) {
			return d.searchMedium(ctx, dir, medium.File != "")
		},
		Users:  func() []string { return d.usersOf(boot.MediaMount, "") },
		Others: d.othersOnDisk, Tell: d.state.Tell, Copied: d.shareUserland, Log: d.log,
	})
	d.watch(ctx, "boot-medium", endless(manager.Run))
}

// shareUserland removes the userland's image from the root file system where the copy of the medium has it too: a demo
// guest's initrd is the end of dom0's, and takes a third of the copy.
func (d *dom0) shareUserland() {
	var files []string
	_ = filepath.WalkDir(filepath.Join(boot.MediaMount, boot.MediumGuests),
		func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				files = append(files, name)
			}
			return nil
		})
	shared, err := loopdev.Share(boot.UserlandImage, files)
	if err == nil && shared != "" {
		err = os.Remove(boot.UserlandImage)
	}
	d.log.Debug("userland", "shared", shared, "err", err)
	debug.FreeOSMemory() // what was copied went through a buffer
}

// awaitRemoval returns when a block device is taken away, or its disc is.
func (d *dom0) awaitRemoval(ctx context.Context, device string) {
	events, err := d.devices.Subscribe(ctx, isDevice(device))
	if err != nil {
		d.log.Error("storage", "err", err)
		<-ctx.Done()
		return
	}
	isDisc := disks.KindOf(filepath.Base(device)) == disks.Optical && d.state.Snapshot().Host.Medium.File == ""
	if !fileExists(filepath.Join("/sys/class/block", filepath.Base(device))) || isDisc && !media.IsThere(device) {
		return // it was taken away before
	}
	look := time.NewTicker(discPoll)
	defer look.Stop()
	missed := 0 // looks in a row that found no disc
	for {
		asked := false
		select {
		case e, ok := <-events:
			if !ok || e.Action == "remove" {
				return
			}
		case <-look.C:
			asked = true
		}
		switch {
		case !isDisc || media.IsThere(device):
			missed = 0
		case !asked || missed > 0: // a drive may have a hiccup
			return
		default:
			missed++
		}
	}
}

// discPoll is how often a drive is asked for its disc. The kernel tells of a tray that was opened by force if the drive
// does, and not all do (QEMU's).
const discPoll = 3 * time.Second

// othersOnDisk lists the guests that use the disk that a device is on, past the copy of the medium, and says what else
// has it in use: the state volume has, even where no guest is on it.
func (d *dom0) othersOnDisk(device string) (guests []string, problem string) {
	disk := wholeDisk(device)
	if v := d.state.Snapshot().Host.State; v.Mount != "" && wholeDisk(v.Device) == disk {
		problem = "the state volume is on it, at " + v.Mount
	}
	return d.usersOfDisk("/dev/" + filepath.Base(disk)), problem
}

// wholeDisk is the directory in sysfs of the disk that a device is, or is a partition of.
func wholeDisk(device string) string {
	dir := realPath(filepath.Join("/sys/class/block", filepath.Base(device)))
	if fileExists(filepath.Join(dir, "partition")) {
		return filepath.Dir(dir)
	}
	return dir
}
