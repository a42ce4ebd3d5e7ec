package xen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// How long a command of xl may take before it is killed, and Xen to take a destroyed domain down.
// All are quick; the limits keep a hung xl from hanging the host.
const (
	askTimeout     = 15 * time.Second // list, info
	orderTimeout   = 30 * time.Second // shutdown, unpause
	destroyTimeout = 60 * time.Second // it waits for the backends of each device
	deviceTimeout  = 90 * time.Second // to attach or detach one: libxl waits 40 s for a script, 10 s for the guest
	deadBackend    = 10 * time.Second // so long for one that does not answer
	goneTimeout    = 5 * time.Second
)

// maxCommands is how many commands of xl run at a time, creations aside: dom0 is small, and a
// power-off of twenty guests must not start twenty at once.
const maxCommands = 3

// Toolstack creates and ends domains through xl, and asks the hypervisor through it.
type Toolstack struct {
	run   Runner
	store *xenstore.Client
	slots chan struct{} // one element for each command that runs
	// domains lists the domains without xl, dom0 among them, without names; nil: xl is asked.
	domains func() ([]host.Domain, error)
	free    func() (int64, error) // the free memory without xl, KiB; nil: xl is asked
	gone    time.Duration         // goneTimeout outside tests
	pause   time.Duration         // between two looks at domains that shut down
}

// NewToolstack returns a Toolstack; run is Exec outside tests.
func NewToolstack(run Runner, store *xenstore.Client) *Toolstack {
	return &Toolstack{
		run: run, store: store, slots: make(chan struct{}, maxCommands), gone: goneTimeout, pause: lookPause,
	}
}

// Direct has the Toolstack ask the hypervisor itself where that takes no xl, and returns it.
func (x *Toolstack) Direct() *Toolstack {
	x.domains, x.free = hypervisorDomains(), hypervisorFree
	return x
}

// xl runs a command of xl that is quick and returns what it printed.
func (x *Toolstack) xl(ctx context.Context, args ...string) ([]byte, error) {
	timeout := orderTimeout
	switch args[0] {
	case "list", "info":
		timeout = askTimeout
	case "destroy":
		timeout = destroyTimeout
	case "block-attach", "block-detach", "network-attach", "network-detach":
		timeout = deviceTimeout
	}
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("xl %s: %w", args[0], ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stdout, stderr, err := x.run(ctx, XL, args...)
	if err != nil {
		return nil, fmt.Errorf("xl %s: %w", args[0], programError(stderr, err))
	}
	return stdout, nil
}

// Create makes the domain that an xl configuration describes and returns when it runs. The error holds what xl
// said, without the noise. No xl process stays behind to watch the domain (-e): the guest controller does
// what on_poweroff, on_reboot and on_crash ask for.
func (x *Toolstack) Create(ctx context.Context, config string) error {
	if _, stderr, err := x.run(ctx, XL, "create", "-q", "-e", config); err != nil {
		return fmt.Errorf("create domain from %s: %w", config, programError(stderr, err))
	}
	return nil
}

// dom0Weight is dom0's share of the processors where there are too few for all, beside 256 of each guest: what
// makes, ends and connects guests must not wait for those that are busy.
const dom0Weight = 4096

// PreferDom0 gives dom0 its share of the processors, with Xen's usual scheduler.
func (x *Toolstack) PreferDom0(ctx context.Context) error {
	_, err := x.xl(ctx, "sched-credit2", "-d", "0", "-w", strconv.Itoa(dom0Weight))
	return err
}

// AllowDom0 lets dom0 have so much memory. With the hypervisor's dom0_mem it may have no more than it says.
func (x *Toolstack) AllowDom0(ctx context.Context, nowKiB, maxKiB int64) error {
	// xl knows what a domain may have by what it has noted when it made it. For dom0 it does so when it is told how
	// much dom0 has.
	if _, err := x.store.Read(ctx, "/local/domain/0/memory/static-max"); errors.Is(err, fs.ErrNotExist) {
		if _, err := x.xl(ctx, "mem-set", "0", strconv.FormatInt(nowKiB, 10)+"k"); err != nil {
			return err
		}
	}
	_, err := x.xl(ctx, "mem-max", "0", strconv.FormatInt(maxKiB, 10)+"k")
	return err
}

// Shutdown asks a domain to shut itself down: its kernel, or by the power button's event where that has no
// Xen drivers. It returns when the request is taken, not when the domain has ended. The domain is named by
// number, since xl would take a name of digits for one.
func (x *Toolstack) Shutdown(ctx context.Context, domid int) error {
	_, err := x.xl(ctx, "shutdown", "-F", strconv.Itoa(domid))
	return nameDomain(err, domid)
}

// Destroy ends a domain at once and returns when it is gone.
func (x *Toolstack) Destroy(ctx context.Context, domid int) error {
	_, failed := x.xl(ctx, "destroy", strconv.Itoa(domid))
	wait, cancel := context.WithTimeout(ctx, x.gone)
	defer cancel()
	if x.waitGone(wait, domid) == nil {
		return nil // however it came about: somebody else may have been faster
	}
	if failed == nil {
		failed = errors.New("it is still there")
	}
	return nameDomain(failed, domid)
}

func nameDomain(err error, domid int) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("domain %d: %w", domid, err)
}

