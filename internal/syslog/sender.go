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
	reached bool // the server was reached once
}

// New returns a Sender that begins with the first line which the log still has.
func New(o Options) *Sender {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.Every, time.Second}, {&o.DialTimeout, 10 * time.Second}, {&o.SendTimeout, 20 * time.Second},
		{&o.MinPause, time.Second}, {&o.MaxPause, time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if o.Level == 0 {
		o.Level = logs.Info
	}
	return &Sender{options: o, reader: logs.NewReader(o.Dir), pause: o.MinPause}
}

// Run sends until ctx ends. It returns ctx's error.
func (s *Sender) Run(ctx context.Context) error {
	defer s.reader.Close()
	s.began = time.Now()
	var told string
	for ctx.Err() == nil {
		err := s.connected(ctx, &told)
		if ctx.Err() != nil {
			break
		}
		early := !s.reached && time.Since(s.began) < s.options.Grace
		if text := err.Error(); text != told && !early { // each reason once
			told = text
			s.options.Report(State{Err: err})
		}
		// Half of it by chance, so that a hundred hosts do not come back to a server at the same time.
		select {
		case <-time.After(s.pause/2 + rand.N(s.pause/2+1)):
		case <-ctx.Done():
		}
		s.pause = min(2*s.pause, s.options.MaxPause)
	}
	return ctx.Err()
}

// connected connects and sends until something fails.
func (s *Sender) connected(ctx context.Context, told *string) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", s.options.Target, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	ended := s.watch(conn)
	first := true
	for {
		if err := s.read(); err != nil {
			return err
		}
		if err := s.send(conn); err != nil {
			return fmt.Errorf("send to %s: %w", s.options.Target, err)
		}
		if first || s.lost > 0 {
			s.options.Report(State{Connected: true, Lost: s.lost})
			s.reached = true
			*told, first, s.lost, s.pause = "", false, 0, s.options.MinPause
		}
		select {
		case <-time.After(s.options.Every):
		case err := <-ended:
			return fmt.Errorf("%s closed the connection: %w", s.options.Target, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
