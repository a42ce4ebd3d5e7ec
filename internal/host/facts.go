package host

import (
	"net/netip"
	"time"

	"github.com/zerodisc/zerodisc/guests"
)

// Fact is something that was observed or done. The facts of this package are all there are.
type Fact interface {
	apply(*model)
}

// Facts about the machine. Each is also the Event that says so, and what a Snapshot keeps of it.
type (
	// Machine is what the machine is.
	Machine struct {
		Xen       string `json:",omitempty"` // version
		CPUs      int    `json:",omitempty"`
		TotalKiB  int64  `json:",omitempty"`
		GuestType string `json:",omitempty"` // of guests that do not say it themselves
	}

	// Stage is the end of a stage of the boot.
	Stage struct {
		Name    string
		Took    time.Duration
		Problem string `json:",omitempty"` // "" when it went well
		Remedy  string `json:",omitempty"`
	}

	// Medium is the boot medium.
	Medium struct {
		Device  string      `json:",omitempty"`
		File    string      `json:",omitempty"` // where the medium is an ISO file: its path on Device ...
		HostDir string      `json:",omitempty"` // ... and where the file system is mounted that has it
		Mount   string      `json:",omitempty"`
		State   MediumState `json:",omitempty"`
		// Of MediumCopying, bytes.
		Done  int64 `json:",omitempty"`
		Total int64 `json:",omitempty"`
		// Guests are those that are hit, of MediumGone, or that use other partitions of its disk, of MediumInRAM.
		Guests  []string      `json:",omitempty"`
		Took    time.Duration `json:",omitempty"`
		Problem string        `json:",omitempty"` // why it was not copied, or is not free
	}

	// Network is how far dom0's own address is.
	Network struct {
		Kind      NetworkKind
		Interface string        `json:",omitempty"`
		NIC       string        `json:",omitempty"`
		Address   netip.Prefix  `json:",omitzero"`
		Gateway   netip.Addr    `json:",omitzero"`
		Tried     time.Duration `json:",omitempty"`
		Problem   string        `json:",omitempty"`
	}

	// Daemon is a change of one of Xen's daemons.
	Daemon struct {
		Name     string
		Phase    string
		PID      int    `json:",omitempty"`
		Restarts int    `json:",omitempty"`
		Problem  string `json:",omitempty"`
		Failed   bool   `json:",omitempty"` // it is not started again
	}

	// Store is how far a guest store on a web server is. The fields that a state has are those of
	// webstore.Event.
	Store struct {
		URL     string
		State   string
		Quiet   bool          `json:",omitempty"` // not worth a line
		Guest   string        `json:",omitempty"`
		Done    int64         `json:",omitempty"` // bytes
		Total   int64         `json:",omitempty"` // bytes; 0: unknown
		Guests  int           `json:",omitempty"`
		Refused int           `json:",omitempty"`
		Took    time.Duration `json:",omitempty"`
		Problem string        `json:",omitempty"`
		Remedy  string        `json:",omitempty"`
	}

	// Volume is a disk or partition, and what was found on it. Texts may be empty.
	Volume struct {
		Device  string
		Type    string   `json:",omitempty"` // as blkid calls it: "ext4"
		Label   string   `json:",omitempty"`
		UUID    string   `json:",omitempty"`
		Mount   string   `json:",omitempty"` // where it is mounted, for reading only
		Trusted bool     `json:",omitempty"` // its label says that its guests may start by themselves
		Guests  []string `json:",omitempty"` // their names
		Problem string   `json:",omitempty"`
	}

	// VolumeGone is a disk or partition that was taken away, with the guests that used it.
	VolumeGone struct {
		Device string
		Guests []string
	}

	// VolumeProblem is what is wrong with a volume group or an array.
	VolumeProblem struct{ Text string }
	// StateVolume is the file system that outlasts the machine's end, or what is wrong with it.
	StateVolume struct {
		Device   string   `json:",omitempty"`
		File     string   `json:",omitempty"` // where it is a file in the file system on Device
		UUID     string   `json:",omitempty"`
		Mount    string   `json:",omitempty"` // "" while it is not mounted
		Bytes    int64    `json:",omitempty"`
		Free     int64    `json:",omitempty"` // bytes
		ReadOnly bool     `json:",omitempty"`
		Guests   []string `json:",omitempty"` // that lost their disks, when it was taken away
		Problem  string   `json:",omitempty"`
		Remedy   string   `json:",omitempty"`
	}

	// Remote is storage on the network that the kernel command line names: an export of an NFS server, or a disk of an
	// iSCSI target. Texts may be empty.
	Remote struct {
		URL     string // without credentials
		State   RemoteState
		Version string   `json:",omitempty"` // of NFS
		Device  string   `json:",omitempty"` // of iSCSI: the disk
		Mount   string   `json:",omitempty"` // of NFS
		Guests  []string `json:",omitempty"` // their names: that are there, or, when it is lost, that use it
		Problem string   `json:",omitempty"`
		Remedy  string   `json:",omitempty"`
	}

	// Memory is what one owner has reserved.
	Memory struct {
		Owner   string
		XenKiB  int64 `json:",omitempty"` // of what Xen gives to domains
		Dom0KiB int64 `json:",omitempty"` // of dom0's own
	}

	// ResumedHost is the machine as an earlier state had it.
	ResumedHost struct{ Host Host }

	// Reserved replaces what is known of reservations.
	Reserved []Memory

	// Problem is what went wrong with the machine and what to do about it.
	Problem struct{ Text string }

	// Configured is the whole configuration, in the order in which it is documented.
	Configured []Setting
	// Setting is one value of it. A secret's value is not shown.
	Setting struct{ Key, Value, Source string }

	// Ready says that every guest of the medium and the initrd that could be started runs.
	Ready struct {
		Guests int // NoGuests, or the state fills in how many run
		Took   time.Duration
	}

	// Ending says that somebody has asked for the end of the machine.
	Ending struct{ Action string }
)

