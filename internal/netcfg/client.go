package netcfg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// State is what a [Client] reports: [Bound], [Lost] or [NoServer].
type State interface{ isState() }

type (
	// Bound: a lease was granted, or extended; it may differ from the one before.
	Bound struct{ Lease *Lease }
	// Lost: the lease that was held must not be used any more.
	Lost struct{ Err error }
	// NoServer: another attempt to get a lease failed. A lease that is still held stays valid.
	NoServer struct {
		Err   error
		Since time.Time // when the attempts began
	}
)

func (Bound) isState()    {}
func (Lost) isState()     {}
func (NoServer) isState() {}

// requestTries is how often an offer is accepted before discovery starts again.
const requestTries = 3

var (
	errExpired = errors.New("the lease expired: no DHCP server extended it")
	errWoken   = errors.New("woken")
	errNotDue  = errors.New("nothing is due")
)

// nakError is a server's refusal (DHCPNAK).
type nakError struct {
	address net.IP
	server  net.IP // nil: it did not say
	message string // printable
}

func (e *nakError) Error() string {
	text := fmt.Sprintf("DHCP server %s refused %s", e.server, e.address)
	if e.server == nil {
		text = fmt.Sprintf("a DHCP server refused %s", e.address)
	}
	if e.message != "" {
		text += `: "` + e.message + `"`
	}
	return text
}

// ClientOptions configure a [Client].
type ClientOptions struct {
	Interface string      // that gets the address; must be up
	Port      int         // index of the link that leads to the servers: the bridge's NIC, or Interface itself
	Hostname  string      // sent to the server; may be empty
	Timing    Timing      //
	Report    func(State) // called by goroutines of Run, which wait for it to return
}

// Client keeps a DHCPv4 lease for one interface (RFC 2131). It configures nothing: whoever gets
// its reports does, and has to before the lease's T1, because a renewal is sent from the address.
type Client struct {
	options ClientOptions
	timing  Timing
	wake    chan struct{}

	// These belong to Run's goroutine.
	guard    *guard // of the address in use; nil: none is
	declined int    // addresses in a row
}

// NewClient returns a client that [Client.Run] starts.
func NewClient(options ClientOptions) *Client {
	return &Client{options: options, timing: options.Timing.orDefault(), wake: make(chan struct{}, 1)}
}

// Wake tells the client that the link may lead to another network now: it looks for a server at
// once. A lease that it holds stays valid meanwhile. Wake never blocks.
func (c *Client) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // one is pending already
	}
}

// Run gets a lease and keeps it until ctx ends, whose error it returns; no other error ends it.
// The lease is not released: a machine that starts again gets the same address.
func (c *Client) Run(ctx context.Context) error {
	defer c.relieve()
	var held *Lease
	for ctx.Err() == nil {
		held = c.acquire(ctx, held)
		if held != nil {
			held = c.keep(ctx, held)
		}
	}
	return ctx.Err()
}

// search is one run of attempts to get a lease. Its DISCOVERs share a transaction, so that the
// answer to one is still taken while the next is out: servers that first ping an address they are about to
// give need longer than the first wait.
type search struct {
	began   time.Time
	attempt int // from 0
	xid     dhcpv4.TransactionID
}

func newSearch() *search {
	s := &search{began: time.Now()}
	binary.NativeEndian.PutUint32(s.xid[:], rand.Uint32())
	return s
}

// acquire sends DISCOVERs until a lease is granted, which it reports and returns. held is the
// lease that the client has all the same; nil for none. It returns nil when ctx ends.
//
// The first DISCOVER goes out at once: RFC 2131, section 4.4.1, would have it wait 1 to 10 s.
func (c *Client) acquire(ctx context.Context, held *Lease) *Lease {
	search := newSearch()
	for {
		if id, err := c.identity(); err == nil {
			c.hearRivals(ctx, id, search.xid)
		}
		lease, err := c.attempt(ctx, search, held)
		conflict, contended := errors.AsType[*conflictError](err)
		switch {
		case err == nil:
			c.relieve() // the link may lead to another network now: the address is announced again
			c.bind(ctx, lease)
			return lease
		case ctx.Err() != nil:
			return nil
		case contended:
			held = c.concede(ctx, conflict, held)
			search = newSearch()
			continue
		case errors.Is(err, errWoken):
			search = newSearch()
			continue
		}
		if held != nil && held.Times.Left(time.Now()) == 0 {
			c.lose(errExpired)
			held = nil
		}
		c.options.Report(NoServer{err, search.began})
		search.attempt++
	}
}

