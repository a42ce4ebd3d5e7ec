package api

import (
	"encoding/json"
	"time"
)

// Version is the first part of every path.
const Version = "/1.0"

// Envelope is around every answer but websockets and text, as in Incus' API.
type Envelope struct {
	Type       string `json:"type"` // TypeSync, TypeAsync or TypeError
	Status     string `json:"status,omitempty"`
	StatusCode int    `json:"status_code,omitempty"` // 200, or 100 of an operation that has begun
	Operation  string `json:"operation,omitempty"`   // path of the operation
	ErrorCode  int    `json:"error_code,omitempty"`  // as HTTP's
	Error      string `json:"error,omitempty"`
	// Metadata is what was asked for. Who reads an answer sets it to a pointer before.
	Metadata any `json:"metadata,omitempty"`
}

// Types of envelopes.
const (
	TypeSync  = "sync"
	TypeAsync = "async"
	TypeError = "error"
)

// Server is what /1.0 says.
type Server struct {
	APIVersion    string   `json:"api_version"`
	APIStatus     string   `json:"api_status"`
	APIExtensions []string `json:"api_extensions"`
	Environment   struct {
		Server        string `json:"server"`
		ServerVersion string `json:"server_version"`
		Xen           string `json:"xen,omitempty"` // version
	} `json:"environment"`
}

// Guest is a guest.
type Guest struct {
	Name     string      `json:"name"`
	UUID     string      `json:"uuid,omitempty"`
	Status   string      `json:"status"`           // a phase of host.Phase, or "paused" or "suspended"
	Type     string      `json:"type,omitempty"`   // "pv", "pvh", "hvm"
	Order    string      `json:"order,omitempty"`  // that is being carried out: "stop"
	Config   string      `json:"config,omitempty"` // file or URL
	Managed  bool        `json:"managed"`          // restarts and ends as its configuration says
	Domid    int         `json:"domid,omitempty"`
	Address  string      `json:"address,omitempty"`
	MACs     []string    `json:"macs"`
	Memory   int64       `json:"memory"` // bytes
	VCPUs    int         `json:"vcpus,omitempty"`
	CPU      *float64    `json:"cpu_percent,omitempty"` // of one CPU, between the last two looks
	Disks    []Disk      `json:"disks"`
	Changes  *Changes    `json:"changes,omitempty"`
	Since    string      `json:"since,omitempty"` // when it came into its phase, by the clock of then: RFC 3339
	Seconds  int64       `json:"status_seconds"`  // that it has been in its phase, whatever the clock did
	Restarts int         `json:"restarts"`
	Problem  string      `json:"problem,omitempty"`
	State    *GuestState `json:"state,omitempty"` // with recursion=2
}

// Disk is a disk of a guest's that dom0 serves.
type Disk struct {
	Vdev        string `json:"vdev"`
	Target      string `json:"target"`
	Format      string `json:"format,omitempty"`
	Writable    bool   `json:"writable"`
	CopyOnWrite bool   `json:"copy_on_write"` // what the guest writes is kept in dom0's memory
	Problem     string `json:"problem,omitempty"`
	ByXL        bool   `json:"by_xl,omitempty"`    // xl was given it by hand, and it ends with the domain
	Detached    bool   `json:"detached,omitempty"` // xl has taken it away; the guest's next domain has it again
}

// Changes is dom0's memory for what a guest has written to disks with copy-on-write.
type Changes struct {
	Budget int64 `json:"budget"` // bytes
	Used   int64 `json:"used"`   // bytes
	Full   bool  `json:"full"`
}

// NIC is a network interface of a guest's.
type NIC struct {
	MAC string `json:"mac"`
}

// GuestState is what a guest uses.
type GuestState struct {
	Status  string             `json:"status"`
	Domid   int                `json:"domid,omitempty"`
	CPU     CPUState           `json:"cpu"`
	Memory  MemoryState        `json:"memory"`
	Network map[string]Traffic `json:"network"` // by the vif's number
	Disk    map[string]Traffic `json:"disk"`    // by vdev
	Rules   *RulesState        `json:"rules,omitempty"`
}

// RulesState is what a guest has sent and received through all its network interfaces, and what the host's rules have
// dropped of it, since the host knows the guest.
type RulesState struct {
	Received PacketCount            `json:"received"`
	Sent     PacketCount            `json:"sent"`    // what was dropped of it, too
	Dropped  map[string]PacketCount `json:"dropped"` // by reason, those that are not 0
}

// PacketCount counts packets.
type PacketCount struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // without Ethernet's header
}

// CPUState is what a guest has used of the processors.
type CPUState struct {
	Seconds float64  `json:"seconds"`
	Percent *float64 `json:"percent,omitempty"` // of one CPU, between the last two looks
}

// MemoryState is a guest's memory.
type MemoryState struct {
	Usage int64 `json:"usage"` // bytes
}

