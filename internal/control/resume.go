package control

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

var errNotBegun = errors.New("it was still waiting when init crashed, and its files are gone")

// Resume goes on with the guests of a snapshot that another controller, which is no longer there, has left: it
// knows them again, leads on the lives of those that were managed, and starts those that waited to be started.
func (c *Controller) Resume(ctx context.Context, left *host.Snapshot) {
	for _, g := range left.Guests {
		if !g.Phase.Live() && g.Domid == 0 {
			g.Managed, g.Wanted = false, ""
			c.State.Tell(host.Resumed{Guest: g}) // it can be started
			continue
		}
		if !g.Phase.Live() || g.UUID == "" || !g.Managed && g.Domid == 0 {
			continue // also one that its own xl is about to make anew: it is seen when it comes
		}
		if g.Phase == host.Waiting && g.Domid == 0 { // xl has not got its configuration, which is gone
			c.startLeft(ctx, g)
			continue
		}
		l, err := c.restore(&g)
		if err != nil {
			c.Log.Warn("guest", "guest", g.Name, "err", err, "remedy", "it is not made anew when it reboots or crashes")
			g.Managed = false
		}
		if l != nil {
			g.Spec = l.spec
			c.lives.add(l)
		}
		c.State.Tell(host.Resumed{Guest: g})
		if l != nil {
			go l.resume(ctx, g)
		}
	}
}

// startLeft starts a guest that waited to be started, for a disk say, from its directory.
func (c *Controller) startLeft(ctx context.Context, g host.Guest) {
	var loaded *guests.Guest
	err := errNotBegun
	if g.Source.Dir != "" {
		loaded, err = g.Source.Load()
	}
	if err != nil {
		c.State.Tell(host.GuestRefused{Name: g.Name, Origin: g.Origin, Source: g.Source, Err: err})
		return
	}
	go c.start(ctx, again(loaded, &g), make(chan error, 2)) // the state says what becomes of it
}

// restore makes the life of a managed guest, nil of another one.
func (c *Controller) restore(g *host.Guest) (*life, error) {
	if !g.Managed {
		return nil, nil
	}
	spec, err := c.readBack(g.UUID)
	if err != nil {
		return nil, err
	}
	spec.Dir, spec.Root, spec.Trusted = g.Source.Dir, g.Source.Root, g.Source.Trusted
	spec.Override = c.Override(cmp.Or(g.Source.Name, g.Name))
	p, err := readPolicy(spec)
	if err != nil {
		return nil, err
	}
	l := c.newLife(spec, p, g.Source)
	l.file = spec.File
	if l.disks, err = c.Disks.Resume(spec, g); err != nil {
		c.Log.Warn("guest disks", "guest", g.Name, "err", err, "remedy", "their memory is not given back")
	}
	l.memory = c.Ledger.Adopt(g.Name, g.NeedKiB)
	return l, nil
}

// readBack reads the configuration that xl got for a guest. One that was renamed since has it under the name that it
// was created with; of several, which lives before have left, the newest counts.
func (c *Controller) readBack(uuid string) (found *guests.Resolved, err error) {
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.cfg"))
	if err != nil {
		return nil, err
	}
	var newest time.Time
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		spec, err := guests.Restore(file, text)
		if err == nil && spec.UUID == uuid && (found == nil || info.ModTime().After(newest)) {
			found, newest = spec, info.ModTime()
		}
	}
	if found == nil {
		return nil, os.ErrNotExist
	}
	return found, nil
}

// resume leads on a life: that of a guest whose domain was made, or of one whose domain is to be made.
func (l *life) resume(ctx context.Context, left host.Guest) {
	defer l.finish()
	if left.Domid != 0 && left.Phase != host.Creating {
		l.askAgain(ctx, left)
		l.Changed()
		l.goOn(ctx)
		return
	}
	_ = l.destroyLeft(ctx) // of a creation that nobody finished
	l.memory.Vacate()
	if l.unwanted() {
		l.release()
		l.phase(host.Stopped, "")
		return
	}
	if l.createAgain(ctx) {
		l.goOn(ctx)
	}
}

// askAgain asks for what was being ordered: whoever did so may not have come to it. A guest that was asked twice does
// it once.
func (l *life) askAgain(ctx context.Context, left host.Guest) {
	if left.Order == "" || left.Wanted == "" || left.Shutdown != "" {
		return
	}
	if err := l.ask(ctx, &left, left.Wanted); err != nil {
		l.Log.Warn("guest", "guest", left.Name, "err", err, "remedy", left.Order+" it once more")
	}
}
