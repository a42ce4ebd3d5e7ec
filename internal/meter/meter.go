// Package meter counts what guests use: processor time, bytes on the network and on disks, packets that passed the
// host's rules or were dropped by them. It is read where the kernel counts, /proc, /sys and nftables, and where the
// hypervisor does, in the host's state; nothing is asked of guests.
package meter

import (
	"io/fs"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// Share is what one domain has used of the processors.
type Share struct {
	Used    time.Duration // since its start
	Percent float64       // of one processor, between the last two looks
	Known   bool          // Percent is: there were two looks
	at      time.Time     // of the last look
}

// CPU is the shares of domains, by domid. It is never changed.
type CPU map[int]Share

// Meter reads what guests use. Its methods may be called from any goroutine.
type Meter struct {
	proc  fs.FS
	sys   fs.FS
	rules func() ([]vifrules.Traffic, vifrules.HostDrops, error) // nil: there are none
	times func() (map[int]time.Duration, error)

	mu    sync.Mutex // guards cpu and asked, and calls of times
	cpu   CPU
	asked time.Time // when the hypervisor was last asked
}

// New returns a meter that reads proc and sys, which are /proc and /sys, and asks the hypervisor by times how much
// processor time domains have had, by domid. There is one call of times at a time.
func New(proc, sys fs.FS, times func() (map[int]time.Duration, error)) *Meter {
	return &Meter{proc: proc, sys: sys, times: times, cpu: CPU{}}
}

// WithRules has the meter read what passed the rules, as [vifrules.Rules.Traffic] does, and returns it. It is called
// before anything else.
func (m *Meter) WithRules(read func() ([]vifrules.Traffic, vifrules.HostDrops, error)) *Meter {
	m.rules = read
	return m
}

// Packets returns what passed of guests, and what was dropped, by their UUIDs, in lower case; nil where it cannot be
// read.
func (m *Meter) Packets() map[string]vifrules.Traffic {
	if m.rules == nil {
		return nil
	}
	list, _, err := m.rules()
	if err != nil {
		return nil
	}
	packets := map[string]vifrules.Traffic{}
	for _, t := range list {
		packets[t.UUID] = t
	}
	return packets
}

// CPU returns the domains' shares of the processors between the last two looks at the hypervisor, the newer of which is
// a second old at most. Where the hypervisor does not say, they are those between its lists that the states had.
func (m *Meter) CPU(s *host.Snapshot) CPU {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if now.Sub(m.asked) < shortestLook {
		return m.cpu
	}
	if times, err := m.times(); err == nil {
		delete(times, 0) // dom0 is no guest
		m.cpu, m.asked = m.cpu.next(now, times), now
	} else {
		m.cpu = m.cpu.next(s.Host.Listed, usedBy(s))
	}
	return m.cpu
}

// shortestLook is the shortest time between two looks that make a share.
const shortestLook = time.Second

// usedBy is what domains had used of the processors when the hypervisor was asked last.
func usedBy(s *host.Snapshot) map[int]time.Duration {
	used := map[int]time.Duration{}
	for i := range s.Guests {
		if g := &s.Guests[i]; g.Domid != 0 {
			used[g.Domid] = time.Duration(g.CPUSeconds * float64(time.Second))
		}
	}
	return used
}

// next is the shares after a look at that time, at which domains had used so much.
func (c CPU) next(at time.Time, used map[int]time.Duration) CPU {
	next := make(CPU, len(used))
	for domid, so := range used {
		last, seen := c[domid]
		past := at.Sub(last.at)
		switch {
		case !seen || so < last.Used: // it is another domain
			next[domid] = Share{Used: so, at: at}
		case past < shortestLook:
			next[domid] = last
		default:
			next[domid] = Share{
				Used: so, at: at, Known: true, Percent: 100 * (so - last.Used).Seconds() / past.Seconds(),
			}
		}
	}
	return next
}
