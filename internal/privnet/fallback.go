package privnet

import (
	"context"
	"time"
)

// Patience is how long dom0 may be without an address before its guests get a private network.
const Patience = 20 * time.Second

// Fallback gives guests on a bridge that has a NIC a private network while dom0 has no address of its own there, and
// takes it back when it has one. Guests have short leases meanwhile, and are refused more of them at the end: they
// then look for the LAN's DHCP server.
type Fallback struct {
	options  Options
	patience time.Duration
	time     leaseTime

	// From here on everything belongs to Run's goroutine.
	running *temporary // nil: there is no private network
	due     *time.Timer
}

// NewFallback returns a fallback for a bridge. The options' Prefix is not looked at: a subnet is chosen that is in
// use nowhere else.
func NewFallback(options Options) *Fallback {
	return &Fallback{options: options, patience: Patience, time: shortLease}
}

// Run follows whether dom0 has an address until ctx ends, and takes the private network down then. At first dom0 has
// none.
func (f *Fallback) Run(ctx context.Context, addressed <-chan bool) {
	f.due = time.NewTimer(f.patience)
	defer f.Stop()
	has := false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-addressed:
			if now != has {
				has = now
				f.onAddress(has)
			}
		case <-f.due.C:
			f.onDue(ctx, has)
		}
	}
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
func (f *Fallback) onDue(ctx context.Context, has bool) {
	switch {
	case has:
		f.Stop()
	case f.running == nil:
		if err := f.Start(ctx); err != nil {
			f.options.report(Event{Kind: EventProblem, Err: err})
			f.due.Reset(f.patience)
		}
	}
}

// Start makes the bridge a private network. It goes on until [Fallback.Stop]; Run calls both.
func (f *Fallback) Start(ctx context.Context) error {
	inUse, err := SubnetsInUse()
	if err != nil {
		return err
	}
	options := f.options
	if options.Prefix, err = FreeSubnet(inUse); err != nil {
		return err
	}
	f.running = startTemporary(ctx, newNetwork(options, f.time, false))
	return nil
}

// Stop ends the private network, if there is one, and waits until its address and rules are gone.
func (f *Fallback) Stop() {
	if f.running != nil {
		f.running.cancel()
		<-f.running.ended
		f.running = nil
	}
}

// temporary is a network that runs.
type temporary struct {
	network *network
	cancel  context.CancelFunc
	ended   chan struct{}
}

func startTemporary(ctx context.Context, n *network) *temporary {
	ctx, cancel := context.WithCancel(ctx)
	t := &temporary{n, cancel, make(chan struct{})}
	go func() {
		defer close(t.ended)
		n.keep(ctx)
	}()
	return t
}
