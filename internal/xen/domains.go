package xen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// How long xl may take to destroy a domain, and Xen to take it down after that. Both are quick;
// the limits keep a power-off from hanging.
const (
	destroyTimeout = 15 * time.Second
	goneTimeout    = 5 * time.Second
)

// ErrNoDomain reports that no domain has that name.
var ErrNoDomain = errors.New("no such domain")

// Domains creates and ends domains through xl and looks at them in xenstore.
type Domains struct {
	run   Runner
	store *xenstore.Client
	gone  time.Duration // goneTimeout outside tests
}

// NewDomains returns a Domains; run is Exec outside tests.
func NewDomains(run Runner, store *xenstore.Client) *Domains {
	return &Domains{run: run, store: store, gone: goneTimeout}
}

// Create starts the domain that an xl configuration describes and returns when it runs. The error
// holds what xl said, without the noise. An xl process stays behind, watches the domain, and does
// what on_poweroff, on_reboot and on_crash ask for.
func (d *Domains) Create(ctx context.Context, config string) error {
	if _, stderr, err := d.run(ctx, XL, "create", "-q", config); err != nil {
		return fmt.Errorf("create domain from %s: %w", config, programError(stderr, err))
	}
	return nil
}

// Shutdown asks a domain to shut itself down: its kernel, or by the power button's event where
// that has no Xen drivers. It returns when the request is taken, not when the domain has ended.
func (d *Domains) Shutdown(ctx context.Context, domid int) error {
	return d.control(ctx, "shutdown", "-F", domid)
}

// Destroy ends a domain at once.
func (d *Domains) Destroy(ctx context.Context, domid int) error {
	return d.control(ctx, "destroy", "", domid)
}

// control names the domain by number, since xl would take a name of digits for one.
func (d *Domains) control(ctx context.Context, verb, option string, domid int) error {
	args := []string{verb}
	if option != "" {
		args = append(args, option)
	}
	if _, stderr, err := d.run(ctx, XL, append(args, strconv.Itoa(domid))...); err != nil {
		return fmt.Errorf("%s domain %d: %w", verb, domid, programError(stderr, err))
	}
	return nil
}

// home is a domain's directory in xenstore.
func home(domid int) string { return "/local/domain/" + strconv.Itoa(domid) }

// Name returns a domain's name.
func (d *Domains) Name(ctx context.Context, domid int) (string, error) {
	return d.store.Read(ctx, home(domid)+"/name")
}

// DomID finds a domain by its name, or returns ErrNoDomain. The names are in xenstore, which saves
// starting an xl.
func (d *Domains) DomID(ctx context.Context, name string) (int, error) {
	domids, err := listDomIDs(ctx, d.store)
	if err != nil {
		return 0, err
	}
	for _, domid := range domids {
		has, err := d.store.Read(ctx, home(domid)+"/name")
		if err == nil && has == name {
			return domid, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("domain %q: %w", name, ErrNoDomain)
}

// listDomIDs lists the domains in xenstore.
func listDomIDs(ctx context.Context, store *xenstore.Client) ([]int, error) {
	names, err := store.Directory(ctx, "/local/domain")
	if err != nil {
		return nil, err
	}
	var domids []int
	for _, name := range names {
		if domid, err := strconv.Atoi(name); err == nil {
			domids = append(domids, domid)
		}
	}
	return domids, nil
}

// Wait returns when the domain is gone, with nil, or when ctx ends. A domain is gone when its name
// is out of xenstore, which libxl clears just before Xen frees the memory.
func (d *Domains) Wait(ctx context.Context, domid int) error {
	// @releaseDomain tells of domains that end without libxl, the name of those it destroys.
	watcher, err := d.store.Watch(ctx, xenstore.ReleaseDomain, home(domid)+"/name")
	if err != nil {
		return fmt.Errorf("wait for domain %d: %w", domid, err)
	}
	defer watcher.Close(context.WithoutCancel(ctx))
	for {
		select {
		case _, ok := <-watcher.Events():
			if !ok {
				return fmt.Errorf("wait for domain %d: %w", domid, d.store.Err())
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for domain %d: %w", domid, ctx.Err())
		}
		_, err := d.store.Read(ctx, home(domid)+"/name")
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for domain %d: %w", domid, err)
		}
	}
}

// Ended says how a domain was ended by ShutdownAll.
type Ended struct {
	Domain Domain
	Forced bool  // destroyed, because it did not shut down in time or could not
	Err    error // it could not be ended; otherwise why it had to be forced, or nil
}

// Why a domain is destroyed without being asked to shut down.
var (
	errPaused = errors.New("it is paused")
	errLate   = errors.New("it came when the others were being shut down")
)

// ShutdownAll shuts all guests down at the same time and destroys those that are still there after
// the deadline, or at once when ctx ends. Destroyed at once are those that could not hear a request:
// an "xl create" that was cancelled leaves its domain paused and half-built. What has come meanwhile,
// a reboot for instance, is destroyed in the end. Each guest is reported as it ends, from several
// goroutines. The error says which could not be ended.
func (d *Domains) ShutdownAll(ctx context.Context, deadline time.Duration, report func(Ended)) error {
	first, err := d.listAnyway(ctx)
	if err != nil {
		return err
	}
	failed := d.endAll(ctx, first, report, func(domain Domain) Ended {
		if domain.Paused() {
			return Ended{Domain: domain, Forced: true, Err: errPaused}
		}
		return d.end(ctx, domain, deadline)
	})
	late, err := d.listAnyway(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	late = slices.DeleteFunc(late, func(domain Domain) bool {
		return slices.ContainsFunc(first, func(known Domain) bool { return known.ID == domain.ID })
	})
	return errors.Join(failed, d.endAll(ctx, late, report, func(domain Domain) Ended {
		return Ended{Domain: domain, Forced: true, Err: errLate}
	}))
}

// listAnyway lists all domains even when ctx has ended.
func (d *Domains) listAnyway(ctx context.Context) ([]Domain, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTimeout)
	defer cancel()
	return d.List(ctx)
}

// endAll ends the guests among domains at the same time, with end, and by force where that says so.
// The error says which could not be ended.
func (d *Domains) endAll(ctx context.Context, domains []Domain, report func(Ended), end func(Domain) Ended) error {
	var group sync.WaitGroup
	failures := make([]error, len(domains))
	for i, domain := range domains {
		if domain.ID == 0 || domain.Dying() {
			continue
		}
		group.Go(func() {
			ended := end(domain)
			if ended.Forced {
				failures[i] = d.stillThere(ctx, ended)
				ended.Err = errors.Join(ended.Err, failures[i])
			}
			report(ended)
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// end shuts one domain down and says whether that must be forced.
func (d *Domains) end(ctx context.Context, domain Domain, deadline time.Duration) Ended {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	err := d.Shutdown(ctx, domain.ID)
	if err == nil {
		err = d.Wait(ctx, domain.ID)
	}
	return Ended{Domain: domain, Forced: err != nil, Err: err}
}

// stillThere destroys a domain that did not shut down, or could not. The context that ended is not the one
// that destroying has.
func (d *Domains) stillThere(ctx context.Context, ended Ended) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTimeout)
	defer cancel()
	if err := d.Destroy(ctx, ended.Domain.ID); err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, d.gone)
	defer cancel()
	return d.Wait(ctx, ended.Domain.ID)
}