// List returns the hypervisor's domains without dom0. A failure is tried again twice.
func (x *Toolstack) List(ctx context.Context) ([]host.Domain, error) { return again(ctx, x.list) }

// Look is List for whoever knows the domains by their numbers: their names may be missing.
func (x *Toolstack) Look(ctx context.Context) ([]host.Domain, error) {
	return again(ctx, x.listUnnamed)
}

// again asks xl, and where that fails twice more, a second apart.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	const tries = 3
	for try := 1; ; try++ {
		answer, err := ask(ctx)
		if err == nil || try == tries || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// Find returns the domain with that UUID, whether or not libxl and xenstore know it already or still. One that
// Xen takes down is returned only where there is no other: a domain that was destroyed stays in the list for as
// long as a backend has pages of it, and the guest's next domain may be there by then.
func (x *Toolstack) Find(ctx context.Context, uuid string) (host.Domain, bool, error) {
	domains, err := x.List(ctx)
	if err != nil {
		return host.Domain{}, false, err
	}
	var dying host.Domain
	for _, domain := range domains {
		switch {
		case domain.UUID != uuid:
		case !domain.Dying:
			return domain, true, nil
		default:
			dying = domain
		}
	}
	return dying, dying.Domid != 0, nil
}

// home is a domain's directory in xenstore.
func home(domid int) string { return "/local/domain/" + strconv.Itoa(domid) }

// listDomIDs lists the domains that have a directory in xenstore, without dom0.
func listDomIDs(ctx context.Context, store *xenstore.Client) ([]int, error) {
	names, err := store.Directory(ctx, "/local/domain")
	if err != nil {
		return nil, err
	}
	var domids []int
	for _, name := range names {
		if domid, err := strconv.Atoi(name); err == nil && domid != 0 {
			domids = append(domids, domid)
		}
	}
	return domids, nil
}

// waitGone returns when the domain is gone, with nil, or when ctx ends. A domain is gone when its name
// is out of xenstore, which libxl clears just before Xen frees the memory.
func (x *Toolstack) waitGone(ctx context.Context, domid int) error {
	// @releaseDomain is fired for domains that end without libxl, the name is removed of those it destroys.
	watcher, err := x.store.Watch(ctx, xenstore.ReleaseDomain, home(domid)+"/name")
	if err != nil {
		return fmt.Errorf("wait for domain %d: %w", domid, err)
	}
	defer watcher.Close(context.WithoutCancel(ctx))
	for {
		select {
		case _, ok := <-watcher.Events():
			if !ok {
				return fmt.Errorf("wait for domain %d: %w", domid, x.store.Err())
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for domain %d: %w", domid, ctx.Err())
		}
		_, err := x.store.Read(ctx, home(domid)+"/name")
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for domain %d: %w", domid, err)
		}
	}
}
