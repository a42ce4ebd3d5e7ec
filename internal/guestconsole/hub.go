// Package guestconsole keeps what guests say on their consoles and lets any number of readers have it.
//
// xenconsoled copies a domain's console to a pseudo-terminal and writes its path into xenstore, where `xl console`
// finds it. What one reader of that terminal reads no other one gets. So the hub is its only reader: it appends what
// comes to a ring for each guest, from which sessions read, each at its own pace. `xl console` gets a pseudo-terminal
// of its own, whose path the hub puts into the other's place in xenstore. xenconsoled stays, because somebody must
// empty the ring that a domain shares with dom0 even when this process has crashed: Linux waits for that in the
// middle of a kernel message.
package guestconsole

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// Hub has the consoles of all guests. What it keeps of a guest, by UUID, outlasts the guest's domains, and goes when
// the state forgets the guest.
type Hub struct {
	ctx      context.Context
	store    *xenstore.Client
	state    *host.State
	log      *slog.Logger
	openings *openings

	mu      sync.Mutex // guards what follows
	records map[string]*record
	lines   map[place]*line
}

// place is where a line belongs in xenstore.
type place struct {
	domid int
	node  string
}

// New returns a hub that works until ctx ends. Its log gets what is for debugging.
func New(ctx context.Context, store *xenstore.Client, state *host.State, log *slog.Logger) (*Hub, error) {
	openings, err := newOpenings()
	if err != nil {
		return nil, fmt.Errorf("guests' consoles: %w", err)
	}
	context.AfterFunc(ctx, openings.close)
	h := &Hub{
		ctx: ctx, store: store, state: state, log: log, openings: openings,
		records: map[string]*record{}, lines: map[place]*line{},
	}
	go h.followState()
	return h, nil
}

// Console takes in that xenstore names a pseudo-terminal for a console of a domain, or, with an empty path, that the
// domain is gone. One goroutine calls it, xen.Observer's.
func (h *Hub) Console(domid int, uuid, node, path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := place{domid, node}
	l := h.lines[at]
	switch {
	case path == "" && l != nil:
		delete(h.lines, at)
		close(l.ttys)
	case path != "" && l == nil:
		l = &line{hub: h, domid: domid, uuid: uuid, node: node, record: h.record(uuid), ttys: make(chan string, 1)}
		h.lines[at] = l
		l.record.begin(l)
		guarded.Go(h.ctx, func() { l.run(h.ctx) })
		fallthrough
	case path != "":
		l.take(path)
	}
}

// record returns the record of a guest, which is made where there is none. The caller holds mu.
func (h *Hub) record(uuid string) *record {
	r := h.records[uuid]
	if r == nil {
		r = &record{}
		h.records[uuid] = r
	}
	return r
}

// Log returns what is kept of what a guest has said, and the number of its first byte in all that it ever said.
func (h *Hub) Log(uuid string) (text []byte, start int64) {
	if r := h.existing(uuid); r != nil {
		return r.text()
	}
	return nil, 0
}

// Domains returns the domains that a guest has had, the newest last, and from which byte on each of them spoke.
func (h *Hub) Domains(uuid string) []Domain {
	r := h.existing(uuid)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.domains)
}

func (h *Hub) existing(uuid string) *record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records[uuid]
}

// Open opens a session at byte number from of all that a guest ever said, or at the oldest one that is kept; FromNow
// is after the newest. The guest need not run. ErrNoGuest says that the host does not know it.
func (h *Hub) Open(uuid string, from int64) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.records[uuid] == nil && h.state.Snapshot().ByUUID(uuid) == nil {
		return nil, ErrNoGuest
	}
	return newSession(h.record(uuid), from), nil
}

// followState forgets guests that the state has forgotten.
func (h *Hub) followState() {
	updates := h.state.Subscribe(h.ctx)
	for {
		select {
		case <-updates:
			h.forget(h.state.Snapshot()) // the newest: a domain that was told since may be this guest's
		case <-h.ctx.Done():
			return
		}
	}
}

// maxSilent is how many guests without a domain keep what they have said: the host may know a hundred.
const maxSilent = 20

// forget drops what guests have said that s does not have, and what guests said whose domains ended long ago.
func (h *Hub) forget(s *host.Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	type silence struct {
		record *record
		since  time.Time
	}
	var silent []silence
	for uuid, r := range h.records {
		since, quiet := r.quiet()
		switch {
		case quiet && s.ByUUID(uuid) == nil:
			delete(h.records, uuid)
			r.drop()
		case quiet:
			silent = append(silent, silence{r, since})
		}
	}
	slices.SortFunc(silent, func(a, b silence) int { return b.since.Compare(a.since) })
	for _, old := range silent[min(len(silent), maxSilent):] {
		old.record.empty()
	}
}
