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
}

// maxServerWait limits the growth of [Timing.ServerWait] while no NIC has a server.
const maxServerWait = 5 * time.Minute

// orDefault fills in the zero fields. Negotiating 1 Gbit/s takes copper 2 to 3 seconds, which is what
// CarrierWait is for; FirstWait is short because most servers answer within milliseconds.
func (t Timing) orDefault() Timing {
	return Timing{
		Floor:        cmp.Or(t.Floor, 5*time.Second),
		FirstWait:    cmp.Or(t.FirstWait, time.Second),
		MaxWait:      cmp.Or(t.MaxWait, 64*time.Second),
		CarrierWait:  cmp.Or(t.CarrierWait, 4*time.Second),
		CarrierGrace: cmp.Or(t.CarrierGrace, 5*time.Second),
		ServerWait:   cmp.Or(t.ServerWait, 10*time.Second),
	}
}