// MediumState is what became of the boot medium.
type MediumState string

// The states of the boot medium. Without one it is mounted and in use.
const (
	MediumCopying MediumState = "copying"
	MediumInRAM   MediumState = "removable" // a copy in memory has taken its place
	MediumGone    MediumState = "gone"      // it was pulled before that
)

// NoGuests is for a machine that is no host of guests.
const NoGuests = -1

// RemoteState is how the connection to storage on the network is.
type RemoteState string

// The states of storage on the network.
const (
	RemoteWaiting   RemoteState = "waiting" // it could not be reached yet
	RemoteConnected RemoteState = "connected"
	RemoteLost      RemoteState = "lost" // it was connected
)

// NetworkKind is what happened to dom0's address.
type NetworkKind string

// The kinds of network facts.
const (
	Lease   NetworkKind = "lease"
	NoLease NetworkKind = "no lease"
	Lost    NetworkKind = "lost"
	NoNIC   NetworkKind = "no NIC"
)

// Facts about guests, which the guest controller tells. Guests are named by their UUID.
type (
	// Planned is a guest that was admitted.
	Planned struct{ Spec *guests.Resolved }

	// Resumed is a guest as an earlier state had it.
	Resumed struct{ Guest Guest }

	// GuestRefused is a guest that is not started. Spec is nil where there is none that could be used.
	GuestRefused struct {
		Name, Origin string
		UUID         string
		Err          error
	}

	// GuestPhase is another phase of a guest's life.
	GuestPhase struct {
		UUID    string
		Phase   Phase
		Problem string
	}

	// Created is a guest whose domain runs.
	Created struct {
		UUID  string
		Domid int
		Took  time.Duration
	}

	// GuestDisks is what the guest's disks are, and what its changes to them take of dom0's memory.
	GuestDisks struct {
		UUID    string
		Disks   []Disk
		Changes Changes
	}

	// Listed is Xen's own list of domains, without dom0. Asked is the number of the snapshot from before it
	// was asked for: a domain that came later may be missing without being gone.
	Listed struct {
		Asked   uint64
		Domains []Domain
	}

	// Unmanaged is a guest that the controller has left.
	Unmanaged struct{ UUID string }

	// Ended is a domain that was ended with the machine. Err says why it had to be forced, or could not be ended.
	Ended struct {
		Domid  int
		Name   string
		Forced bool
		Err    error
	}
)

// Disk is a disk of a guest's that dom0 serves.
type Disk struct {
	Vdev     string
	Target   string
	Node     string `json:",omitempty"` // where Target led to when the guest was started, if it is a block device
	Format   string // "raw", "qcow2", ...
	Writable bool   `json:",omitempty"`
	// CopyOnWrite says that what the guest writes is kept in dom0's memory.
	CopyOnWrite bool `json:",omitempty"`
	// Device is the block device that was made for it, "" where the target itself is given to the guest.
	Device string `json:",omitempty"`
	// Problem is what cannot be read of it, as it is damaged.
	Problem string `json:",omitempty"`
}

// Changes is dom0's memory for what a guest writes to disks with copy-on-write.
type Changes struct {
	BudgetKiB int64 `json:",omitempty"` // 0: the guest has no such disk
	UsedKiB   int64 `json:",omitempty"`
	Full      bool  `json:",omitempty"` // its disks refuse writes
}

// Domain is what the hypervisor says of a domain.
type Domain struct {
	Domid     int
	UUID      string
	Name      string // "" once libxl has forgotten a domain that Xen still takes down
	MemoryKiB int64
	Paused    bool
	Dying     bool
	Shutdown  Reason // "" of one that has not shut down
}

// Facts about domains, which the observer of xenstore tells.
type (
	// Came is a domain that has appeared.
	Came struct {
		Domid      int
		UUID, Name string
	}

	// Named is a domain's other name.
	Named struct {
		Domid int
		Name  string
	}

	// Gone is a domain that is no longer there.
	Gone struct{ Domid int }

	// Plugged has the MACs of a domain's network interfaces.
	Plugged struct {
		Domid int
		MACs  []string // canonical: lower case, colons
	}

	// Said is the address that a domain says it has, invalid when it takes it back.
	Said struct {
		Domid   int
		Address netip.Addr
	}

	// Heard is an address that was heard on the bridge, from a domain's own network interface.
	Heard struct {
		Domid   int
		MAC     string // canonical
		Address netip.Addr
	}
)
