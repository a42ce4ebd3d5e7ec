package config

import "net/netip"

// Guest is what is different for one guest.
type Guest struct {
	Autostart *bool        `yaml:"autostart"`
	Order     *int         `yaml:"order" min:"-1000" max:"1000"`
	Delay     Duration     `yaml:"delay" max:"1h"`
	Memory    Size         `yaml:"memory" min:"4M"`
	VCPUs     int          `yaml:"vcpus" min:"1" max:"512"`
	Network   GuestNetwork `yaml:"network"`
	Restart   string       `yaml:"restart" enum:"never,on-failure,always"`
	Budget    Size         `yaml:"budget" min:"1M"`
}

// GuestNetwork is a guest's network: the bridge and the MAC address of its first network card, and what holds for each.
type GuestNetwork struct {
	Bridge    string       `yaml:"bridge" format:"interface"`
	VLAN      int          `yaml:"vlan" min:"1" max:"4094"`
	MAC       MAC          `yaml:"mac"`
	Address   netip.Addr   `yaml:"address"`
	Addresses []netip.Addr `yaml:"addresses"`
	Rate      Rate         `yaml:"rate" min:"100kbit/s"`
	Inbound   []Inbound    `yaml:"inbound" closed:"yes"`
	Isolated  *bool        `yaml:"isolated"`
	Host      *bool        `yaml:"host"`
	Trust     []string     `yaml:"trust" enum:"mac,control,vlan,arp,address,dhcp,ra,redirect,fragment"`
}

// Inbound is a kind of packet that may be sent to a guest.
type Inbound struct {
	Protocol string         `yaml:"protocol" enum:"tcp,udp,icmp,any" required:"yes"`
	Ports    string         `yaml:"ports" format:"ports"`
	From     []netip.Prefix `yaml:"from" format:"network"`
}