// attempt is one round of the search.
func (c *Client) attempt(ctx context.Context, search *search, held *Lease) (*Lease, error) {
	wait := backoff(search.attempt, c.timing.FirstWait, c.timing.MaxWait, rand.Float64())
	var wanted netip.Addr
	if held != nil {
		wanted = held.Address.Addr()
		wait = min(wait, held.Times.Left(time.Now()))
	}
	return c.within(ctx, wait, func(ctx context.Context) (*Lease, error) {
		return c.discover(ctx, search, wanted, wait)
	})
}

// within runs do. If that fails, the rest of wait passes before its error is returned, so that
// no failure makes a busy loop. Wake cuts it short, and errWoken is the error then; so does a conflict over the
// address in use, a conflictError; so does the end of ctx.
func (c *Client) within(
	ctx context.Context, wait time.Duration, do func(context.Context) (*Lease, error),
) (*Lease, error) {
	end := time.Now().Add(wait)
	ctx, stop := c.untilInterrupted(ctx)
	lease, err := do(ctx)
	if err != nil {
		rest(ctx, time.Until(end))
	}
	interruption := stop()
	switch {
	case err == nil:
		c.interruptLater(interruption) // it came too late to cut this short
		return lease, nil
	case interruption != nil:
		return nil, interruption
	default:
		return nil, err
	}
}

// discover asks for offers for as long as wait, and accepts the first that can be used.
func (c *Client) discover(ctx context.Context, search *search, wanted netip.Addr, wait time.Duration) (*Lease, error) {
	id, err := c.identity()
	if err != nil {
		return nil, err
	}
	message, err := id.discover(wanted)
	if err != nil {
		return nil, err
	}
	message.TransactionID = search.xid
	message.NumSeconds = seconds(time.Since(search.began))
	offer, err := id.broadcast(ctx, message, wait, isOffer)
	if err != nil {
		return nil, err
	}
	request, err := id.selecting(offer, search.began)
	if err != nil {
		return nil, err
	}
	lease, err := c.request(ctx, id, request, offer)
	if err != nil {
		return nil, err
	}
	return lease, c.claim(ctx, id, lease)
}

// request accepts an offer: REQUEST until the server's verdict comes, or the tries are used up.
func (c *Client) request(ctx context.Context, id identity, request, offer *dhcpv4.DHCPv4) (*Lease, error) {
	server, _ := serverOf(offer)
	for try := range requestTries {
		wait := backoff(try, c.timing.FirstWait, c.timing.MaxWait, rand.Float64())
		answer, err := id.broadcast(ctx, request, wait, isVerdictOf(server))
		if err == nil {
			return c.verdict(answer, offer, offer.YourIPAddr)
		}
		if !errors.Is(err, errNoAnswer) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("DHCP server %s offered %s but then did not answer", server, offer.YourIPAddr)
}

// keep extends the lease as its times demand, and reports that. It returns the lease when the
// client is woken, and nil when the lease is lost, which it reports, or ctx ends.
func (c *Client) keep(ctx context.Context, held *Lease) *Lease {
	for {
		step := held.Times.At(time.Now())
		if step.Phase == PhaseExpired {
			c.lose(errExpired)
			return nil
		}
		lease, refusal, err := c.step(ctx, held, step)
		conflict, contended := errors.AsType[*conflictError](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errWoken):
			return held
		case refusal != nil:
			c.lose(refusal)
			return nil
		case contended:
			if held = c.concede(ctx, conflict, held); held == nil {
				return nil
			}
		case lease != nil:
			c.bind(ctx, lease)
			held = lease
		}
	}
}