// Traffic counts bytes as the guest sees them.
type Traffic struct {
	In  int64 `json:"bytes_in"`  // received, or read
	Out int64 `json:"bytes_out"` // sent, or written
}

// StatePut orders a guest's life.
type StatePut struct {
	Action  string `json:"action"`            // start, stop, restart, pause, resume, destroy
	Timeout *int   `json:"timeout,omitempty"` // seconds that the guest has to shut down
	Force   bool   `json:"force,omitempty"`   // destroy it when they are over
}

// GuestPatch changes a guest's size. What is left out stays.
type GuestPatch struct {
	Memory *int64 `json:"memory,omitempty"` // bytes
	VCPUs  *int   `json:"vcpus,omitempty"`
}

// GuestPost gives a guest another name.
type GuestPost struct {
	Name string `json:"name"`
}

// DevicePost attaches a disk, specified as in disk=[...] of xl.cfg(5), or a NIC, as in vif=[...].
type DevicePost struct {
	Spec string `json:"spec"`
}

// SavePost keeps a guest, or one of its disks.
type SavePost struct {
	Replace bool   `json:"replace,omitempty"` // what was saved before
	Disk    string `json:"disk,omitempty"`    // vdev of the one disk to save ...
	File    string `json:"file,omitempty"`    // ... and the absolute path to save it at
}

// ConsolePost opens a guest's console.
type ConsolePost struct {
	Type     string `json:"type,omitempty"` // "console", which is the only one
	Width    int    `json:"width,omitempty"`
	Height   int    `json:"height,omitempty"`
	From     *int64 `json:"from,omitempty"`      // offset in all that it has said; else from now on
	ReadOnly bool   `json:"read_only,omitempty"` // what is typed is dropped
}

// Names of a console's websockets.
const (
	ConsoleData    = "0"
	ConsoleControl = "control"
)

// ConsoleCommand is a message on a console's websocket "control".
type ConsoleCommand struct {
	Command string            `json:"command"` // "window-resize", "signal"
	Args    map[string]string `json:"args,omitempty"`
	Signal  int               `json:"signal,omitempty"`
}

// OffsetHeader is the header of a console's kept text that has the offset of its first byte in all that the guest has
// said.
const OffsetHeader = "X-Zerodisc-Offset"

// Operation is something that takes time.
type Operation struct {
	ID          string              `json:"id"`
	Class       string              `json:"class"` // "task" or "websocket"
	Description string              `json:"description"`
	Created     time.Time           `json:"created_at"`
	Updated     time.Time           `json:"updated_at"`
	Status      string              `json:"status"`
	StatusCode  int                 `json:"status_code"` // one of the codes below
	Resources   map[string][]string `json:"resources"`
	Metadata    OperationMetadata   `json:"metadata"`
	MayCancel   bool                `json:"may_cancel"`
	Error       string              `json:"err"`
	ErrorCode   int                 `json:"err_code,omitempty"` // as HTTP's
}

// Ended says whether the operation has ended.
func (o *Operation) Ended() bool { return o.StatusCode >= OperationSuccess }

// OperationMetadata is what there is to say of an operation.
type OperationMetadata struct {
	FDs      map[string]string `json:"fds,omitempty"` // of a console: secrets of its websockets
	Progress *Progress         `json:"progress,omitempty"`
	Notes    []string          `json:"notes,omitempty"` // what was done, for people
	Vdev     string            `json:"vdev,omitempty"`  // of the disk that was attached
	MAC      string            `json:"mac,omitempty"`   // of the NIC that was attached
}

// Progress is how far an operation is.
type Progress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done,omitempty"`  // bytes, or chunks
	Total int64  `json:"total,omitempty"` // 0: unknown
}

// Codes of operations, as Incus'.
const (
	OperationRunning    = 103
	OperationCancelling = 104
	OperationSuccess    = 200
	OperationFailure    = 400
	OperationCancelled  = 401
)

// Event is one message of /1.0/events.
type Event struct {
	Type      string          `json:"type"` // EventLifecycle, EventLogging or EventOperation
	Timestamp time.Time       `json:"timestamp"`
	Metadata  json.RawMessage `json:"metadata"` // Lifecycle, LogLine or Operation
}

// Types of events.
const (
	EventLifecycle = "lifecycle"
	EventLogging   = "logging"
	EventOperation = "operation"
)

// Lifecycle is something that has happened to a guest or to the host.
type Lifecycle struct {
	Action  string `json:"action"`         // "guest-started", ...; "events-lost" where the reader was too slow
	Source  string `json:"source"`         // path of what it has happened to
	Name    string `json:"name,omitempty"` // of the guest
	Context any    `json:"context,omitempty"`
}

// LogLine is a line of the host's log.
type LogLine struct {
	Time    string            `json:"time,omitempty"` // RFC 3339
	Source  string            `json:"source"`         // "init", "kernel", "xen", or a service
	Level   string            `json:"level"`          // "debug", "info", "warn", "error"
	Message string            `json:"message"`
	Context map[string]string `json:"context,omitempty"`
}
