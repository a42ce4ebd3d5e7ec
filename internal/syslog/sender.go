package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/zerodisc/zerodisc/internal/logs"
)

// Options are what a Sender needs. The zero value of a duration takes the default named.
type Options struct {
	Target   Target
	Dir      string            // of the log's files
	Level    logs.Level        // the least urgent level that is sent; 0 means logs.Info
	Hostname func() string     // asked for each batch: a DHCP server may give the host its name
	Clock    func() Clock      // asked for each batch
	Report   func(state State) // called when the server is reached, and when it is not; must not block

	// Roots are the authorities that may sign a TLS server's certificate. Asked with the first connection: they take
	// memory.
	Roots func() *x509.CertPool

	// Grace is how long a server may be out of reach at first before that is worth a word, and how long lines wait for
	// the clock to be known, so that they have a time.
	Grace time.Duration

	Every       time.Duration // between two looks at the log; 1 s
	DialTimeout time.Duration // 10 s
	SendTimeout time.Duration // for a batch; 20 s
	MinPause    time.Duration // between two attempts; doubled for each; 1 s
	MaxPause    time.Duration // 1 min
	Steady      time.Duration // a connection that lasts so long is a good one; 30 s
}

// State is how a sender stands.
type State struct {
	Connected bool
	Lost      uint64 // lines that the server missed since the last report
	Err       error  // why it is not connected
}

// Sender sends the log to one server.
type Sender struct {
	options Options
	reader  *logs.Reader
	waiting []logs.Entry // read, and not sent yet
	lost    uint64       // since the last report
	pause   time.Duration
	began   time.Time

	reached bool            // the server was reached once
	up      bool            // what was reported last
	told    map[string]bool // reasons for which it was not connected, since the last good connection
	flaps   bool            // the last connection was none of the good ones
}

// maxTold is how many reasons for one outage are worth a line.
const maxTold = 5

// New returns a Sender that begins with the first line which the log still has.
func New(o Options) *Sender {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.Every, time.Second}, {&o.DialTimeout, 10 * time.Second}, {&o.SendTimeout, 20 * time.Second},
		{&o.MinPause, time.Second}, {&o.MaxPause, time.Minute}, {&o.Steady, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if o.Level == 0 {
		o.Level = logs.Info
	}
	return &Sender{options: o, reader: logs.NewReader(o.Dir), pause: o.MinPause, told: map[string]bool{}}
}

// Run sends until ctx ends. It returns ctx's error.
func (s *Sender) Run(ctx context.Context) error {
	defer s.reader.Close()
	s.began = time.Now()
	for ctx.Err() == nil {
		err := s.connected(ctx)
		if ctx.Err() != nil {
			break
		}
		s.failed(err)
		// Half of it by chance, so that a hundred hosts do not come back to a server at the same time.
		select {
		case <-time.After(s.pause/2 + rand.N(s.pause/2+1)):
		case <-ctx.Done():
		}
		s.pause = min(2*s.pause, s.options.MaxPause)
	}
	return ctx.Err()
}

// failed reports why there is no connection: each reason once, and not those of a network that comes up.
func (s *Sender) failed(err error) {
	text := err.Error()
	early := !s.reached && time.Since(s.began) < s.options.Grace
	if early || !s.up && (s.told[text] || len(s.told) >= maxTold) {
		return
	}
	s.up, s.told[text] = false, true
	s.options.Report(State{Err: err})
}

// works notes that a connection is there since then, and reports it: at once, unless the last one was closed again
// soon. Only with one that lasts does everything count as new.
func (s *Sender) works(since time.Time) {
	steady := time.Since(since) >= s.options.Steady
	if steady {
		s.pause, s.flaps = s.options.MinPause, false
		clear(s.told)
	}
	if s.flaps || s.up && s.lost == 0 {
		return
	}
	s.options.Report(State{Connected: true, Lost: s.lost})
	s.reached, s.up, s.lost = true, true, 0
}

// connected connects and sends until something fails.
func (s *Sender) connected(ctx context.Context) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.options.Target, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	ended := s.watch(conn)
	since := time.Now()
	defer func() { s.flaps = time.Since(since) < s.options.Steady }()
	for {
		if err := s.read(); err != nil {
			return err
		}
		if err := s.send(conn); err != nil {
			return fmt.Errorf("send to %s: %w", s.options.Target, reason(err))
		}
		s.works(since)
		select {
		case <-time.After(s.options.Every):
		case err := <-ended:
			return fmt.Errorf("%s closed the connection: %w", s.options.Target, reason(err))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reason is an error without this end's port, which is another one each time.
func reason(err error) error {
	if of := (*net.OpError)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}

// dial connects to the server.
func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.DialTimeout)
	defer cancel()
	t := s.options.Target
	if t.Protocol != "tls" {
		return (&net.Dialer{}).DialContext(ctx, t.Protocol, t.Address())
	}
	config := tls.Config{ServerName: t.Host, RootCAs: s.options.Roots(), MinVersion: tls.VersionTLS12}
	dialer := tls.Dialer{Config: &config}
	return dialer.DialContext(ctx, "tcp", t.Address())
}

// watch reads what a server has no reason to say: its end is how one notices that the server has gone before the next
// message is lost. A datagram's refusal comes with the next write.
func (s *Sender) watch(conn net.Conn) <-chan error {
	ended := make(chan error, 1)
	if s.options.Target.Protocol == "udp" {
		return ended
	}
	go func() {
		buffer := make([]byte, 512)
		for {
			if _, err := conn.Read(buffer); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// maxWaiting bounds what is read and not sent. The log's files have more.
const maxWaiting = 5000

// read reads what is new in the log.
func (s *Sender) read() error {
	if len(s.waiting) > 0 {
		return nil
	}
	entries, lost, err := s.reader.Read()
	if err != nil {
		return err
	}
	s.lost += lost
	if more := len(entries) - maxWaiting; more > 0 {
		s.lost += uint64(more)
		entries = entries[more:]
	}
	s.waiting = logs.Filter{Level: &s.options.Level}.Select(entries, -1)
	return nil
}

// send sends what waits. What was sent is not sent again; of a stream that breaks the last messages may be lost, and
// nobody can know.
func (s *Sender) send(conn net.Conn) error {
	if len(s.waiting) == 0 {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(s.options.SendTimeout)); err != nil {
		return err
	}
	hostname, clock, protocol := s.options.Hostname(), s.options.Clock(), s.options.Target.Protocol
	if !clock.Known && time.Since(s.began) < s.options.Grace {
		return nil
	}
	refused := false
	for len(s.waiting) > 0 {
		_, err := conn.Write(frame(protocol, Format(s.waiting[0], hostname, clock)))
		if protocol == "udp" && err != nil && !refused && !errors.Is(err, net.ErrClosed) {
			refused = true // it is about an earlier one
			continue
		}
		if err != nil {
			return err
		}
		s.waiting = s.waiting[1:]
	}
	s.waiting = nil
	return nil
}
