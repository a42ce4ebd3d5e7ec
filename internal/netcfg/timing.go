package netcfg

import (
	"cmp"
	"time"
)

// Timing holds the durations of this package that are choices, not the protocol's. A zero
// field stands for its default; tests shorten them.
type Timing struct {
	Floor        time.Duration // shortest T1, and pause between two renewals: 5 s
	FirstWait    time.Duration // for an answer to the first DISCOVER, doubled from there: 1 s
	MaxWait      time.Duration // for an answer to any DISCOVER: 64 s
	CarrierWait  time.Duration // after start or the last NIC's arrival, for NICs to get a carrier: 4 s
	CarrierGrace time.Duration // how long the NIC in use may be without one before another is taken: 5 s
	ServerWait   time.Duration // for a lease before another NIC with a carrier is tried: 10 s

	AnswerGrace time.Duration // for a lease before another NIC that has a DHCP server is taken: 2 s
	AddressWait time.Duration // for an address before [EventNoAddress]: 20 s
	ProbeWait6  time.Duration // for another host to say that it has the IPv6 address: 1 s (RFC 4862, section 5.1)

	// RFC 5227 and RFC 2131, section 3.1.5.
	ProbeWait        time.Duration // for another host to say that it has the address: 200 ms
	AnnounceInterval time.Duration // between the two announcements of an address: 2 s
	DefendInterval   time.Duration // within which a second conflict costs the address: 10 s
	DeclinePause     time.Duration // after an address was declined: 10 s
}

// maxServerWait limits the growth of [Timing.ServerWait] while no NIC has a server.
const maxServerWait = 5 * time.Minute

// orDefault fills in the zero fields. Negotiating 1 Gbit/s takes copper 2 to 3 seconds, which is what
// CarrierWait is for; FirstWait is short because most servers answer within milliseconds. So do hosts that are
// asked by ARP: RFC 5227 would have ProbeWait 4 to 7 s.
func (t Timing) orDefault() Timing {
	return Timing{
		Floor:        cmp.Or(t.Floor, 5*time.Second),
		FirstWait:    cmp.Or(t.FirstWait, time.Second),
		MaxWait:      cmp.Or(t.MaxWait, 64*time.Second),
		CarrierWait:  cmp.Or(t.CarrierWait, 4*time.Second),
		CarrierGrace: cmp.Or(t.CarrierGrace, 5*time.Second),
		ServerWait:   cmp.Or(t.ServerWait, 10*time.Second),
		AnswerGrace:  cmp.Or(t.AnswerGrace, 2*time.Second),
		AddressWait:  cmp.Or(t.AddressWait, 20*time.Second),
		ProbeWait6:   cmp.Or(t.ProbeWait6, time.Second),

		ProbeWait:        cmp.Or(t.ProbeWait, 200*time.Millisecond),
		AnnounceInterval: cmp.Or(t.AnnounceInterval, 2*time.Second),
		DefendInterval:   cmp.Or(t.DefendInterval, 10*time.Second),
		DeclinePause:     cmp.Or(t.DeclinePause, 10*time.Second),
	}
}
