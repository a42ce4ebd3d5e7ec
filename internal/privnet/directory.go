package privnet

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// directory knows the guests on a bridge.
type directory struct {
	rules  vifrules.Rules
	bridge string

	mu   sync.Mutex // guards all that follows
	read time.Time  // of the file that is known
	size int64
	vifs []vifrules.Vif
}

// look reads the vifs anew if they have changed. What cannot be read leaves what was known.
func (d *directory) look() {
	info, err := os.Stat(d.rules.Path())
	if err != nil || info.ModTime().Equal(d.read) && info.Size() == d.size {
		return
	}
	all, err := d.rules.Vifs()
	if err != nil {
		return
	}
	d.read, d.size, d.vifs = info.ModTime(), info.Size(), nil
	for _, v := range all {
		if v.Bridge == d.bridge && v.Lease.IsValid() {
			d.vifs = append(d.vifs, v)
		}
	}
}

// byMAC returns the vif with a MAC, in lower case.
func (d *directory) byMAC(mac string) (vifrules.Vif, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.look()
	for _, v := range d.vifs {
		if v.MAC == mac {
			return v, true
		}
	}
	return vifrules.Vif{}, false
}

// hosts are the guests' addresses by name, in lower case. Of two guests of one name the first has it.
func (d *directory) hosts() map[string]netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.look()
	hosts := map[string]netip.Addr{}
	for _, v := range d.vifs {
		name := strings.ToLower(v.Guest)
		if _, taken := hosts[name]; !taken {
			hosts[name] = v.Lease
		}
	}
	return hosts
}
