package timesync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
)

// Options are what a Client needs.
type Options struct {
	Servers func() []string // names or addresses, "HOST" or "HOST:PORT", asked each time; none: it waits
	Wake    <-chan struct{} // the network has changed: ask at once
	Clock   Clock
	Ask     Asker       // NTP, outside tests
	Resolve Resolver    // the system's, outside tests
	Report  func(Event) // must not block

	// Grace is how long servers may be silent before that is worth a word: a network takes a moment to come up.
	Grace time.Duration
}

// Clock is this machine's clock.
type Clock interface {
	// Step adds offset to it at once.
	Step(ctx context.Context, offset time.Duration) error
	// Slew works offset off, in a time that poll, the time to the next question, is good for.
	Slew(offset, poll time.Duration) error
}

// State is what became of the clock.
type State string

// The states. Each is reported when it is news.
const (
	Set         State = "set"         // it is right, for the first time, or again after Unreachable or Disagree
	Stepped     State = "stepped"     // it was set, by Offset
	Unreachable State = "unreachable" // no server answers
	Disagree    State = "disagree"    // there is no majority
	Failed      State = "failed"      // it cannot be set
)

// Event is what became of the clock.
type Event struct {
	State  State
	Server string        // whose time it is
	Offset time.Duration // how much the clock was off
	Err    error
}

// Client sets the clock.
type Client struct {
	options    Options
	discipline discipline
	pace       pace
	reported   State
	silent     time.Time            // since when no server answers; zero: one does
	barred     map[string]time.Time // servers that want to be left alone, until when; zero: for good
}

// New returns a Client.
func New(o Options) *Client { return &Client{options: o, barred: map[string]time.Time{}} }

// Run keeps the clock right until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := c.once(ctx)
		// A tenth by chance, so that hosts that were switched on together do not ask together.
		timer := time.NewTimer(pause - pause/10 + rand.N(pause/5+1))
		select {
		case <-timer.C:
		case <-c.options.Wake:
			c.pace.retry = 0
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return ctx.Err()
}

// once asks all servers once, does what their answers ask for, and returns the pause before the next time.
func (c *Client) once(ctx context.Context) time.Duration {
	names := c.options.Servers()
	if len(names) == 0 {
		return maxRetry
	}
	samples, err := c.ask(ctx, names)
	if ctx.Err() != nil {
		return 0
	}
	if len(samples) == 0 {
		c.noAnswer(err)
		return c.pace.silent()
	}
	c.silent = time.Time{}
	best, err := Choose(samples)
	if err != nil {
		c.report(Event{State: Disagree, Err: err})
		return c.pace.silent()
	}
	return c.apply(ctx, best)
}

// noAnswer reports that no server answers, once that lasts.
func (c *Client) noAnswer(err error) {
	if c.silent.IsZero() {
		c.silent = time.Now()
	}
	if time.Since(c.silent) >= c.options.Grace {
		c.report(Event{State: Unreachable, Err: err})
	}
}

// apply brings the clock nearer to what the best server says.
func (c *Client) apply(ctx context.Context, best Sample) time.Duration {
	did := c.discipline.decide(best.Offset)
	pause := c.pace.answered(best.Offset, did)
	event := Event{State: Set, Server: best.Server, Offset: best.Offset}
	switch did {
	case wait:
		return pause
	case step:
		event.State, event.Err = Stepped, c.options.Clock.Step(ctx, best.Offset)
		c.reported = "" // every step is news
	case slew:
		event.Err = c.options.Clock.Slew(best.Offset, pause)
	}
	if event.Err != nil {
		event.State = Failed
	}
	c.report(event)
	return pause
}

// report tells what is news.
func (c *Client) report(e Event) {
	right := func(s State) bool { return s == Set || s == Stepped }
	if e.State == c.reported || right(e.State) && right(c.reported) {
		return
	}
	c.reported = e.State
	c.options.Report(e)
}

// limits of one round.
const (
	maxServers = 8
	askLimit   = 5 * time.Second
)

// kissPause is how long a server is left alone that says it is asked too often.
const kissPause = 30 * time.Minute

// ask asks all servers at the same time. The error is of one that has not answered.
func (c *Client) ask(ctx context.Context, names []string) ([]Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	servers, failure := c.resolve(ctx, names)
	type answer struct {
		server string
		sample Sample
		err    error
	}
	answers := make(chan answer, len(servers))
	for _, server := range servers {
		guarded.Go(ctx, func() {
			s, err := c.options.Ask(ctx, server)
			answers <- answer{server, s, err}
		})
	}
	var samples []Sample
	for range servers {
		var a answer
		select {
		case a = <-answers: // each has ctx's deadline
		case <-ctx.Done():
			a.err = fmt.Errorf("no answer from %s", strings.Join(names, ", "))
		}
		if a.err == nil {
			samples = append(samples, a.sample)
			continue
		}
		failure = a.err
		if kiss := (*KissError)(nil); errors.As(a.err, &kiss) {
			c.bar(a.server, kiss)
		}
	}
	slices.SortFunc(samples, func(a, b Sample) int { return strings.Compare(a.Server, b.Server) })
	return samples, failure
}

// bar has a server left alone, as it asks for (RFC 5905, section 7.4).
func (c *Client) bar(server string, kiss *KissError) {
	switch kiss.Code {
	case "DENY", "RSTR":
		c.barred[server] = time.Time{}
	default:
		c.barred[server] = time.Now().Add(kissPause)
	}
}

// maxBarred bounds how many servers are remembered: a pool has thousands.
const maxBarred = 1000

// resolve returns the addresses to ask. Of a name that has several, a pool's, all count.
func (c *Client) resolve(ctx context.Context, names []string) (servers []string, failure error) {
	if len(c.barred) > maxBarred {
		clear(c.barred)
	}
	for _, name := range names {
		addresses, err := c.options.Resolve(ctx, name)
		if err != nil {
			failure = err
		}
		for _, address := range addresses {
			until, barred := c.barred[address]
			if barred && (until.IsZero() || time.Now().Before(until)) {
				failure = &KissError{Server: address, Code: "it asks to be left alone"}
				continue
			}
			if len(servers) < maxServers && !slices.Contains(servers, address) {
				servers = append(servers, address)
			}
		}
	}
	return servers, failure
}
