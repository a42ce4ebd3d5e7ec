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

	// Network is something that happened to one of the interfaces that dom0 may have addresses on, and how the
	// interface stands after it.
	Network struct {
		Kind      NetworkKind
		Interface string        `json:",omitempty"`
		NIC       string        `json:",omitempty"` // in use; "" where there is none
		Primary   bool          `json:",omitempty"` // the first one that is wanted
		Address   netip.Prefix  `json:",omitzero"`  // that the event is about
		By        string        `json:",omitempty"` // where it comes from: DHCP, DHCPv6, RA, static
		Gateway   netip.Addr    `json:",omitzero"`  // of the address's family
		Tried     time.Duration `json:",omitempty"`
		Problem   string        `json:",omitempty"`

		Carrier   bool             `json:",omitempty"` // of the NIC
		Addresses []NetworkAddress `json:",omitempty"` // all that are in force, IPv4 first
		Gateways  []netip.Addr     `json:",omitempty"`
		DNS       []netip.Addr     `json:",omitempty"` // that this interface's sources gave, best first
		Search    []string         `json:",omitempty"`
	}

	// NetworkAddress is an address of dom0's.
	NetworkAddress struct {
		Prefix  netip.Prefix
		By      string    // DHCP, DHCPv6, RA, static, or link for a link-local one
		Expires time.Time `json:",omitzero"`
	}

	// Daemon is a change of a service: one of Xen's daemons, or a function of init's.
	Daemon struct {
		Name     string
		Phase    string    // as package supervise calls it
		PID      int       `json:",omitempty"` // 0 while it does not run, and of a function
		Restarts int       `json:",omitempty"`
		Since    time.Time `json:",omitzero"` // when it came into its phase
		Problem  string    `json:",omitempty"`
		Failed   bool      `json:",omitempty"` // it is not started again
		Quiet    bool      `json:",omitempty"` // not worth a line
	}

	// DaemonGone is a service that is no longer wanted: it is not listed any more.
	DaemonGone struct{ Name string }

	// Clock is what became of the clock.
	Clock struct {
		State   string        `json:",omitempty"` // as package timesync calls it; "" before there is any
		Synced  bool          `json:",omitempty"` // a time server's time was taken, once or more
		Server  string        `json:",omitempty"`
		Offset  time.Duration `json:",omitempty"` // how much it was off
		Moved   time.Duration `json:",omitempty"` // by how much it was set just now; times in the state move along
		At      time.Time     `json:",omitzero"`  // what it showed then
		Problem string        `json:",omitempty"`
	}

	// LogServer is a server that gets the log.
	LogServer struct {
		URL       string
		Connected bool   `json:",omitempty"`
		Lost      uint64 `json:",omitempty"` // lines that it missed, in all
		Problem   string `json:",omitempty"`
	}

	// WatchdogTimer is what resets the machine when nothing on it runs any more.
	WatchdogTimer struct {
		Device  string        `json:",omitempty"` // "watchdog0"; "" without one
		Name    string        `json:",omitempty"` // of the hardware, or "xen_wdt"
		Timeout time.Duration `json:",omitempty"`
		Problem string        `json:",omitempty"`
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
		Mount  string // where it was mounted, "" if nowhere
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

	// SSH is whether and how root can log in to dom0 over the network. Address is set in an event only: dom0's own.
	SSH struct {
		Off          bool       `json:",omitempty"`
		Address      netip.Addr `json:",omitzero"`
		Port         int        `json:",omitempty"`
		Fingerprints []string   `json:",omitempty"` // of the host keys: "SHA256:..."
		Methods      []string   `json:",omitempty"` // "key", "password", "one-time password"
		Problem      string     `json:",omitempty"` // why it does not listen
	}

	// SSHLogin says that somebody has logged in. Method is one of those of SSH, a key with fingerprint and comment.
	SSHLogin struct {
		From, Method string
		Others       int // logins that were left out, since the last
	}

	// SSHRefused is an address from which somebody types wrong passwords, or opens too many connections.
	SSHRefused struct {
		From                   string
		Passwords, Connections int // so many so far; one of them is 0
		Others                 int // of these facts, that were left out since the last
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

	// OutOfMemory is a process that dom0's kernel has killed, because dom0 had no memory left.
	OutOfMemory struct {
		PID  int
		Name string
	}

	// FileSystem is a file system in dom0's memory that is full, or has room again.
	FileSystem struct {
		Dir  string
		Full bool
		KiB  int64 // its size
	}

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

// ClockMoved is the state of a clock that somebody else has set than package timesync.
const ClockMoved = "moved"

// Flooded is what a guest floods.
type Flooded string

// What a guest can flood.
const (
	FloodConsole  Flooded = "console"  // it talks without end
	FloodXenstore Flooded = "xenstore" // it writes too much or too often
	FloodAddress  Flooded = "address"  // it says it has another address all the time
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

// NetworkKind is what happened to dom0's addresses.
type NetworkKind string

// The kinds of network facts.
const (
	Lease   NetworkKind = "lease"
	NoLease NetworkKind = "no lease"
	Lost    NetworkKind = "lost"
	NoNIC   NetworkKind = "no NIC"

	AddressSet      NetworkKind = "address"        // a static or IPv6 one
	AddressGone     NetworkKind = "address gone"   // one of those
	AddressConflict NetworkKind = "conflict"       // another host has it, too
	DHCPServers     NetworkKind = "DHCP servers"   // there are several
	LinkDown        NetworkKind = "link down"      //
	LinkUp          NetworkKind = "link up"        // after LinkDown
	NoAddress       NetworkKind = "no address"     // for 20 s
	Reachable       NetworkKind = "reachable"      // after NoAddress
	NetworkProblem  NetworkKind = "problem"        // something could not be set up
	NetworkStatus   NetworkKind = "status"         // nothing that is worth a line
	InterfaceGone   NetworkKind = "interface gone" // it is not wanted any more
)

// Facts about guests, which the guest controller tells. Guests are named by their UUID.
type (
	// Found is a guest that is known and was not started.
	Found struct {
		Name, Origin string
		Source       guests.Source
	}

	// Planned is a guest that was admitted.
	Planned struct {
		Spec   *guests.Resolved
		Source guests.Source
	}

	// Resumed is a guest as an earlier state had it.
	Resumed struct{ Guest Guest }

	// GuestRefused is a guest that is not started. Spec is nil where there is none that could be used.
	GuestRefused struct {
		Name, Origin string
		Source       guests.Source // zero where it cannot be read anew
		UUID         string
		Err          error
	}

	// Ordered is an order that somebody is carrying out on a guest, "" when that has ended. A guest without a UUID is
	// named by its domain.
	Ordered struct {
		UUID  string
		Domid int
		Order string
	}

	// Wanted is what somebody wants to become of a guest.
	Wanted struct {
		UUID string
		Want Want
	}

	// GuestChanged is a guest that has other settings than it was planned with, and will be made with them.
	GuestChanged struct{ Spec *guests.Resolved }

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
	// ByXL says that xl was given it by hand: it is in no configuration that the host knows, and ends with the domain.
	ByXL bool `json:",omitempty"`
	// Detached says that xl was told by hand to take it away. The guest's next domain has it again.
	Detached bool `json:",omitempty"`
}

// Changes is dom0's memory for what a guest writes to disks with copy-on-write.
type Changes struct {
	BudgetKiB int64 `json:",omitempty"` // 0: the guest has no such disk
	UsedKiB   int64 `json:",omitempty"`
	Full      bool  `json:",omitempty"` // its disks refuse writes
}

// Domain is what the hypervisor says of a domain.
type Domain struct {
	Domid      int
	UUID       string
	Name       string // "" once libxl has forgotten a domain that Xen still takes down
	MemoryKiB  int64
	VCPUs      int     // that are in use
	CPUSeconds float64 // of processor time that it has had
	Paused     bool
	Dying      bool
	Shutdown   Reason // "" of one that has not shut down
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

	// Served has the disks that dom0 serves to a domain, whoever asked for them: of each Vdev, Target, Node, Format and
	// Writable.
	Served struct {
		Domid int
		Disks []Disk
	}

	// GuestFlood is a domain that floods a part of the host. Problem is how.
	GuestFlood struct {
		Domid   int
		What    Flooded
		Problem string
	}

	// GuestRefusedTraffic is what the host's rules have dropped of what a guest sent. It is the event, too. What says
	// what the guest does, Packets how many were dropped so far.
	GuestRefusedTraffic struct {
		UUID    string
		Name    string
		Reason  string // the counter's name: "dhcp"
		What    string
		Packets uint64
		Remedy  string
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
