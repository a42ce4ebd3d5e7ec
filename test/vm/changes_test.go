//go:build vm && full

package vm

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/api"
)

// checkChanges changes a guest that runs: its memory, a disk and a network card that come, stay when the guest is
// started anew, and go. xl sees the same.
func (m *VM) checkChanges() {
	guest := guests[0]
	m.order("dd if=/dev/zero of=/tmp/disk.img bs=1048576 count=8 2>/dev/null")
	m.order("guest set " + guest + " -memory 94M")
	m.Until("xl list shows 94 MB", soon, func() bool { // the guest itself gives up the pages
		return regexp.MustCompile(`(?m)^` + guest + ` +\d+ +94 `).MatchString(m.Shell("xl list " + guest))
	})
	m.order("guest attach " + guest + " disk /tmp/disk.img,raw,xvdb,w")
	m.order("guest attach " + guest + " nic mac=52:54:00:aa:00:09")
	m.hasChanges(guest, true)
	m.FromNow().order("guest restart " + guest)
	m.Wait(`msg="guest address" guest=`+guest, addressLimit)
	m.hasChanges(guest, true)
	m.order("guest detach " + guest + " nic 52:54:00:aa:00:09")
	m.order("guest detach " + guest + " disk xvdb")
	m.hasChanges(guest, false)
	if said := m.Shell("guest detach " + guest + " disk xvdb; echo status $?"); strings.Contains(said, "status 0") {
		m.Errorf("a disk was detached twice: %s", said)
	}
}

// hasChanges checks whether a guest has what [VM.checkChanges] gives it, as guest and as xl say.
func (m *VM) hasChanges(name string, want bool) {
	m.t.Helper()
	var guest api.Guest
	if err := json.Unmarshal([]byte(m.Shell("guest show -o json "+name)), &guest); err != nil {
		m.Errorf("guest show -o json: %v", err)
	}
	disk := slices.ContainsFunc(guest.Disks, func(d api.Disk) bool { return d.Vdev == "xvdb" })
	nic := slices.Contains(guest.MACs, "52:54:00:aa:00:09")
	if disk != want || nic != want {
		m.Errorf("guest show: disk %v, network card %v, want %v", disk, nic, want)
	}
	const xvdb = "51728" // 202 << 8 | 16, xen-vbd-interface(7)
	disk = strings.Contains(m.Shell("xl block-list "+name), xvdb)
	nic = strings.Contains(m.Shell("xl network-list "+name), "52:54:00:aa:00:09")
	if disk != want || nic != want {
		m.Errorf("xl: disk %v, network card %v, want %v", disk, nic, want)
	}
}
