package api

// Host is the machine.
type Host struct {
	Version     string       `json:"version"`
	Hostname    string       `json:"hostname"`
	Xen         string       `json:"xen,omitempty"`
	CPUs        int          `json:"cpus,omitempty"`
	Memory      int64        `json:"memory,omitempty"` // bytes
	GuestType   string       `json:"guest_type,omitempty"`
	Network     Network      `json:"network"`
	Medium      Medium       `json:"medium"`
	StateVolume *StateVolume `json:"state_volume,omitempty"`
	Daemons     []Daemon     `json:"daemons"`
	Stores      []Store      `json:"stores"`
	Problems    []string     `json:"problems"`
	Ready       bool         `json:"ready"`
	Ending      string       `json:"ending,omitempty"`
}

// Network is dom0's own address.
type Network struct {
	Status    string `json:"status"` // "lease", "no lease", "lost", "no NIC", "waiting"
	Interface string `json:"interface,omitempty"`
	NIC       string `json:"nic,omitempty"`
	Address   string `json:"address,omitempty"` // with the length of its prefix
	Gateway   string `json:"gateway,omitempty"`
	Problem   string `json:"problem,omitempty"`
}

// Medium is the boot medium.
type Medium struct {
	Device  string `json:"device,omitempty"`
	File    string `json:"file,omitempty"`
	Status  string `json:"status,omitempty"` // "copying", "removable", "gone"
	Problem string `json:"problem,omitempty"`
}

// StateVolume is the file system that outlasts the machine's end.
type StateVolume struct {
	Device   string `json:"device,omitempty"`
	File     string `json:"file,omitempty"`
	Mount    string `json:"mount,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Free     int64  `json:"free,omitempty"` // bytes
	ReadOnly bool   `json:"read_only"`
	Problem  string `json:"problem,omitempty"`
	Remedy   string `json:"remedy,omitempty"`
}

// Daemon is a daemon of the host's.
type Daemon struct {
	Name     string `json:"name"`
	Status   string `json:"status"`
	PID      int    `json:"pid,omitempty"`
	Restarts int    `json:"restarts"`
	Problem  string `json:"problem,omitempty"`
}

// Store is a place that guests come from: a server, a disk or a partition.
type Store struct {
	Source  string   `json:"source"` // URL or device
	Status  string   `json:"status"`
	Guests  []string `json:"guests"`
	Problem string   `json:"problem,omitempty"`
	Remedy  string   `json:"remedy,omitempty"`
}

// HostState is what the machine uses.
type HostState struct {
	Uptime       float64       `json:"uptime_seconds"`
	Load         float64       `json:"load"` // of dom0, over the last minute
	Dom0Memory   Dom0Memory    `json:"dom0_memory"`
	Reservations []Reservation `json:"reservations"`
	Guests       int           `json:"guests_running"`
}

// Dom0Memory is dom0's own memory, bytes.
type Dom0Memory struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
	SwapTotal int64 `json:"swap_total"`
	SwapFree  int64 `json:"swap_free"`
}

// Reservation is the memory that one owner has reserved.
type Reservation struct {
	Owner string `json:"owner"`
	Xen   int64  `json:"xen"`  // bytes of what Xen gives to domains
	Dom0  int64  `json:"dom0"` // bytes of dom0's own
}
