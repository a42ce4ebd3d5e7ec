// Package host owns what dom0 knows of itself and of its guests. State is the one owner: whoever observes or
// does something tells it a typed Fact, and whoever shows something reads a Snapshot or subscribes to what
// changes. Nothing else keeps a list of guests, and nothing gets a fact by reading text.
//
// Text from outside (names, errors, addresses of servers) is made printable here, where it enters, so that
// a view may write it to a terminal as it is.
package host

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/guests"
)

// Phase is where a guest is in its life.
type Phase string

// The phases of a guest. Live ones hold the guest's name and its memory.
const (
	Refused    Phase = "refused"    // it was not started; Problem says why
	Waiting    Phase = "waiting"    // it is admitted and will be created; Problem says what it waits for
	Creating   Phase = "creating"   // xl builds its domain
	Running    Phase = "running"    // it runs, or somebody has paused it
	Restarting Phase = "restarting" // its domain has ended and is about to be made anew
	Stopping   Phase = "stopping"   // its domain has shut down and is being taken down
	Stopped    Phase = "stopped"    // it has ended
	Crashed    Phase = "crashed"    // its domain has crashed and is kept for whoever wants to look at it
	Failed     Phase = "failed"     // it was admitted and could not be created; Problem says why
)

// Live says whether a guest in this phase has its name and its memory.
func (p Phase) Live() bool {
	switch p {
	case Refused, Stopped, Failed:
		return false
	}
	return true
}

// Reason is why a domain has shut down (SHUTDOWN_* in xen/include/public/sched.h).
type Reason string

// The reasons for which a domain shuts down.
const (
	PowerOff  Reason = "poweroff"
	Reboot    Reason = "reboot"
	Suspend   Reason = "suspend"
	Crash     Reason = "crash"
	Watchdog  Reason = "watchdog"
	SoftReset Reason = "soft reset"
)

// Want is what somebody has ordered to become of a guest, which goes before what its on_* settings ask for.
type Want string

// What may be wanted of a guest. "" is what its settings ask for.
const (
	WantStop    Want = "stop"    // it is to shut down and not to come back
	WantRestart Want = "restart" // it is to be made anew
	WantDestroy Want = "destroy" // it is to go at once, and not to come back
)

// Guest is one guest as it stands. A guest keeps its identity, its UUID, over reboots and new names.
type Guest struct {
	Name   string
	UUID   string           `json:",omitempty"` // "" of one that was refused before it had one
	Origin string           `json:",omitempty"` // its configuration's file or URL; "" of one that xl was given by hand
	Source guests.Source    `json:",omitzero"`  // where it can be read anew; zero of one that xl was given by hand
	Spec   *guests.Resolved `json:"-"`          // nil of one that was not admitted: xl was given it by hand, say
	Type   string           `json:",omitempty"` // "pv", "pvh", "hvm"; "" while unknown
	Phase  Phase
	Wanted Want   `json:",omitempty"` // while it is managed
	Order  string `json:",omitempty"` // that is being done: "stop", "set memory"; "" for none
	// Managed says that the guest controller made it and does what its on_* settings ask for.
	Managed  bool   `json:",omitempty"`
	Paused   bool   `json:",omitempty"`
	Shutdown Reason `json:",omitempty"` // why its domain, which is still there, has shut down
	Domid    int    `json:",omitempty"` // 0: it has no domain
	// NeedKiB is what is reserved for it of Xen's memory, MemoryKiB what its domain has now.
	NeedKiB   int64 `json:",omitempty"`
	MemoryKiB int64 `json:",omitempty"`
	VCPUs     int   `json:",omitempty"` // that its domain uses now
	// CPUSeconds is how much processor time its domain has had, as of Host.Listed.
	CPUSeconds float64 `json:",omitempty"`

	MACs     []string   `json:",omitempty"` // of its network interfaces, from the backends' side
	Disks    []Disk     `json:",omitempty"` // that the host makes for it; AllDisks has those that xl was given, too
	Served   []Disk     `json:",omitempty"` // of its domain, from the backends' side, and those that xl has taken away
	Changes  Changes    `json:",omitzero"`
	Said     netip.Addr `json:",omitzero"` // the IPv4 address that it says it has
	Heard    netip.Addr `json:",omitzero"` // the one that was heard on the bridge
	Since    time.Time  `json:",omitzero"` // when it came into its phase
	Restarts int        `json:",omitempty"`
	Problem  string     `json:",omitempty"` // why it does not run, or why it was restarted last

	HeardAt time.Time `json:",omitzero"` // when Heard became what it is

	twinOf string // the UUID of a guest that has none of its own, because another one has it
	given  uint64 // number of the snapshot in which it got its domain
}

