package guestdisk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/devmapper"
)

const sectorBytes = 512

// chunkSectors is the size in which changes are kept: that of a page, since a memory file system has no smaller one.
const chunkSectors = 8

// storeBytes is how large a file of changes has to be for n bytes of them: a header, and a chunk of metadata for each
// 256 of data (drivers/md/dm-snap-persistent.c).
func storeBytes(n int64) int64 {
	const chunk = chunkSectors * sectorBytes
	chunks := (n + chunk - 1) / chunk
	return (chunks + chunks/(chunk/16) + 16) * chunk
}

// copyOnWrite makes a device that reads from base and keeps what is written elsewhere.
func (s *Set) copyOnWrite(p plan, base string) (device string, err error) {
	bytes, err := s.manager.Kernel.Bytes(base)
	if err != nil {
		return "", err
	}
	if bytes == 0 {
		return "", fmt.Errorf("%s has less than a sector of %d bytes", p.Target, sectorBytes)
	}
	// Never full before the memory is, for a full snapshot is lost: reads fail too.
	changes, err := s.store(p.Vdev, storeBytes(min(bytes, s.budget.limit)))
	if err != nil {
		return "", err
	}
	name := s.name(p.Vdev, copyOnWritePart)
	g := gate{name: s.name(p.Vdev, ""), vdev: p.Vdev, sectors: uint64(bytes / sectorBytes)}
	g.snapshot, err = s.create(name, snapshotUUID(name), []devmapper.Target{{
		Length: g.sectors, Type: "snapshot", Params: fmt.Sprintf("%s %s P %d", base, changes, chunkSectors),
	}}, false)
	if err != nil {
		return "", fmt.Errorf("copy-on-write: %w", err)
	}
	device, err = s.create(g.name, "", g.open(), false)
	if err == nil {
		s.budget.gates = append(s.budget.gates, g)
	}
	return device, err
}

// snapshotUUID is the device mapper's UUID of a snapshot.
func snapshotUUID(name string) string { return boot.CopyOnWriteUUID + name }

// store makes a file for changes, which takes no memory until it is written to, and a block device of it.
func (s *Set) store(vdev string, bytes int64) (device string, err error) {
	path := filepath.Join(s.dir, vdev)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer file.Close()
	s.did(func() error { return os.Remove(path) }) // its memory is free when its loop device has gone
	if err := file.Truncate(bytes); err != nil {
		return "", err
	}
	return s.attach(file, false)
}

// gate is the device that a guest gets of a disk with copy-on-write.
type gate struct {
	name, vdev, snapshot string
	sectors              uint64
	revived, lost        bool // the snapshot was once, or could not be
}

// open lets everything through.
func (g gate) open() []devmapper.Target {
	return []devmapper.Target{{Length: g.sectors, Type: "linear", Params: g.snapshot + " 0"}}
}

// table is how the gate stands.
func (g gate) table(closed bool) []devmapper.Target {
	if closed {
		return g.readOnly()
	}
	return g.open()
}

// readOnly lets reads through and fails writes: up for no second, down for one, again and again (Linux,
// Documentation/admin-guide/device-mapper/dm-flakey.rst).
func (g gate) readOnly() []devmapper.Target {
	return []devmapper.Target{{Length: g.sectors, Type: "flakey", Params: g.snapshot + " 0 0 1 1 error_writes"}}
}

// shut fails everything.
func (g gate) shut() []devmapper.Target {
	return []devmapper.Target{{Length: g.sectors, Type: "error"}}
}

// revive makes snapshots anew that have failed. To write less than a chunk, Linux reads the rest of it from the base;
// where that cannot be read, as a stick was pulled say, not only the write fails but the snapshot with all that it has.
// Its changes are in memory as they were, so that the guest loses that one write.
func (s *Set) revive() {
	k := s.manager.Kernel
	for i := range s.budget.gates {
		g := &s.budget.gates[i]
		snapshot := g.name + copyOnWritePart
		if invalid, err := k.IsInvalid(snapshot); err != nil || !invalid || g.lost {
			continue
		}
		err := k.Replace(g.name, g.shut()) // nobody else may have the snapshot open
		if err == nil {
			var device string
			if device, err = k.Revive(snapshot, snapshotUUID(snapshot), filepath.Join(s.dir, g.vdev)); err == nil {
				g.snapshot = device
				err = k.Replace(g.name, g.table(s.budget.closed))
			}
		}
		if errors.Is(err, unix.EBUSY) {
			continue // a program has it open that saves the disk: the next look tries it again
		}
		if g.lost = err != nil; g.lost {
			s.manager.Log.Error("guest disk", "guest", s.spec.Name, "disk", g.vdev, "err", err,
				"remedy", "stop the guest and start it; what it has written to the disk is lost")
			continue
		}
		level := slog.LevelWarn
		if g.revived {
			level = slog.LevelDebug // the guest may try it again for ever
		}
		g.revived = true
		s.manager.Log.Log(context.Background(), level, "guest disk", "guest", s.spec.Name, "disk", g.vdev,
			"err", "a write failed, as a part of the disk could not be read")
	}
}
