package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zerodisc/zerodisc/internal/host"
)

// dialLimit is how long a guest has to take a connection.
const dialLimit = 10 * time.Second

// directTCPIP is RFC 4254, 7.2.
type directTCPIP struct {
	Host       string
	Port       uint32
	Origin     string
	OriginPort uint32
}

// directStreamLocal is OpenSSH's extension of it, direct-streamlocal@openssh.com (PROTOCOL, 2.4).
type directStreamLocal struct {
	Path         string
	Reserved     string
	ReservedPort uint32
}

// stream is a connection whose two directions end each for itself.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// forward serves a connection from the client's side to a guest, as ssh -L and -D ask for.
func (s *Server) forward(ctx context.Context, _ *ssh.ServerConn, c ssh.NewChannel) {
	s.connect(ctx, c, s.dialGuest)
}

// forwardSocket serves a connection from the client's side to one of dom0's sockets.
func (s *Server) forwardSocket(ctx context.Context, _ *ssh.ServerConn, c ssh.NewChannel) {
	s.connect(ctx, c, s.dialSocket)
}

// connect connects a channel with what dial reaches.
func (s *Server) connect(
	ctx context.Context, c ssh.NewChannel, dial func(context.Context, []byte) (stream, error),
) {
	far, err := dial(ctx, c.ExtraData())
	if err != nil {
		_ = c.Reject(ssh.Prohibited, err.Error())
		return
	}
	defer far.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(requests)
	defer context.AfterFunc(ctx, func() { _ = far.Close() })()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(far, channel)
		_ = far.CloseWrite()
	}()
	_, _ = io.Copy(channel, far)
	_ = channel.CloseWrite()
	<-sent
}

// dialSocket connects to the socket that a client names, if it is one of those that are meant for that.
func (s *Server) dialSocket(ctx context.Context, payload []byte) (stream, error) {
	var to directStreamLocal
	if err := ssh.Unmarshal(payload, &to); err != nil {
		return nil, err
	}
	if !slices.Contains(s.Sockets, to.Path) {
		return nil, fmt.Errorf("of sockets connections go to %s only", strings.Join(s.Sockets, ", "))
	}
	return dial(ctx, "unix", to.Path)
}

// dial connects by a network whose connections are streams.
func dial(ctx context.Context, network, address string) (stream, error) {
	dialer := net.Dialer{Timeout: dialLimit}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn.(stream), nil // as those of TCP and of unix sockets are
}

// dialGuest connects to the guest that a client names, by name or address.
func (s *Server) dialGuest(ctx context.Context, payload []byte) (stream, error) {
	var to directTCPIP
	if err := ssh.Unmarshal(payload, &to); err != nil {
		return nil, err
	}
	if to.Port == 0 || to.Port > 65535 {
		return nil, fmt.Errorf("port %d: want 1 to 65535", to.Port)
	}
	snapshot, err := s.Guests()
	if err != nil {
		return nil, err
	}
	own, err := ownAddresses()
	if err != nil {
		return nil, err
	}
	guest, err := findGuest(snapshot.Guests, to.Host, own)
	if err != nil {
		return nil, err
	}
	return dial(ctx, "tcp", net.JoinHostPort(guest.String(), strconv.Itoa(int(to.Port))))
}

// findGuest is the address of the guest with that name or address. A guest's word for its address is no way to dom0's
// own services, nor to anything that is no host.
func findGuest(guests []host.Guest, wanted string, own []netip.Prefix) (netip.Addr, error) {
	address, _ := netip.ParseAddr(wanted)
	var known []string
	for i := range guests {
		g := &guests[i]
		at := g.Address().Unmap()
		if g.Phase != host.Running || !at.IsValid() || isOwn(at, own) || !at.IsGlobalUnicast() {
			continue
		}
		if g.Name == wanted || at == address.Unmap() {
			return at, nil
		}
		known = append(known, g.Name+" "+at.String())
	}
	if len(known) == 0 {
		return netip.Addr{}, errors.New("connections go to guests only, and none has an address")
	}
	const shown = 8
	list := strings.Join(known[:min(len(known), shown)], ", ")
	return netip.Addr{}, fmt.Errorf("connections go to guests only: %s", list)
}

func isOwn(a netip.Addr, own []netip.Prefix) bool {
	return slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr().Unmap() == a })
}

// ownAddresses are dom0's.
func ownAddresses() ([]netip.Prefix, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Prefix
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p)
		}
	}
	return own, nil
}
