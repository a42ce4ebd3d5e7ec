// Package report shows the host's state to people and scripts: the console lines, and the text above the
// shells that `status` prints too. Both are views (package host): they keep no state of their own.
package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Text is the report of what this machine is, which guests run and how to reach them.
func Text(s *host.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nzerodisc %s\n", s.Host.Version)
	if m := s.Host.Machine; m.Xen != "" {
		fmt.Fprintf(&b, "  Xen %s, %d CPUs, %d MiB, guests run as %s\n", m.Xen, m.CPUs, m.TotalKiB>>10, m.GuestType)
	}
	networks(&b, s)
	if text := ssh(s.Host); text != "" {
		fmt.Fprintf(&b, "  ssh: %s\n", text)
	}
	if text := medium(s.Host.Medium); text != "" {
		fmt.Fprintf(&b, "  medium: %s\n", text)
	}
	if text := state(s.Host.State); text != "" {
		fmt.Fprintf(&b, "  state: %s\n", text)
	}
	for _, store := range s.Host.Stores {
		fmt.Fprintf(&b, "  guests of %s: %s\n", store.URL, progress(store))
	}
	for _, r := range s.Host.Remotes {
		fmt.Fprintf(&b, "  storage %s: %s\n", r.URL, remote(r))
	}
	volumes(&b, s)
	shown := slices.DeleteFunc(slices.Clone(s.Guests), func(g host.Guest) bool { return g.IsFound() && onVolume(s, g) })
	if len(shown) == 0 {
		b.WriteString("  no guests\n")
	}
	for i := range shown {
		fmt.Fprintf(&b, "  guest %-12s %s%s\n", shown[i].Name, guest(&shown[i]), changes(shown[i].Changes))
	}
	for _, problem := range s.Host.Wrong() {
		fmt.Fprintf(&b, "  ! %s\n", problem)
	}
	if s.Host.Ending != "" {
		fmt.Fprintf(&b, "  ! the machine is ending: %s\n", s.Host.Ending)
	}
	if len(shown) > 0 {
		b.WriteString("  guest list | guest console NAME (leave with Ctrl-]) | guest help | poweroff\n")
	} else {
		b.WriteString("  guest list | xl create FILE.cfg | guest help | poweroff\n")
	}
	return b.String() + "\n"
}

// maxListed bounds how many disks with guests are shown, and how many guests of each: a foreign disk may have
// thousands.
const maxListed = 8

// volumes says which guests were found on disks.
func volumes(b *strings.Builder, s *host.Snapshot) {
	found := slices.DeleteFunc(slices.Clone(s.Host.Volumes), func(v host.Volume) bool { return len(v.Guests) == 0 })
	for _, v := range found[:min(len(found), maxListed)] {
		list := strings.Join(v.Guests[:min(len(v.Guests), maxListed)], ", ")
		if more := len(v.Guests) - maxListed; more > 0 {
			list += fmt.Sprintf(" and %d more", more)
		}
		isStarted := func(g host.Guest) bool { return slices.Contains(v.Guests, g.Name) && !g.IsFound() }
		if !v.Trusted && !slices.ContainsFunc(s.Guests, isStarted) {
			list += " (not started: see zerodisc.stores)"
		}
		fmt.Fprintf(b, "  guests on %s: %s\n", strings.TrimSpace(v.Device+" "+v.Label), list)
	}
	if more := len(found) - maxListed; more > 0 {
		fmt.Fprintf(b, "  guests on %d more disks: see the console's log\n", more)
	}
}

// onVolume says whether a guest was found on a disk, whose line has its name.
func onVolume(s *host.Snapshot, g host.Guest) bool {
	return slices.ContainsFunc(s.Host.Volumes, func(v host.Volume) bool {
		return v.Mount != "" && strings.HasPrefix(g.Source.Dir, v.Mount+"/")
	})
}

// networks says where this machine can be reached: on the primary interface first, and why not there.
func networks(b *strings.Builder, s *host.Snapshot) {
	fmt.Fprintf(b, "  network: %s\n", network(s.Host.Network))
	for _, address := range elsewhere(s.Host.Network) {
		fmt.Fprintf(b, "  network: %s\n", on(address, s.Host.Network))
	}
	for _, n := range s.Host.Networks {
		if n.Interface == s.Host.Network.Interface {
			continue
		}
		fmt.Fprintf(b, "  network: %s\n", network(n))
		for _, address := range elsewhere(n) {
			fmt.Fprintf(b, "  network: %s\n", on(address, n))
		}
	}
}

