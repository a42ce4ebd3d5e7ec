package netcfg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

const (
	probes        = 3 // for an address before it is taken (RFC 5227, PROBE_NUM)
	announcements = 2 // of an address that was taken (ANNOUNCE_NUM)
)

// maxConflicts is how many addresses in a row are declined at the usual pace (RFC 5227, MAX_CONFLICTS); later ones
// are asked for at slowerPace times that pause, a minute.
const (
	maxConflicts = 10
	slowerPace   = 6
)

// conflictError says that another host uses a lease's address.
type conflictError struct {
	lease *Lease
	other net.HardwareAddr
}

func (e *conflictError) Error() string {
	return fmt.Sprintf("%s is used by another host, with MAC %s", e.lease.Address.Addr(), e.other)
}

// conflictTap hears who else uses a lease's address. Like the client it listens to the port that leads to the
// servers: a guest must not be able to talk dom0 out of its address.
type conflictTap struct {
	*tap
	id    identity
	lease *Lease
}

func openConflictTap(id identity, lease *Lease) (conflictTap, error) {
	tap, err := openTap(id.port, unix.ETH_P_ALL, conflictFilter(lease.Address.Addr()))
	return conflictTap{tap, id, lease}, err
}

// probe asks who has the address.
func (t conflictTap) probe() error {
	return t.write(arpFrame(t.id.mac, netip.IPv4Unspecified(), t.lease.Address.Addr()))
}

// announce tells all hosts that this one has the address.
func (t conflictTap) announce() error {
	return t.write(arpFrame(t.id.mac, t.lease.Address.Addr(), t.lease.Address.Addr()))
}

// listen returns a conflictError when another host shows that it has the address or, with probing, that it is
// about to take it; nil at the end, which is never if it is zero.
func (t conflictTap) listen(end time.Time, probing bool) error {
	frame := make([]byte, 128)
	for {
		n, err := t.readUntil(end, frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("listen to ARP: %w", err)
		}
		packet, ok := parseARP(frame[min(n, ethernetHeader):n])
		if ok && packet.contends(t.id.mac, t.lease.Address.Addr(), probing) {
			return &conflictError{t.lease, packet.mac[:]}
		}
	}
}

// contends says whether the packet shows that another host than the one with the MAC has the address (RFC 5227,
// section 2.1.1): as its own or, while that one probes for it, in a probe of its own.
func (p arpPacket) contends(mac net.HardwareAddr, address netip.Addr, probing bool) bool {
	if bytes.Equal(p.mac[:], mac) {
		return false // a switch sent the frame back
	}
	probed := p.operation == arpRequest && p.sender.IsUnspecified() && p.target == address
	return p.sender == address || probing && probed
}

// claim returns an error unless nobody on the LAN answers for the lease's address.
func (c *Client) claim(ctx context.Context, id identity, lease *Lease) error {
	tap, err := openConflictTap(id, lease)
	if err != nil {
		return err
	}
	defer tap.Close()
	for range probes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := tap.probe(); err != nil {
			return fmt.Errorf("probe for %s: %w", lease.Address.Addr(), err)
		}
		if err := tap.listen(time.Now().Add(c.timing.ProbeWait/probes), true); err != nil {
			return err
		}
	}
	return nil
}

// guard watches over an address in use.
type guard struct {
	address   netip.Addr
	conflicts chan *conflictError // gets one, when the address cannot be held
	stop      func()
}

// startGuard announces the lease's address and then defends it, until stop is called or it cannot be held.
func (c *Client) startGuard(ctx context.Context, id identity, lease *Lease) *guard {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	g := &guard{lease.Address.Addr(), make(chan *conflictError, 1), func() { cancel(); <-done }}
	guarded.Go(ctx, func() {
		defer close(done)
		for ctx.Err() == nil {
			err := c.defend(ctx, id, lease)
			if conflict, ok := errors.AsType[*conflictError](err); ok {
				g.conflicts <- conflict
				return
			}
			rest(ctx, resubscribePause) // the NIC is down, or has gone
		}
	})
	return g
}

// defend announces the address, and again when another host claims it, unless that happens twice within
// [Timing.DefendInterval]: then the other one has it (RFC 5227, section 2.4, b).
func (c *Client) defend(ctx context.Context, id identity, lease *Lease) error {
	tap, err := openConflictTap(id, lease)
	if err != nil {
		return err
	}
	defer tap.Close()
	defer context.AfterFunc(ctx, func() { tap.Close() })()
	due := time.Now()
	var defended time.Time
	for left := announcements; ; {
		err := tap.listen(due, false)
		conflict, contended := errors.AsType[*conflictError](err)
		switch {
		case contended && !defended.IsZero() && time.Since(defended) < c.timing.DefendInterval:
			return conflict
		case contended:
			defended = time.Now()
		case err != nil:
			return err
		}
		if err := tap.announce(); err != nil {
			return fmt.Errorf("announce %s: %w", lease.Address.Addr(), err)
		}
		if left--; left > 0 {
			due = time.Now().Add(c.timing.AnnounceInterval)
		} else {
			due = time.Time{}
		}
	}
}

// bind reports a lease and guards its address.
func (c *Client) bind(ctx context.Context, lease *Lease) {
	c.options.Report(Bound{lease})
	c.declined = 0
	if c.guard != nil && c.guard.address == lease.Address.Addr() {
		return
	}
	c.relieve()
	if id, err := c.identity(); err == nil { // else the interface has just gone, and the address with it
		c.guard = c.startGuard(ctx, id, lease)
	}
}

// relieve ends the guard, if any.
func (c *Client) relieve() {
	if c.guard != nil {
		c.guard.stop()
		c.guard = nil
	}
}

// lose reports that the lease held must not be used any more.
func (c *Client) lose(err error) {
	c.relieve()
	c.options.Report(Lost{err})
}

// concede leaves an address to another host, tells the server, and lets the pause pass that RFC 2131, section 3.1.5,
// asks for. It returns the lease that is left of held.
func (c *Client) concede(ctx context.Context, conflict *conflictError, held *Lease) *Lease {
	lost := conflict.lease
	if held != nil && held.Address.Addr() == lost.Address.Addr() {
		c.lose(conflict)
		lost, held = held, nil
	}
	reason := error(conflict)
	if err := c.decline(lost); err != nil {
		reason = fmt.Errorf("%w; decline it: %w", conflict, err)
	}
	c.options.Report(NoServer{reason, time.Now()})
	pause := c.timing.DeclinePause
	if c.declined++; c.declined > maxConflicts {
		pause *= slowerPace
	}
	rest(ctx, pause)
	return held
}

// decline tells the server that another host uses the address that it gave.
func (c *Client) decline(lease *Lease) error {
	id, err := c.identity()
	if err != nil {
		return err
	}
	message, err := id.decline(lease)
	if err != nil {
		return err
	}
	return id.tell(message)
}
