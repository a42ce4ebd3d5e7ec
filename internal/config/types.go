package config

// Config is a whole configuration. A zero field is not given: the value of another source holds, or the default.
type Config struct {
	Hostname     string           `yaml:"hostname" format:"hostname"`
	Timezone     string           `yaml:"timezone" format:"timezone"`
	Keyboard     string           `yaml:"keyboard" format:"keyboard"`
	PasswordHash string           `yaml:"password-hash" format:"hash" secret:"yes"`
	Autostart    *bool            `yaml:"autostart"`
	NTP          NTP              `yaml:"ntp"`
	DNS          DNS              `yaml:"dns"`
	Network      Network          `yaml:"network"`
	SSH          SSH              `yaml:"ssh"`
	Services     Services         `yaml:"services"`
	Stores       Stores           `yaml:"stores"`
	Guests       map[string]Guest `yaml:"guests" key:"guest"`
	Logs         Logs             `yaml:"logs"`
	Memory       Memory           `yaml:"memory"`
	Watchdog     Watchdog         `yaml:"watchdog"`
}

// NTP is how the clock is set.
type NTP struct {
	Enabled *bool    `yaml:"enabled"`
	Servers []string `yaml:"servers" format:"time-server"`
}

// DNS is how names are resolved.
type DNS struct {
	Servers []string `yaml:"servers" format:"address"`
	Search  []string `yaml:"search" format:"domain"`
}

// SSH is remote access.
type SSH struct {
	Enabled      *bool    `yaml:"enabled"`
	Port         int      `yaml:"port" min:"1" max:"65535"`
	Guests       *bool    `yaml:"guests"`
	Keys         []string `yaml:"keys" format:"ssh-key"`
	PasswordHash string   `yaml:"password-hash" format:"hash" secret:"yes"`
	HostKeys     []string `yaml:"host-keys" format:"private-key" secret:"yes"`
}

// Services are what has no block of its own.
type Services struct {
	Board *bool `yaml:"board"`
}

// Stores are where guests come from, and what they may write to.
type Stores struct {
	Disks  string   `yaml:"disks" enum:"labelled,all,none"`
	URLs   []Store  `yaml:"urls"`
	Write  []string `yaml:"write" format:"device"`
	Budget Size     `yaml:"budget" min:"1M"`
	State  string   `yaml:"state" format:"state"`
	ToRAM  string   `yaml:"toram" format:"toram"`
	ISCSI  ISCSI    `yaml:"iscsi"`
}

// Store is a directory of guests on a server.
type Store struct {
	URL    string `yaml:"url" format:"store-url" required:"yes"`
	SHA256 string `yaml:"sha256" format:"sha256"`
}

// ISCSI are disks on iSCSI targets.
type ISCSI struct {
	Targets   []string `yaml:"targets" format:"iscsi-target" secret:"yes"`
	Initiator string   `yaml:"initiator" format:"iscsi-name"`
}

// Logs is where log lines go besides the consoles.
type Logs struct {
	Targets     []string `yaml:"targets" format:"log-url"`
	Authorities []string `yaml:"authorities" format:"authority"`
}

// Memory has limits of memory.
type Memory struct {
	Guests Size `yaml:"guests"`
	Free   Size `yaml:"free"`
}

// Watchdog is the restart of a machine that hangs.
type Watchdog struct {
	Enabled *bool    `yaml:"enabled"`
	Timeout Duration `yaml:"timeout" min:"20s" max:"10m"`
}
