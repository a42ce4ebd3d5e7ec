package xen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// lookPause is the longest time between two looks at domains that shut down; xenstore says earlier when one
// has changed.
const lookPause = 3 * time.Second

// Ended says how a domain was ended by ShutdownAll.
type Ended struct {
	Domain host.Domain
	Forced bool  // destroyed, because it did not shut down in time or could not
	Err    error // it could not be ended; otherwise why it had to be forced, or nil
}

// Why a domain is destroyed without having shut down.
var (
	errPaused = errors.New("it is paused")
	errLate   = errors.New("it came when the others were being shut down")
	errSlow   = errors.New("it did not shut down in time")
)

// ShutdownAll shuts all guests down at the same time and destroys those that still run after the deadline,
// or at once when ctx ends. Destroyed at once are those that have ended already and are kept, after a crash
// say, and those that could not hear a request: an "xl create" that was cancelled leaves its domain paused
// and half-built. What has come meanwhile, a reboot for instance, is destroyed in the end. Each guest is
// reported as it ends, one call after the other. The error says which could not be ended.
func (x *Toolstack) ShutdownAll(ctx context.Context, deadline time.Duration, report func(Ended)) error {
	first, err := x.listAnyhow(ctx)
	if err != nil {
		return err
	}
	e := &ending{Toolstack: x, report: report}
	e.limit = destroyTimeout + x.gone + time.Duration(len(first)/maxCommands)*deadBackend
	patience, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	e.shutDown(patience, first)
	late, err := x.listAnyhow(ctx)
	if err != nil {
		return errors.Join(append(e.failures, err)...)
	}
	e.endAll(ctx, slices.DeleteFunc(late, func(domain host.Domain) bool {
		return slices.ContainsFunc(first, func(known host.Domain) bool { return known.Domid == domain.Domid })
	}), errLate)
	return errors.Join(e.failures...)
}

// listAnyhow lists the domains even when ctx has ended and xl cannot be run: then it is xenstore's list.
func (x *Toolstack) listAnyhow(ctx context.Context) ([]host.Domain, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*askTimeout)
	defer cancel()
	domains, err := x.List(ctx)
	if err == nil {
		return domains, nil
	}
	stored, other := x.storedDomains()
	if other != nil {
		return nil, errors.Join(err, other)
	}
	return stored, nil
}

// storedDomains lists the domains that xenstore knows. It says nothing of their states.
func (x *Toolstack) storedDomains() ([]host.Domain, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	domids, err := listDomIDs(ctx, x.store)
	if err != nil {
		return nil, fmt.Errorf("list domains in xenstore: %w", err)
	}
	var domains []host.Domain
	for _, domid := range domids {
		vm, err := x.store.Read(ctx, home(domid)+"/vm")
		if err != nil {
			continue // a directory without a domain
		}
		name, _ := x.store.Read(ctx, home(domid)+"/name")
		domains = append(domains, host.Domain{Domid: domid, Name: name, UUID: strings.TrimPrefix(vm, "/vm/")})
	}
	return domains, nil
}

// ending is what ShutdownAll keeps account of.
type ending struct {
	*Toolstack
	limit    time.Duration // to destroy a domain, its turn included
	mu       sync.Mutex    // held over a call of report
	report   func(Ended)
	failures []error
}

// shutDown asks all domains to shut down, waits until they have or ctx ends, and ends what is left.
func (e *ending) shutDown(ctx context.Context, domains []host.Domain) {
	waiting := map[int]host.Domain{}
	var group sync.WaitGroup
	for _, domain := range domains {
		switch {
		case domain.Dying:
		case domain.Shutdown != "":
			group.Go(func() { e.end(ctx, domain, nil) })
		case domain.Paused:
			group.Go(func() { e.end(ctx, domain, errPaused) })
		default:
			waiting[domain.Domid] = domain
		}
	}
	refused := e.ask(ctx, waiting)
	e.await(ctx, waiting, refused, &group)
	group.Wait()
}

// ask asks domains to shut down, a few at a time, and sends those that cannot be asked.
func (e *ending) ask(ctx context.Context, domains map[int]host.Domain) <-chan Ended {
	refused := make(chan Ended, len(domains))
	for _, domain := range domains {
		go func() {
			if err := e.Shutdown(ctx, domain.Domid); err != nil {
				refused <- Ended{Domain: domain, Err: err}
			}
		}()
	}
	return refused
}

// await ends domains as they shut down or refuse to, and all that are left when ctx ends.
func (e *ending) await(ctx context.Context, waiting map[int]host.Domain, refused <-chan Ended, group *sync.WaitGroup) {
	changes, stop := e.changes(ctx)
	defer stop()
	for len(waiting) > 0 {
		select {
		case r := <-refused:
			if domain, there := waiting[r.Domain.Domid]; there && ctx.Err() == nil {
				delete(waiting, domain.Domid)
				group.Go(func() { e.end(ctx, domain, r.Err) })
			}
		case _, open := <-changes:
			if !open {
				changes = nil // the connection has ended
			}
			e.look(ctx, waiting, group)
		case <-time.After(e.pause):
			e.look(ctx, waiting, group)
		case <-ctx.Done():
			for _, domain := range waiting {
				group.Go(func() { e.end(ctx, domain, errSlow) })
			}
			return
		}
	}
}

// changes returns a channel that has an element when a domain has shut down or gone. Without xenstore it
// never has one: then the looks at intervals must do.
func (e *ending) changes(ctx context.Context) (<-chan xenstore.Event, func()) {
	watcher, err := e.store.Watch(ctx, xenstore.ReleaseDomain)
	if err != nil {
		return nil, func() {}
	}
	return watcher.Events(), func() { watcher.Close(context.WithoutCancel(ctx)) }
}

// look ends those of the domains that have shut down, and drops those that are gone.
func (e *ending) look(ctx context.Context, waiting map[int]host.Domain, group *sync.WaitGroup) {
	now, err := e.list(ctx)
	if err != nil {
		return // there is another look
	}
	for domid, domain := range waiting {
		at := slices.IndexFunc(now, func(d host.Domain) bool { return d.Domid == domid })
		switch {
		case at < 0:
			delete(waiting, domid)
			e.say(Ended{Domain: domain})
		case now[at].Shutdown != "", now[at].Dying: // somebody has destroyed it
			delete(waiting, domid)
			group.Go(func() { e.end(ctx, domain, nil) })
		}
	}
}

// endAll destroys domains, a few at a time.
func (e *ending) endAll(ctx context.Context, domains []host.Domain, why error) {
	var group sync.WaitGroup
	for _, domain := range domains {
		if !domain.Dying {
			group.Go(func() { e.end(ctx, domain, why) })
		}
	}
	group.Wait()
}

// end destroys a domain and reports it. why is what forced it, nil where the domain had shut down by
// itself. Destroying has a deadline of its own: ctx may be over.
func (e *ending) end(ctx context.Context, domain host.Domain, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.limit)
	defer cancel()
	err := e.Destroy(ctx, domain.Domid)
	e.say(Ended{Domain: domain, Forced: why != nil, Err: errors.Join(why, err)})
	if err != nil {
		e.mu.Lock()
		e.failures = append(e.failures, err)
		e.mu.Unlock()
	}
}

func (e *ending) say(ended Ended) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report(ended)
}
