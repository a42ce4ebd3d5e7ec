package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

var errNotBegun = errors.New("it was still waiting when init crashed; reboot the host, or xl create it")

// Resume goes on with the guests of a snapshot that another controller, which is no longer there, has left: it
// knows them again, and leads on the lives of those that were managed.
func (c *Controller) Resume(ctx context.Context, left *host.Snapshot) {
	for _, g := range left.Guests {
		if !g.Phase.Live() || g.UUID == "" || !g.Managed && g.Domid == 0 {
			continue // also one that its own xl is about to make anew: it is seen when it comes
		}
		if g.Phase == host.Waiting && g.Domid == 0 { // xl has not got its configuration, which is gone
			c.State.Tell(host.GuestRefused{Name: g.Name, Origin: g.Origin, Err: errNotBegun})
			continue
		}
		l, err := c.restore(&g)
		if err != nil {
			c.Log.Warn("guest", "guest", g.Name, "err", err, "remedy", "it is not made anew when it reboots or crashes")
			g.Managed = false
		}
		if l != nil {
			g.Spec = l.spec
		}
		c.State.Tell(host.Resumed{Guest: g})
		if l != nil {
			go l.resume(ctx, g.Domid != 0 && g.Phase != host.Creating)
		}
	}
}

// restore makes the life of a managed guest, nil of another one.
func (c *Controller) restore(g *host.Guest) (*life, error) {
	if !g.Managed {
		return nil, nil
	}
	// A guest that was renamed since has its configuration under the name that it was created with.
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.cfg"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		spec, err := guests.Restore(file, text)
		if err != nil || spec.UUID != g.UUID {
			continue
		}
		p, err := readPolicy(spec)
		if err != nil {
			return nil, err
		}
		disks, err := c.Disks.Resume(spec, g)
		if err != nil {
			c.Log.Warn("guest disks", "guest", g.Name, "err", err, "remedy", "their memory is not given back")
		}
		return &life{
			Controller: c, spec: spec, policy: p, file: file, disks: disks, memory: c.Ledger.Adopt(g.Name, g.NeedKiB),
		}, nil
	}
	return nil, os.ErrNotExist
}

// resume leads on a life: that of a guest whose domain was made, or of one whose domain is to be made.
func (l *life) resume(ctx context.Context, made bool) {
	defer l.State.Tell(host.Unmanaged{UUID: l.spec.UUID})
	if made {
		l.Changed()
		l.goOn(ctx)
		return
	}
	_ = l.destroyLeft(ctx) // of a creation that nobody finished
	l.memory.Vacate()
	if l.createAgain(ctx) {
		l.goOn(ctx)
	}
}
