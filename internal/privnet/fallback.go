package privnet

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// Patience is how long dom0 may be without an address before its guests get a private network.
const Patience = 20 * time.Second

// Fallback gives guests on a bridge that has a NIC a private network while dom0 has no address of its own there, and
// takes it back when it has one. Guests have short leases meanwhile, and are refused more of them at the end: they
// then look for the LAN's DHCP server.
type Fallback struct {
	options  Options
	subnet   int
	patience time.Duration
	time     leaseTime

	// From here on everything belongs to Run's goroutine.
	running *temporary // nil: there is no private network
	due     *time.Timer
}

// NewFallback returns a fallback for a bridge. The options' Prefix is not looked at: a subnet is chosen that is in
// use nowhere else, from the nth of those that there are on. Each bridge of a host has another n.
func NewFallback(options Options, n int) *Fallback {
	return &Fallback{options: options, subnet: n, patience: Patience, time: shortLease}
}

// Run follows whether dom0 has an address until ctx ends or something fails, and takes the private network down then.
// At first dom0 has none.
func (f *Fallback) Run(ctx context.Context) (err error) {
	if err := f.sweep(); err != nil {
		return err
	}
	changed := watch(ctx)
	f.due = time.NewTimer(f.patience)
	defer func() { err = cmp.Or(f.stop(), err) }()
	for had := false; ; {
		has, err := hasAddress(f.options.Rules, f.options.Bridge)
		if err != nil {
			return err
		}
		if has != had {
			f.onAddress(has)
		}
		had = has
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			rest(ctx, followGap)
		case err = <-f.running.failed():
		case <-f.due.C:
			err = f.onDue(ctx, has)
		}
		if err != nil {
			return err
		}
	}
}

// sweep takes away what an earlier Run left that ended without doing so.
func (f *Fallback) sweep() error {
	private, err := f.options.Rules.Private()
	if err != nil {
		return err
	}
	left := slices.IndexFunc(private, func(p vifrules.Private) bool {
		return p.Bridge == f.options.Bridge && p.Temporary
	})
	if left < 0 {
		return nil
	}
	options := f.options
	options.Prefix = private[left].Prefix
	return newNetwork(options, f.time, false).takeDown()
}

// onAddress acts on an address that came or went.
func (f *Fallback) onAddress(has bool) {
	switch {
	case f.running == nil && has:
		f.due.Stop()
	case f.running == nil:
		f.due.Reset(f.patience)
	case has:
		f.running.network.retired.Store(true)
		f.due.Reset(f.time.length) // until when the last guest has asked for more
	default:
		f.running.network.retired.Store(false)
		f.due.Stop()
	}
}

// onDue starts the network where dom0 has waited for an address long enough, and ends it where all guests have left.
func (f *Fallback) onDue(ctx context.Context, has bool) error {
	switch {
	case has:
		return f.stop()
	case f.running == nil:
		return f.start(ctx)
	}
	return nil
}

// start makes the bridge a private network. It goes on until stop is called.
func (f *Fallback) start(ctx context.Context) error {
	inUse, err := SubnetsInUse()
	if err != nil {
		return err
	}
	options := f.options
	if options.Prefix, err = FreeSubnet(inUse, f.subnet); err != nil {
		return err
	}
	f.running = startTemporary(ctx, newNetwork(options, f.time, false))
	return nil
}

// stop ends the private network, if there is one, and returns when its address and rules are gone.
func (f *Fallback) stop() error {
	if f.running == nil {
		return nil
	}
	running := f.running
	f.running = nil
	running.cancel()
	<-running.ended
	return running.network.takeDown()
}

// temporary is a network that runs.
type temporary struct {
	network *network
	cancel  context.CancelFunc
	ended   chan error // why, where nobody has cancelled it; closed after that
}

func startTemporary(ctx context.Context, n *network) *temporary {
	ctx, cancel := context.WithCancel(ctx)
	t := &temporary{n, cancel, make(chan error, 1)}
	guarded.Go(ctx, func() {
		defer close(t.ended)
		if err := n.serve(ctx); ctx.Err() == nil {
			t.ended <- cmp.Or(err, errEnded)
		}
	})
	return t
}

var errEnded = errors.New("the private network has ended by itself")

// failed gets why the network has ended by itself; nil of no network.
func (t *temporary) failed() <-chan error {
	if t == nil {
		return nil
	}
	return t.ended
}