// network is an interface's first address, or why it has none.
func network(n host.Network) string {
	switch addresses := reachable(n); {
	case len(addresses) > 0:
		return on(addresses[0], n)
	case n.Kind == host.Lease:
		return on(n.Address, n)
	case n.Problem != "" && n.Primary:
		return fmt.Sprintf("no address: %s (still trying)", n.Problem)
	case n.Problem != "":
		return fmt.Sprintf("no address on %s: %s (still trying)", n.Interface, n.Problem)
	case n.Primary || n.Interface == "":
		return "waiting for an address"
	}
	return "no address on " + n.Interface
}

// elsewhere is all addresses of an interface but the first.
func elsewhere(n host.Network) []netip.Prefix {
	if addresses := reachable(n); len(addresses) > 1 {
		return addresses[1:]
	}
	return nil
}

// reachable is the addresses of an interface that are good for more than its link.
func reachable(n host.Network) []netip.Prefix {
	var addresses []netip.Prefix
	for _, address := range n.Addresses {
		if !address.Prefix.Addr().IsLinkLocalUnicast() {
			addresses = append(addresses, address.Prefix)
		}
	}
	return addresses
}

func on(address netip.Prefix, n host.Network) string {
	if n.NIC == "" {
		return fmt.Sprintf("%s on %s", address, n.Interface)
	}
	return fmt.Sprintf("%s on %s (%s)", address, n.Interface, n.NIC)
}

// medium says what became of the boot medium, "" where there is none.
func medium(m host.Medium) string {
	const mib = 1 << 20
	switch {
	case m.Device == "":
		return ""
	case m.State == host.MediumCopying:
		return fmt.Sprintf("%s is copied to RAM, %d of %d MiB", m.Device, m.Done/mib, m.Total/mib)
	case m.State == host.MediumGone:
		return m.Device + " was pulled out: plug it in again"
	case m.State == host.MediumInRAM && m.Problem == "" && len(m.Guests) == 0:
		return m.Device + ", in RAM: it may be removed"
	case m.State == host.MediumInRAM:
		return m.Device + ", in RAM, but something else on it is in use"
	case m.Problem != "":
		return fmt.Sprintf("%s is needed: %s", m.Device, m.Problem)
	}
	return m.Device
}

// state says where the state volume is, "" where there is none.
func state(v host.StateVolume) string {
	var parts []string
	device := strings.TrimSpace(v.Device + " " + v.File)
	if v.Mount != "" {
		parts = append(parts, fmt.Sprintf("%s at %s, %s of %s free",
			device, v.Mount, bytesize.Text(v.Free), bytesize.Text(v.Bytes)))
	} else if device != "" {
		parts = append(parts, device)
	}
	if v.Problem != "" {
		parts = append(parts, v.Problem, v.Remedy)
	}
	return strings.Join(parts, "; ")
}

// progress says how far a store is.
func progress(s host.Store) string {
	const mib = 1 << 20
	switch {
	case s.State == "waiting":
		return fmt.Sprintf("%s (still trying); %s", s.Problem, s.Remedy)
	case s.State == "found":
		return fmt.Sprintf("%d guests found", s.Guests)
	case s.State == "finished":
		return fmt.Sprintf("%d guests started, %d refused", s.Guests, s.Refused)
	case s.Total == 0:
		return fmt.Sprintf("fetching %s, %d MiB", s.Guest, s.Done/mib)
	}
	// In steps of 1 KiB, so that it cannot overflow.
	percent := min(100, (s.Done>>10)*100/max(1, s.Total>>10))
	return fmt.Sprintf("fetching %s, %d of %d MiB (%d %%)", s.Guest, s.Done/mib, s.Total/mib, percent)
}

// remote says how storage on the network is.
func remote(r host.Remote) string {
	text := string(r.State)
	if where := r.Device + r.Mount; where != "" {
		text += " at " + where
	}
	if r.Problem != "" {
		text += ": " + r.Problem + "; " + r.Remedy
	}
	return text
}

// changes says what a guest's changes to its disks take of their memory.
func changes(c host.Changes) string {
	switch {
	case c.BudgetKiB == 0:
		return ""
	case c.Full:
		return fmt.Sprintf(", disks full: %s changed", mibs(c.BudgetKiB))
	}
	return fmt.Sprintf(", %d of %s of disk changed", c.UsedKiB>>10, mibs(c.BudgetKiB))
}

// guest says how a guest is.
func guest(g *host.Guest) string {
	switch {
	case g.IsFound():
		return "not started"
	case g.Paused:
		return "paused"
	case g.Shutdown == host.Suspend:
		return "suspended"
	case g.Phase == host.Running && !g.Address().IsValid():
		return "running  (no address yet)"
	case g.Phase == host.Running:
		return "running  " + g.Address().String()
	case g.Problem != "" && g.Phase != host.Stopped:
		return fmt.Sprintf("%s: %s", g.Phase, g.Problem)
	}
	return string(g.Phase)
}
