package vifrules

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Count is a number of packets, and of their bytes without the Ethernet header's 14.
type Count struct{ Packets, Bytes uint64 }

// Traffic is what a guest has sent and got through all its vifs since the host knows it, restarts included.
type Traffic struct {
	UUID     string
	Name     string
	Sent     Count // all that the guest sent, what was dropped of it too
	Received Count
	Dropped  map[Reason]Count // those that are not 0
}

// HostDrops is what was dropped and is no guest's.
type HostDrops struct {
	FromGuests  Count // to dom0, by guests
	FromOutside Count // to dom0, by others
	Forwarded   Count // through dom0
	Fenced      Count // DHCP and private addresses between a private network and a NIC
	Unknown     Count // by a vif without rules
}

// counts reads all counters of a table.
func (t *tables) counts(table *nftables.Table) (map[string]Count, error) {
	objects, err := t.conn.GetObjects(table)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // no table yet
	}
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	counts := map[string]Count{}
	for _, object := range objects {
		if c, ok := object.(*nftables.CounterObj); ok {
			counts[c.Name] = Count{c.Packets, c.Bytes}
		}
	}
	return counts, nil
}

// trafficOf sorts counters by guest.
func trafficOf(counts map[string]Count, names map[string]string) []Traffic {
	guests := map[string]*Traffic{}
	for counter, count := range counts {
		uuid, what, ok := strings.Cut(counter, ".")
		if !ok {
			continue
		}
		if guests[uuid] == nil {
			guests[uuid] = &Traffic{UUID: uuid, Name: names[uuid], Dropped: map[Reason]Count{}}
		}
		switch {
		case what == counterTx:
			guests[uuid].Sent = count
		case what == counterRx:
			guests[uuid].Received = count
		case count.Packets > 0:
			guests[uuid].Dropped[Reason(what)] = count
		}
	}
	return sortTraffic(guests)
}

func sortTraffic(guests map[string]*Traffic) []Traffic {
	var list []Traffic
	for _, t := range guests {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Traffic) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
	return list
}

// prune deletes the counters of guests that are neither configured nor here.
func (t *tables) prune(f *files) error {
	counts, err := t.counts(t.bridge)
	if err != nil {
		return err
	}
	keep := f.names()
	for uuid := range f.config.Guests {
		keep[uuid] = ""
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		uuid, _, isGuests := strings.Cut(name, ".")
		if _, known := keep[uuid]; isGuests && !known {
			t.conn.DeleteObject(&nftables.CounterObj{Table: t.bridge, Name: name})
		}
	}
	return t.commit("end of counters")
}
