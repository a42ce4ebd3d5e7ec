package board

import (
	"time"

	"github.com/zerodisc/zerodisc/internal/meter"
)

// rates makes bytes a second of what domains' network interfaces have carried.
type rates struct {
	at      time.Time // of the last look at the counters
	carried map[int]int64
	rate    map[int]float64 // by domid; only of domains that were there at two looks
}

// shortestLook is the shortest time between two looks that make a rate. Moments of refresh come a little early or late.
const shortestLook = refresh - refresh/4

// look takes counters, unless the last look was a moment ago: the rates would jump with every event.
func (r *rates) look(now time.Time, read func() map[int]meter.Traffic) map[int]float64 {
	past := now.Sub(r.at)
	if past < shortestLook {
		return r.rate
	}
	carried, rate := map[int]int64{}, map[int]float64{}
	for domid, traffic := range read() {
		for _, count := range traffic.Network {
			carried[domid] += count.In + count.Out
		}
		if before, known := r.carried[domid]; known {
			rate[domid] = float64(max(0, carried[domid]-before)) / past.Seconds()
		}
	}
	r.at, r.carried, r.rate = now, carried, rate
	return rate
}
