package guestconsole

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
)

// The keys below a domain's directory in xenstore that name the pseudo-terminals of its consoles: the one that
// xenconsoled makes, and the one that QEMU makes for the serial port of an HVM guest.
const (
	ConsoleNode = "console/tty"
	SerialNode  = "serial/0/tty"
)

// line is one console of one domain. Its goroutine reads the pseudo-terminal that the other side (xenconsoled, QEMU)
// has made, and puts the outlet's path in the place of that one's.
type line struct {
	hub    *Hub
	domid  int
	uuid   string
	node   string
	record *record

	ttys   chan string // paths of the other side's terminal, the newest; closed at the domain's end
	outlet *outlet     // nil until there was a terminal
	source *source     // nil until there was one

	input *os.File // guarded by the record
}

// source is the other side's terminal while it is read.
type source struct {
	file  *os.File
	ended chan struct{} // closed when the other side has hung up
}

// take hands the line another path. Only the hub's observer calls it.
func (l *line) take(path string) {
	select {
	case <-l.ttys:
	default:
	}
	l.ttys <- path
}

// run follows the line until its domain has ended.
func (l *line) run(ctx context.Context) {
	for path := l.next(ctx); path != ""; path = l.next(ctx) {
		if err := l.follow(ctx, path); err != nil && ctx.Err() == nil {
			l.hub.log.Debug("guest console", "domid", l.domid, "node", l.node, "err", err)
		}
	}
	l.hangUp()
	l.record.leave(l)
	if l.outlet != nil {
		l.outlet.close()
	}
}

// next waits for another path, "" at the end.
func (l *line) next(ctx context.Context) string {
	select {
	case path := <-l.ttys:
		return path
	case <-ctx.Done():
		return ""
	}
}

// errGone says that a domain or its terminal is no longer the one that was told.
var errGone = errors.New("it is another one by now")

// follow begins to read the terminal that xenstore names. Where that is our own there is nothing to do.
func (l *line) follow(ctx context.Context, path string) error {
	if l.source != nil && path == l.outlet.path {
		return nil
	}
	if l.outlet == nil {
		outlet, err := newOutlet(l.domid, l.hub.openings)
		if err != nil {
			return err
		}
		l.outlet = outlet
		guarded.Go(ctx, func() { outlet.serve(l.record) })
	}
	named, origin, err := l.lookUp(ctx)
	if err != nil {
		return err
	}
	file, err := openSlave(origin)
	if err != nil {
		return err
	}
	l.hangUp()
	l.source = &source{file: file, ended: make(chan struct{})}
	l.record.connect(l, file)
	guarded.Go(ctx, func() { l.source.read(l) })
	return l.publish(ctx, named, origin)
}

// read appends what comes from a terminal to the line's record, until it is hung up.
func (s *source) read(l *line) {
	defer close(s.ended)
	buffer := make([]byte, 4096)
	var flood flood
	for {
		n, err := s.file.Read(buffer)
		l.record.append(buffer[:n])
		if flood.note(n, time.Now()) {
			l.hub.state.Tell(host.GuestFlood{Domid: l.domid, What: host.FloodConsole, Problem: floodProblem})
		}
		if err != nil {
			return
		}
	}
}

// hangUp ends the reading of the present terminal. After its domain's end xenconsoled hangs up by itself, when it has
// passed everything on.
func (l *line) hangUp() {
	if l.source == nil {
		return
	}
	select {
	case <-l.source.ended:
	case <-time.After(lastWords):
	}
	l.record.connect(l, nil)
	l.source.file.Close()
	<-l.source.ended
	l.source = nil
}
