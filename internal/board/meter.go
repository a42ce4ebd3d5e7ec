package board

import (
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

// meter makes rates of counters that only grow.
type meter struct {
	traffic func() map[int]int64 // bytes that domains' interfaces have carried, by number
	counted map[int]int64        // of the last look
	at      time.Time            // of that
	domains map[int]reading
}

// reading is what the counters of a domain were at a time, and the rates since the one before.
type reading struct {
	at      time.Time
	traffic int64
	cpuAt   time.Time // when Xen was asked for the processor time
	cpu     float64   // seconds
	usage   Usage
}

func newMeter(traffic func() map[int]int64) meter {
	return meter{traffic: traffic, domains: map[int]reading{}}
}

// look reads the counters of all domains and returns what each uses, by number. Between looks that are nearer than
// refresh the rates stay, so that they do not jump with every event.
func (m *meter) look(snapshot *host.Snapshot, now time.Time) map[int]Usage {
	if now.Sub(m.at) >= refresh {
		m.counted, m.at = m.traffic(), now
	}
	next, usage := map[int]reading{}, map[int]Usage{}
	for i := range snapshot.Guests {
		g := &snapshot.Guests[i]
		if g.Domid == 0 {
			continue
		}
		r, known := m.domains[g.Domid]
		if !known {
			r = reading{
				at: m.at, traffic: m.counted[g.Domid], cpuAt: snapshot.Host.Listed, cpu: g.CPUSeconds, usage: unknown,
			}
		}
		if m.at.Sub(r.at) >= refresh {
			r.countTraffic(m.counted[g.Domid], m.at)
		}
		if snapshot.Host.Listed.Sub(r.cpuAt) >= refresh {
			r.countCPU(g.CPUSeconds, snapshot.Host.Listed)
		}
		next[g.Domid], usage[g.Domid] = r, r.usage
	}
	m.domains = next
	return usage
}

func (r *reading) countTraffic(bytes int64, now time.Time) {
	r.usage.Traffic = float64(max(0, bytes-r.traffic)) / now.Sub(r.at).Seconds()
	r.at, r.traffic = now, bytes
}

func (r *reading) countCPU(seconds float64, listed time.Time) {
	r.usage.CPU = max(0, seconds-r.cpu) / listed.Sub(r.cpuAt).Seconds()
	r.cpuAt, r.cpu = listed, seconds
}
