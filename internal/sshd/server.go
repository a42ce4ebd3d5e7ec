package sshd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// Server serves connections.
type Server struct {
	Config
	limits
	gate    *gate
	guard   *guard
	news    *news
	hashing chan struct{} // has room for who checks a hash

	settings atomic.Pointer[settings] // for connections that come
	crowded  counter
	open     sync.WaitGroup // connections
}

func newServer(config Config, l limits) *Server {
	return &Server{
		Config: config, limits: l, gate: newGate(l), guard: newGuard(l), news: newNews(config.Tell),
		hashing: make(chan struct{}, 1),
	}
}

// Serve serves until ctx ends, and follows the options. Connections that were there before a change go on.
func Serve(ctx context.Context, config Config) error {
	return newServer(config, usualLimits).serve(ctx)
}

func (s *Server) serve(ctx context.Context) error {
	changed, err := watchDir(ctx, s.Dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.open.Wait()
	defer cancel()
	port := &port{serve: func(l net.Listener) { s.accept(ctx, l) }}
	defer port.close()
	retry, problem := time.NewTimer(0), ""
	for {
		select {
		case <-changed:
		case <-retry.C:
		case <-ctx.Done():
			return nil
		}
		if err := s.apply(port); err == nil {
			problem = ""
		} else {
			retry.Reset(listenPause)
			if problem != err.Error() {
				problem = err.Error()
				s.news.state(Event{Kind: Listening, Problem: problem})
			}
		}
	}
}

// listenPause is the time between two tries to listen.
const listenPause = 10 * time.Second

// apply reads the options and listens where they say.
func (s *Server) apply(p *port) error {
	now, err := readOptions(s.Dir)
	if err != nil {
		return err
	}
	s.settings.Store(&now)
	if err := p.listen(now); err != nil {
		return err
	}
	s.news.state(s.listening(now))
	return nil
}

// listening says where the server listens, and how one can log in.
func (s *Server) listening(now settings) Event {
	e := Event{Kind: Listening, Port: now.port}
	for _, key := range now.host {
		e.Fingerprints = append(e.Fingerprints, ssh.FingerprintSHA256(key.PublicKey()))
	}
	if len(now.keys)+len(s.ownKeys()) > 0 {
		e.Methods = append(e.Methods, Key)
	}
	if !now.hash.IsZero() {
		e.Methods = append(e.Methods, Password)
	}
	if OneTimePassword(s.Dir) != "" {
		e.Methods = append(e.Methods, OneTime)
	}
	return e
}

// port is where the server listens.
type port struct {
	serve     func(net.Listener)
	number    int
	addresses []netip.Addr
	listeners []net.Listener
}

// listen listens where the settings say, and no longer anywhere else. What it listens to already stays.
func (p *port) listen(now settings) error {
	if len(p.listeners) > 0 && p.number == now.port && slices.Equal(p.addresses, now.listen) {
		return nil
	}
	p.close()
	var errs []error
	// An address may come later, with its network.
	early := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}), err)
	}}
	early.SetMultipathTCP(false)
	for _, host := range hosts(now.listen) {
		l, err := early.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(now.port)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.listeners = append(p.listeners, l)
		go p.serve(l)
	}
	if len(errs) > 0 {
		p.close() // and again, all of it
		return errors.Join(errs...)
	}
	p.number, p.addresses = now.port, now.listen
	return nil
}

// hosts are the addresses as net.Listen takes them; "" is all of them.
func hosts(addresses []netip.Addr) []string {
	if len(addresses) == 0 {
		return []string{""}
	}
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = a.String()
	}
	return list
}

func (p *port) close() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
	p.listeners = nil
}

// acceptPause is how long a server that cannot accept connections, for want of file descriptors say, waits.
const acceptPause = 100 * time.Millisecond

// accept serves the connections of a listener until that is closed.
func (s *Server) accept(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(acceptPause)
			continue
		}
		s.admit(ctx, conn)
	}
}

// admit serves a connection, and ends one that waits for a login where there are too many.
func (s *Server) admit(ctx context.Context, conn net.Conn) {
	from := address(conn.RemoteAddr().String())
	w := &waiter{host: hostOf(from), from: from, friend: s.guard.knows(from), drop: func() { _ = conn.Close() }}
	if out := s.gate.enter(w); out != nil {
		out.drop()
		if count := s.crowded.add(); isMilestone(count) {
			s.news.maybe(Event{Kind: Crowded, From: out.from.String(), Count: count}, time.Now())
		}
		if out == w {
			return
		}
	}
	s.open.Go(func() { s.connection(ctx, conn, w) })
}

// counter counts what comes soon after each other.
type counter struct {
	mu    sync.Mutex
	count int
	last  time.Time
}

// add counts one more, or from 1 again after a quiet minute.
func (c *counter) add() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) > time.Minute {
		c.count = 0
	}
	c.last = time.Now()
	c.count++
	return c.count
}
