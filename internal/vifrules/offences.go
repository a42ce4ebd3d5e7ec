package vifrules

import (
	"fmt"

	"github.com/google/nftables"
)

// Offence is what was dropped of a guest for one reason, since its counters are.
type Offence struct {
	UUID    string
	Name    string
	Reason  Reason
	Packets uint64
}

// Watch finds guests that send what they must not. One goroutine uses it.
type Watch struct {
	rules Rules
	kept  *tables // open since the last look; nil: not
	total uint64  // of all guests' offences at the last look
	more  bool    // not all of them were reported
	told  map[offender]uint64
}

type offender struct {
	uuid   string
	reason Reason
}

// NewWatch returns a Watch that has reported nothing.
func NewWatch(rules Rules) *Watch { return &Watch{rules: rules, told: map[offender]uint64{}} }

// Look returns what is worth reporting since the last look. As long as nothing was dropped it is one question to the
// kernel, whatever the number of guests.
func (w *Watch) Look() ([]Offence, error) {
	total, err := w.offences()
	if err != nil || total == w.total && !w.more {
		return nil, err
	}
	traffic, _, err := w.rules.Traffic()
	if err != nil {
		return nil, err
	}
	w.total = total
	return w.due(traffic), nil
}

const (
	// growth is what a count must have grown by to be reported again: a flood of millions is six lines.
	growth = 10
	// maxAtOnce is how many are reported at one look; the others are at the next.
	maxAtOnce = 10
)

// due returns what is to be reported: each reason of each guest at its first packet, and again whenever the number is
// ten times that of the last report. Numbers that have become less are those of new counters.
func (w *Watch) due(traffic []Traffic) (list []Offence) {
	here := map[string]bool{}
	w.more = false
	for _, t := range traffic {
		here[t.UUID] = true
		for _, reason := range Offences {
			key, n := offender{t.UUID, reason}, t.Dropped[reason].Packets
			before := w.told[key]
			if n == 0 || n >= before && n < growth*before {
				continue
			}
			if len(list) == maxAtOnce {
				w.more = true
				continue
			}
			list = append(list, Offence{t.UUID, t.Name, reason, n})
			w.told[key] = n
		}
	}
	for key := range w.told {
		if !here[key.uuid] {
			delete(w.told, key)
		}
	}
	return list
}

// Close gives up what the last look has kept open.
func (w *Watch) Close() {
	if w.kept != nil {
		w.kept.close()
		w.kept = nil
	}
}

// offences reads how many packets of all guests were dropped that are offences; 0 where there are no rules.
func (w *Watch) offences() (uint64, error) {
	if w.kept == nil {
		t, err := openTables()
		if err != nil {
			return 0, err
		}
		w.kept = t
	}
	total, err := w.kept.offences()
	if err != nil { // an answer may be left in the socket
		w.Close()
	}
	return total, err
}

func (t *tables) offences() (uint64, error) {
	object, err := t.conn.GetObject(&nftables.CounterObj{Table: t.bridge, Name: counterBad})
	if err != nil {
		if exists, err := t.exists(); err != nil || !exists { // the library's error does not say it
			return 0, err
		}
		return 0, fmt.Errorf("read counters: %w", err)
	}
	c, ok := object.(*nftables.CounterObj)
	if !ok {
		return 0, fmt.Errorf("read counters: %s is none", counterBad)
	}
	return c.Packets, nil
}

// advice is what a reason means and what the host's owner may do.
type advice struct{ what, remedy string }

// trusted ends with the name of a reason.
const trusted = "it is dropped; guest destroy NAME ends it; " +
	"if it is meant to, trust it with that: guests.NAME.network.trust, "

var advices = map[Reason]advice{
	SpoofedMAC: {"it sends with MAC addresses that are not its own", trusted + "mac"},
	Control:    {"it sends what only switches should: spanning tree, LLDP, LACP, Cisco's", trusted + "control"},
	Tagged:     {"it sends frames with VLAN tags", trusted + "vlan, or give it a VLAN"},
	SpoofedARP: {"it claims an address by ARP that is not its own", trusted + "arp, or configure its address"},
	SpoofedIP:  {"it sends from an address that is not its own", trusted + "address, or configure its address"},
	DHCPServer: {"it answers as a DHCP server", trusted + "dhcp"},
	RouterAd:   {"it says it is an IPv6 router", trusted + "ra"},
	Redirect:   {"it sends ICMP redirects", trusted + "redirect"},
	Fragment:   {"it sends IPv6 fragments that hide what they carry", trusted + "fragment"},
	ByRouter:   {"it tries to reach dom0 by way of a router", "open what it needs to guests"},
	Flood:      {"it floods dom0 with ARP or ICMP", "others are not held up; look at what it does, or end it"},
}

// Advice says what a guest does and what the host's owner may do about it.
func (o Offence) Advice() (what, remedy string) {
	a := advices[o.Reason]
	return a.what, a.remedy
}
