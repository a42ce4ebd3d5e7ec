package volumes

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/zerodisc/zerodisc/internal/lvm"
	"github.com/zerodisc/zerodisc/internal/md"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// member is a device that is a part of something.
type member struct {
	kernel kernel
	device string
	disk   disk   // open for as long as the member is there, so that no other disk can take its place
	owned  bool   // it is one of the assembled devices
	loops  []hold // over disk
	pv     *lvm.PV
	raid   *md.Member
}

// hold is a loop device over a part of a disk.
type hold struct {
	start, length uint64 // sectors; length 0 is all of it
	loop          loop
}

// readMember finds out what a device is a part of. A member may come with a reason why not all is well.
func readMember(k kernel, device, content string, owned bool) (m *member, why string) {
	if content != "LVM2_member" && content != "linux_raid_member" {
		return nil, fmt.Sprintf("RAID of the firmware (%s) is not supported", printable.Line(content))
	}
	disk, err := k.open(device)
	if err != nil {
		return nil, sentence(err)
	}
	m = &member{kernel: k, device: device, disk: disk, owned: owned}
	why = m.read()
	if m.raid == nil && m.pv == nil {
		m.close()
		return nil, why
	}
	if m.pv != nil {
		m.pv.Data = m
	}
	if owned { // an open file would keep it from being taken down
		m.disk.Close()
	}
	return m, why
}

// read looks for superblocks. The metadata at the end of a disk say that it is in an array also where the
// array's contents, a physical volume say, begin at the disk's beginning.
func (m *member) read() (why string) {
	var err, damaged error
	if m.raid, err = md.Read(m.disk, m.disk.Size()); err == nil && m.raid == nil {
		m.pv, damaged, err = lvm.Read(m.disk, m.disk.Size())
		err = errors.Join(err, damaged)
	}
	switch {
	case m.raid != nil:
		m.raid.Device = m.device
	case m.pv != nil:
		m.pv.Device = m.device
	}
	switch {
	case err != nil:
		return sentence(err)
	case m.raid == nil && m.pv == nil:
		return "no superblock is there any more"
	}
	return ""
}

// same says whether two members have been read from the same superblock.
func (m *member) same(other *member) bool {
	if m.pv == nil || other.pv == nil {
		return m.pv == other.pv && reflect.DeepEqual(m.raid, other.raid)
	}
	a, b := *m.pv, *other.pv
	a.Data, b.Data = nil, nil
	return reflect.DeepEqual(a, b)
}

func (m *member) metadata() int {
	if m.pv == nil {
		return 0
	}
	return m.pv.MetadataBytes()
}

// hold returns the path of a device that has a part of the member and refuses writes.
func (m *member) hold(start, length uint64) (string, error) {
	if m.owned && start == 0 && length == 0 {
		return m.device, nil // as it is read-only itself
	}
	for _, h := range m.loops {
		if h.start == start && h.length == length {
			return h.loop.Name(), nil
		}
	}
	disk, done, err := m.open()
	if err != nil {
		return "", err
	}
	defer done()
	loop, err := m.kernel.hold(disk, start*sector, length*sector)
	if err != nil {
		return "", err
	}
	m.loops = append(m.loops, hold{start, length, loop})
	return loop.Name(), nil
}

// open opens the disk anew where it is not kept open.
func (m *member) open() (d disk, done func(), err error) {
	if !m.owned {
		return m.disk, func() {}, nil
	}
	d, err = m.kernel.open(m.device)
	return d, func() { d.Close() }, err
}

// ReadAt reads the disk, for plans.
func (m *member) ReadAt(p []byte, at int64) (int, error) {
	disk, done, err := m.open()
	if err != nil {
		return 0, err
	}
	defer done()
	return disk.ReadAt(p, at)
}

// close lets go of the disk.
func (m *member) close() {
	m.release()
	if !m.owned {
		m.disk.Close()
	}
}

// release lets go of loop devices. They stay while something is made of them.
func (m *member) release() {
	for _, h := range m.loops {
		h.loop.Close()
	}
	m.loops = nil
}
