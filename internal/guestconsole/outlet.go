package guestconsole

import (
	"io"
	"os"
	"time"
)

// outlet is the pseudo-terminal for `xl console`. While nobody has it open nothing is written to it.
type outlet struct {
	domid  int
	master *os.File
	path   string // of the slave
	opened <-chan struct{}
	forget func()
	done   chan struct{} // closed when the domain has ended
	ended  chan struct{} // closed when serve has returned
}

func newOutlet(domid int, o *openings) (*outlet, error) {
	master, path, err := openPTY()
	if err != nil {
		return nil, err
	}
	opened, forget, err := o.add(path)
	if err != nil {
		master.Close()
		return nil, err
	}
	return &outlet{
		domid: domid, master: master, path: path, opened: opened, forget: forget,
		done: make(chan struct{}), ended: make(chan struct{}),
	}, nil
}

// serve serves those who open the slave, one after the other.
func (o *outlet) serve(r *record) {
	defer close(o.ended)
	for {
		select {
		case <-o.opened:
		case <-o.done:
			return
		}
		if isOpen(o.master) { // else it was opened for a moment, by flush
			o.attend(r)
		}
	}
}

// attend shows the last screenful of the domain and all that follows, and types what is typed, until nobody has the
// slave open.
func (o *outlet) attend(r *record) {
	session := newSession(r, r.lastScreen(o.domid))
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(onlyWriter{o.master}, onlyReader{session}) // ends with EIO, or with the session
	}()
	typed := make([]byte, 256)
	for {
		n, err := o.master.Read(typed)
		_, _ = session.Write(typed[:n]) // a guest that does not read loses what is typed, as on a serial line
		if err != nil {
			break
		}
	}
	session.Close()
	<-shown
	_ = flush(o.path) // the next one is not to see what this one has not read
}

// onlyWriter and onlyReader hide that a file can copy by itself, which takes a pipe and a goroutine more.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// lastWords is how long a terminal is kept after its domain's end, for what was said last.
const lastWords = time.Second

// close ends serve once whoever reads has had time for the last words.
func (o *outlet) close() {
	close(o.done)
	select {
	case <-o.ended:
	case <-time.After(lastWords):
	}
	o.master.Close()
	<-o.ended
	o.forget()
}