// Address is where the guest can be reached, invalid while that is unknown. Anyone can spoof ARP, so the
// guest's own report wins.
func (g *Guest) Address() netip.Addr {
	if g.Said.IsValid() {
		return g.Said
	}
	return g.Heard
}

// IsFound says whether a guest was only found, and never started.
func (g *Guest) IsFound() bool { return g.Phase == Stopped && g.UUID == "" && g.Source.Dir != "" }

// Host is the machine as it stands.
type Host struct {
	Version  string
	Machine  Machine
	Network  Network   // of the primary interface
	Networks []Network `json:",omitempty"` // of all interfaces, by name
	SSH      SSH       `json:",omitzero"`
	Medium   Medium
	Daemons  []Daemon      `json:",omitempty"` // by name
	Clock    Clock         `json:",omitzero"`
	Log      []LogServer   `json:",omitempty"` // by URL
	Watchdog WatchdogTimer `json:",omitzero"`
	Stores   []Store       `json:",omitempty"` // by URL
	Volumes  []Volume      `json:",omitempty"` // by device
	Remotes  []Remote      `json:",omitempty"` // by URL
	State    StateVolume   `json:",omitzero"`
	Stages   []Stage       `json:",omitempty"` // in the order in which they ended
	Memory   []Memory      `json:",omitempty"` // by owner
	Full     []FileSystem  `json:",omitempty"` // file systems in memory, by directory
	Problems []string      `json:",omitempty"`
	Settings []Setting     `json:",omitempty"` // all values of the configuration that are not the default
	Ready    bool          `json:",omitempty"`
	Ending   string        `json:",omitempty"` // "poweroff", "reboot", "halt"; "" while the machine goes on
	Listed   time.Time     `json:",omitzero"`  // when Xen was asked for its domains last
}

// Wrong is what went wrong with the machine, and last what is wrong with it now.
func (h *Host) Wrong() []string {
	texts := slices.Clone(h.Problems)
	for _, f := range h.Full {
		texts = append(texts,
			fmt.Sprintf("%s is full (%d MiB of dom0's memory): delete what is not needed", f.Dir, f.KiB>>10))
	}
	return texts
}

// First is the address at which everybody reaches the interface, an IPv4 address where it has one; invalid where there
// is none.
func (n Network) First() netip.Addr {
	var first netip.Addr
	for _, a := range n.Addresses {
		switch addr := a.Prefix.Addr(); {
		case addr.IsLinkLocalUnicast():
		case addr.Is4():
			return addr
		case !first.IsValid():
			first = addr
		}
	}
	if !first.IsValid() && n.Kind == Lease {
		return n.Address.Addr()
	}
	return first
}

// Snapshot is the whole state at one moment. It is never changed.
type Snapshot struct {
	Number uint64 // counts changes; that guests use processor time is none
	Host   Host
	Guests []Guest // by name
}

// Live returns the guest called name that has this name now, nil where there is none.
func (s *Snapshot) Live(name string) *Guest {
	for i := range s.Guests {
		if g := &s.Guests[i]; g.Name == name && g.Phase.Live() {
			return g
		}
	}
	return nil
}

// ByName returns the guest called name, the one that has this name now if there is one, nil where there is none.
func (s *Snapshot) ByName(name string) *Guest {
	if g := s.Live(name); g != nil {
		return g
	}
	for i := range s.Guests {
		if s.Guests[i].Name == name {
			return &s.Guests[i]
		}
	}
	return nil
}

// ByUUID returns the guest with that UUID, nil where there is none.
func (s *Snapshot) ByUUID(uuid string) *Guest {
	for i := range s.Guests {
		if s.Guests[i].UUID == uuid {
			return &s.Guests[i]
		}
	}
	return nil
}

// ByMAC returns the guest whose domain has a network interface with that MAC, canonical, nil where there is none.
func (s *Snapshot) ByMAC(mac string) *Guest {
	for i := range s.Guests {
		if g := &s.Guests[i]; g.Domid != 0 && slices.Contains(g.MACs, mac) {
			return g
		}
	}
	return nil
}

// Running counts the guests that run, without those that are suspended or have just shut down.
func (s *Snapshot) Running() int {
	running := 0
	for _, g := range s.Guests {
		if g.Phase == Running && g.Shutdown == "" {
			running++
		}
	}
	return running
}
