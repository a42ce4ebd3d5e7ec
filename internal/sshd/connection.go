package sshd

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// hurried is a connection whose client has to begin soon.
type hurried struct {
	net.Conn
	login time.Duration
	begun atomic.Bool
}

// Read gives the client, with its first bytes, the time for a login.
func (c *hurried) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.begun.CompareAndSwap(false, true) {
		_ = c.SetDeadline(time.Now().Add(c.login))
	}
	return n, err
}

// connection serves a connection from its first byte to its end.
func (s *Server) connection(ctx context.Context, conn net.Conn, w *waiter) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(s.firstByte))
	config := s.config(*s.settings.Load())
	ready, channels, requests, err := ssh.NewServerConn(&hurried{Conn: conn, login: s.login}, config)
	if had := s.gate.leave(w); err != nil || !had {
		return
	}
	from := w.from
	_ = conn.SetDeadline(time.Time{})
	s.guard.welcome(from)
	method := ready.Permissions.Extensions[methodKey]
	s.news.state(s.listening(*s.settings.Load())) // a password may be used up, or a key added
	s.news.maybe(Event{Kind: LoggedIn, From: from.String(), Method: method}, time.Now())
	if !s.gate.login() {
		s.news.maybe(Event{Kind: Crowded, From: from.String(), Count: s.limits.loggedIn}, time.Now())
		return
	}
	defer s.gate.logout()
	// Nobody is told of ports to listen at on this side, and keepalives take a refusal for an answer.
	go ssh.DiscardRequests(requests)
	s.channels(ctx, ready, channels)
}

// channels serves what a client that has logged in opens.
func (s *Server) channels(ctx context.Context, conn *ssh.ServerConn, channels <-chan ssh.NewChannel) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	room := make(chan struct{}, s.limits.channels)
	for c := range channels {
		serve := map[string]func(context.Context, *ssh.ServerConn, ssh.NewChannel){
			"session": s.session, "direct-tcpip": s.forward, "direct-streamlocal@openssh.com": s.forwardSocket,
		}[c.ChannelType()]
		if serve == nil {
			_ = c.Reject(ssh.UnknownChannelType, "only sessions and connections to guests")
			continue
		}
		select {
		case room <- struct{}{}:
		default:
			_ = c.Reject(ssh.ResourceShortage, "too many at the same time")
			continue
		}
		go func() {
			defer func() { <-room }()
			serve(ctx, conn, c)
		}()
	}
}

// endpoints are the two ends of a connection as OpenSSH's variables have them: "ADDRESS PORT ADDRESS PORT".
func endpoints(conn ssh.ConnMetadata) string {
	split := func(a net.Addr) string {
		host, port, err := net.SplitHostPort(a.String())
		if err != nil {
			return "unknown 0"
		}
		return strings.TrimPrefix(host, "::ffff:") + " " + port
	}
	return split(conn.RemoteAddr()) + " " + split(conn.LocalAddr())
}
