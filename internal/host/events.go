package host

import (
	"net/netip"
	"time"
)

// Event is something worth a line, told once: one of the facts Stage, Medium, Network, Daemon, Store, Volume,
// VolumeGone, VolumeProblem, StateVolume, Remote, Clock, LogServer, WatchdogTimer, SSH, SSHLogin, SSHRefused,
// OutOfMemory, FileSystem, GuestRefusedTraffic, Ready and Ending, or one of the types below.
type Event any

type (
	// GuestRan says that a guest's domain runs.
	GuestRan struct {
		Name  string
		Domid int
		Took  time.Duration // 0 where xl was asked by hand
		Type  string        // "" where xl was asked by hand
	}

	// GuestAddressed says where a guest can be reached.
	GuestAddressed struct {
		Name    string
		Domid   int
		Address netip.Addr
	}

	// GuestNotStarted says why a guest is not started.
	GuestNotStarted struct{ Name, Origin, Problem string }

	// GuestWaits says what a guest waits for. It is started when that comes.
	GuestWaits struct{ Name, Origin, Problem string }

	// GuestDisk says that a block device was made for a guest's disk.
	GuestDisk struct {
		Name string
		Disk
		BudgetKiB int64 // of all changes to the guest's disks, 0 where it may not write to this one
	}

	// GuestDisksFull says that a guest's disks refuse writes, because their changes have used up their memory.
	GuestDisksFull struct {
		Name    string
		Changes Changes
	}

	// GuestEnded says that a guest's domain is gone.
	GuestEnded struct {
		Name     string
		Domid    int
		Restarts bool  // the guest is made anew
		Forced   *bool // at the end of the machine: it had to be destroyed
		Problem  string
	}

	// GuestFloods says that a guest floods a part of the host, and how.
	GuestFloods struct {
		Name    string
		Domid   int
		What    Flooded
		Problem string
	}

	// GuestRestarts says why a guest is made anew.
	GuestRestarts struct{ Name, Problem string }
)
