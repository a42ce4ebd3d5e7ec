package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// How long xl may take to create a domain: much is read from the medium, a CD for instance.
const (
	createTimeout = 2 * time.Minute
	slowMedium    = 512 << 10 // bytes a second
)

// unless returns a context that ends when somebody wants one of these of the guest.
func (l *life) unless(ctx context.Context, wants ...host.Want) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		l.until(ctx, func(g *host.Guest) bool { return g != nil && slices.Contains(wants, g.Wanted) })
		cancel()
	}()
	return ctx, cancel
}

// wanted is what somebody wants of the guest.
func (l *life) wanted() host.Want {
	if g := l.State.Snapshot().ByUUID(l.uuid); g != nil {
		return g.Wanted
	}
	return ""
}

// unwanted says whether the guest is not to be made any more.
func (l *life) unwanted() bool { return l.wanted() == host.WantStop || l.wanted() == host.WantDestroy }

// tries is how often a guest's next domain is tried. What spoils a creation often passes: dom0 was short of
// memory, or a device was still the last domain's.
const tries = 5

// createAgain makes the guest's next domain, and says whether it has. Nothing of those that failed is left.
func (l *life) createAgain(ctx context.Context) bool {
	for try := 1; ; try++ {
		err := l.createInTurn(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if try == tries || l.unwanted() || l.destroyLeft(ctx) != nil {
			l.giveUp(ctx, err)
			return false
		}
		l.memory.Vacate()
		rest := time.Second << try
		l.phase(host.Restarting, later(err.Error(), rest))
		if !l.pause(ctx, rest, host.WantStop, host.WantDestroy) {
			return false
		}
	}
}

// createInTurn makes the guest's domain when there is a place.
func (l *life) createInTurn(ctx context.Context) error {
	waiting, cancel := l.unless(ctx, host.WantStop, host.WantDestroy)
	defer cancel()
	done, err := l.memory.Create(waiting, creations())
	if err != nil {
		return err
	}
	defer done()
	return l.create(ctx)
}

// giveUp ends the life of a guest whose domain could not be made, unless it ends with ctx anyway. That of one that is
// not wanted any more has just stopped.
func (l *life) giveUp(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if l.cleanUp(ctx) && l.unwanted() {
		l.phase(host.Stopped, "")
		return
	}
	l.State.Tell(host.GuestRefused{
		Name: l.spec.Name, Origin: l.spec.File, Source: l.source, UUID: l.uuid, Err: err,
	})
}

// release gives back what the guest had, at its final end.
func (l *life) release() {
	if l.disks != nil {
		if err := l.disks.Close(); err != nil {
			l.Log.Debug("guest disks", "guest", l.spec.Name, "err", err)
		}
	}
	l.memory.Release()
}

// create makes the guest's domain. A failure may leave something of it.
func (l *life) create(ctx context.Context) error {
	start := time.Now()
	l.State.Tell(host.GuestPhase{UUID: l.uuid, Phase: host.Creating})
	if err := l.make(ctx); err != nil {
		return err
	}
	domid, err := l.find(ctx)
	if err != nil {
		return err
	}
	l.memory.Settle()
	l.State.Tell(host.Created{UUID: l.uuid, Domid: domid, Took: time.Since(start)})
	l.Changed() // it may have ended before anybody knew its number
	return nil
}

// make writes the configuration under the name that the guest has now, and has xl create the domain, unless somebody
// wants the guest to be destroyed meanwhile.
func (l *life) make(ctx context.Context) error {
	if g := l.State.Snapshot().ByUUID(l.uuid); g != nil && g.Name != l.spec.Name {
		l.spec = l.spec.Renamed(g.Name)
	}
	if err := l.write(); err != nil {
		return err
	}
	if err := l.rules(l.spec.Name); err != nil {
		return err
	}
	ctx, wanted := l.unless(ctx, host.WantDestroy)
	defer wanted()
	limit, cancel := context.WithTimeout(ctx, createTimeout+readTime(l.spec))
	defer cancel()
	err := l.Xen.Create(limit, l.file)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("xl hung and was killed: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%w; its configuration as Xen got it is %s", err, l.file)
	}
	return nil
}

// rules has the guest's network rules in force, under a name.
func (l *life) rules(name string) error {
	if err := l.Rules(cmp.Or(l.source.Name, name), name, l.uuid); err != nil {
		return fmt.Errorf("its network rules: %w", err)
	}
	return nil
}

// write writes the configuration that xl gets.
func (l *life) write() error {
	return os.WriteFile(l.file, l.spec.WithDevices(l.disks.Devices()).Bytes(), 0o644)
}

// readTime is how long a slow medium takes to read what a guest boots.
func readTime(spec *guests.Resolved) time.Duration {
	var bytes int64
	for _, name := range []string{"kernel", "ramdisk"} {
		if value, ok, err := spec.Complete.Text(name); ok && err == nil {
			if info, err := os.Stat(value.Text); err == nil {
				bytes += info.Size()
			}
		}
	}
	return time.Duration(bytes/slowMedium) * time.Second
}

// find returns the number of the guest's domain.
func (l *life) find(ctx context.Context) (int, error) {
	domain, found, err := l.Xen.Find(ctx, l.uuid)
	if err == nil && (!found || domain.Dying) {
		err = errors.New("it ended as soon as it was created; see xl dmesg")
	}
	return domain.Domid, err
}

// cleanRetry is the time between two tries to destroy a domain that does not go.
const cleanRetry = 10 * time.Second

// cleanUp destroys what a failed creation has left, and says whether it is gone. The guest's memory is given back then:
// where it does not go at once, in the background, and nobody waits for it.
func (l *life) cleanUp(ctx context.Context) (gone bool) {
	if l.destroyLeft(ctx) == nil {
		l.release()
		return true
	}
	l.memory.Settle()
	go func() {
		for {
			select {
			case <-time.After(cleanRetry):
			case <-ctx.Done():
				return
			}
			if l.begunAnew() || l.destroyLeft(ctx) == nil {
				l.release()
				return
			}
		}
	}()
	return false
}

// begunAnew says that somebody has made the guest that failed, or is about to: its UUID is theirs.
func (l *life) begunAnew() bool {
	g := l.State.Snapshot().ByUUID(l.uuid)
	return g == nil || g.Phase != host.Failed
}

// destroyLeft destroys the guest's domain if there is one, half made as it may be.
func (l *life) destroyLeft(ctx context.Context) error {
	domain, found, err := l.Xen.Find(ctx, l.uuid)
	if err == nil && found {
		err = l.Xen.Destroy(ctx, domain.Domid)
	}
	if err != nil {
		l.Log.Debug("clean up", "guest", l.spec.Name, "err", err)
	}
	return err
}