// step does what is due, and takes as long as the step says unless a server decides or Wake is
// called first. A refusal is a server's NAK, upon which the lease must be given up at once.
func (c *Client) step(ctx context.Context, held *Lease, step Step) (lease *Lease, refusal, err error) {
	lease, err = c.within(ctx, step.Wait, func(ctx context.Context) (*Lease, error) {
		if step.Phase == PhaseBound {
			return nil, errNotDue
		}
		lease, err := c.extend(ctx, held, step)
		if _, refused := errors.AsType[*nakError](err); refused {
			refusal, err = err, nil
		}
		return lease, err
	})
	return lease, refusal, err
}

// extend asks for the lease to be extended: its own server in the renewing phase, any in the
// rebinding phase.
func (c *Client) extend(ctx context.Context, held *Lease, step Step) (*Lease, error) {
	id, err := c.identity()
	if err != nil {
		return nil, err
	}
	request, err := id.extending(held.Address.Addr())
	if err != nil {
		return nil, err
	}
	request.NumSeconds = seconds(time.Since(held.Times.Start.Add(held.Times.T1)))
	var answer *dhcpv4.DHCPv4
	if step.Phase == PhaseRenewing {
		answer, err = id.unicast(ctx, held, request, step.Wait, isVerdict)
	} else {
		answer, err = id.broadcast(ctx, request, step.Wait, isVerdict)
	}
	if err != nil {
		return nil, err
	}
	lease, err := c.verdict(answer, held.message, request.ClientIPAddr)
	if err != nil || lease.Address.Addr() == held.Address.Addr() {
		return lease, err
	}
	return lease, c.claim(ctx, id, lease)
}

// verdict makes a lease of an ACK, which may leave out what the server said earlier, or a nakError of a NAK to the
// request for address.
func (c *Client) verdict(answer, earlier *dhcpv4.DHCPv4, address net.IP) (*Lease, error) {
	if answer.MessageType() == dhcpv4.MessageTypeNak {
		return nil, &nakError{address, answer.ServerIdentifier(), printable.Line(answer.Message())}
	}
	inherit(answer, earlier)
	return ParseLease(answer, time.Now(), c.timing.Floor)
}

// identity reads the interface's MAC, which may have changed since the last exchange.
func (c *Client) identity() (identity, error) {
	link, err := net.InterfaceByName(c.options.Interface)
	if err != nil {
		return identity{}, fmt.Errorf("look up %s: %w", c.options.Interface, err)
	}
	if len(link.HardwareAddr) != 6 {
		return identity{}, fmt.Errorf("look up %s: no Ethernet address", c.options.Interface)
	}
	return identity{link.HardwareAddr, c.options.Hostname, link.Name, c.options.Port}, nil
}

// untilInterrupted derives a context that Wake or a conflict over the address in use ends. The function returned
// ends it too, and says what interrupted it: errWoken, a conflictError, or nothing. What comes later is left for the
// next context.
func (c *Client) untilInterrupted(parent context.Context) (context.Context, func() error) {
	ctx, cancel := context.WithCancel(parent)
	var conflicts <-chan *conflictError
	if c.guard != nil {
		conflicts = c.guard.conflicts
	}
	done := make(chan error, 1)
	go func() {
		var interruption error
		select {
		case <-c.wake:
			interruption = errWoken
		case interruption = <-conflicts:
		case <-ctx.Done():
		}
		cancel()
		done <- interruption
	}()
	return ctx, func() error {
		cancel()
		return <-done
	}
}

// interruptLater makes an interruption end the next context.
func (c *Client) interruptLater(interruption error) {
	conflict, contended := errors.AsType[*conflictError](interruption)
	switch {
	case contended:
		c.guard.conflicts <- conflict // its guard has ended: there is room
	case interruption != nil:
		c.Wake()
	}
}

// rest sleeps, unless ctx ends first.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
