package xen

import (
	"context"
	"time"
)

// How long MACs waits for a new domain's network interfaces, and how often it looks: xl makes them
// after it has introduced the domain.
const (
	vifTimeout = 10 * time.Second
	vifPoll    = 500 * time.Millisecond
)

// MACs returns the addresses of a domain's network interfaces. It waits a while for the first one to
// appear; a domain that has none is no error.
func (d *Domains) MACs(ctx context.Context, domid int) []string {
	ctx, cancel := context.WithTimeout(ctx, vifTimeout)
	defer cancel()
	dir := home(domid) + "/device/vif"
	for {
		var macs []string
		vifs, _ := d.store.Directory(ctx, dir)
		for _, vif := range vifs {
			if mac, err := d.store.Read(ctx, dir+"/"+vif+"/mac"); err == nil {
				macs = append(macs, mac)
			}
		}
		if len(macs) > 0 {
			return macs
		}
		select {
		case <-time.After(vifPoll):
		case <-ctx.Done():
			return nil
		}
	}
}
