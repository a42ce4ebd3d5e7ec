package guestdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Resume knows the devices again that another Manager, which is no longer there, has made for a guest. left is the
// guest as it was last.
func (m *Manager) Resume(spec *guests.Resolved, left *host.Guest) (*Set, error) {
	s := m.newSet(spec)
	names, err := m.Kernel.Names()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without device mapper's module there are none
		return s, err
	}
	if left.Changes.BudgetKiB > 0 {
		s.budget.bytes = left.Changes.BudgetKiB << 10
		s.budget.limit, s.budget.closed = s.budget.bytes+slackBytes, left.Changes.Full
		s.budget.files = m.Ledger.Files(diskOwner(spec.Name))
		s.budget.files.Adopt(left.Changes.UsedKiB<<10, s.budget.limit)
		s.did(func() error { s.budget.files.Release(); return nil })
		s.did(func() error { return m.Kernel.Unmount(s.dir) })
		s.budget.told = left.Changes.UsedKiB << 10
	}
	s.spec.Disks = nil
	for _, d := range left.Disks {
		s.spec.Disks = append(s.spec.Disks, guests.Disk{
			Vdev: d.Vdev, Target: d.Target, Format: d.Format, Writable: d.Writable,
		})
		s.nodes[d.Vdev] = d.Node
		if d.Device != "" {
			s.devices[d.Vdev], s.damage[d.Vdev] = d.Device, d.Problem
			s.resumeDisk(d, names)
		}
	}
	s.watch()
	return s, nil
}

// resumeDisk knows one disk's devices again.
func (s *Set) resumeDisk(d host.Disk, names []string) {
	k := s.manager.Kernel
	s.making = d.Vdev
	defer func() { s.making = "" }()
	s.did(func() error { return s.manager.Images.Stop(s.name(d.Vdev, "")) })
	for _, part := range []string{"-base", copyOnWritePart, ""} {
		if name := s.name(d.Vdev, part); slices.Contains(names, name) {
			s.did(func() error { return k.Remove(name) })
		}
	}
	if !d.CopyOnWrite {
		return
	}
	s.did(func() error { return os.Remove(filepath.Join(s.dir, d.Vdev)) })
	snapshot, err := k.Path(s.name(d.Vdev, copyOnWritePart))
	if err == nil {
		var bytes int64
		if bytes, err = k.Bytes(snapshot); err == nil {
			g := gate{name: s.name(d.Vdev, ""), vdev: d.Vdev, snapshot: snapshot, sectors: uint64(bytes / sectorBytes)}
			s.budget.gates = append(s.budget.gates, g)
			if !s.budget.closed {
				err = k.Replace(g.name, g.open()) // it may have been left shut, see revive
			}
		}
		if err == nil {
			return
		}
	}
	s.manager.Log.Warn("guest disk", "guest", s.spec.Name, "disk", d.Vdev, "err", err,
		"remedy", fmt.Sprintf("shut the guest down: nobody watches this disk any more, and when changes to it take "+
			"over %d MiB, all of them are lost", s.budget.bytes/mib))
}
