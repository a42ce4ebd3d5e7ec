// Package portscan finds out what answers at an address: all ports of TCP and of UDP. It takes root and Linux.
package portscan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Result is what was found.
type Result struct {
	Target string
	// Open are ports that answer: "tcp/22".
	Open []string
	// Refused are ports where nothing listens, and whose packets were not dropped on the way: the kernel says so.
	Refused []string
	Sent    int // packets
	Took    time.Duration
}

// batch is how many ports are asked until a ping has to come back. A tap device has room for 1000 packets, and dom0
// answers 20 pings of a guest's in a second.
const batch = 448

// settle is how long nothing has to be heard after the last packet.
const settle = 2 * time.Second

// scanner is one scan. What is heard comes through heard.
type scanner struct {
	from, to  netip.Addr
	port, id  uint16
	tcp, icmp *net.IPConn
	udp       *net.UDPConn
	heard     chan event
	result    *Result
	found     map[string]bool // by port: it is open
}

// event is something that came back.
type event struct {
	port string // "" of a ping
	open bool
	ping uint16
}

// Scan asks every port once, in batches that nothing on the way has to drop. An address that is link-local has a zone.
func Scan(ctx context.Context, target netip.Addr) (*Result, error) {
	s := &scanner{
		to: target, id: uint16(time.Now().UnixNano()), heard: make(chan event, 1024),
		result: &Result{Target: target.String()}, found: map[string]bool{},
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("scan %s: %w", target, err)
	}
	defer s.close()
	go listen(s.tcp, s.hearTCP)
	go listen(s.icmp, s.hearICMP)
	go listen(s.udp, s.hearUDP)
	start := time.Now()
	if err := s.ask(ctx); err != nil {
		return nil, fmt.Errorf("scan %s: %w", target, err)
	}
	for s.wait(ctx, settle, func(e event) bool { return e.port != "" }) {
	}
	for _, port := range slices.Sorted(maps.Keys(s.found)) {
		list := &s.result.Refused
		if s.found[port] {
			list = &s.result.Open
		}
		*list = append(*list, port)
	}
	s.result.Took = time.Since(start)
	return s.result, nil
}

// open opens the sockets. The kernel knows from which address it would send.
func (s *scanner) open() error {
	route, err := net.Dial("udp", netip.AddrPortFrom(s.to, 9).String())
	if err != nil {
		return err
	}
	s.from = route.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	_ = route.Close()
	tcp, icmp := "ip4:tcp", "ip4:icmp"
	if s.to.Is6() {
		tcp, icmp = "ip6:tcp", "ip6:ipv6-icmp"
	}
	own := &net.IPAddr{IP: s.from.AsSlice(), Zone: s.from.Zone()}
	var errs [3]error
	s.tcp, errs[0] = net.ListenIP(tcp, own)
	s.icmp, errs[1] = net.ListenIP(icmp, own)
	s.udp, errs[2] = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.from, 0)))
	if err := errors.Join(errs[:]...); err != nil {
		s.close()
		return err
	}
	s.port = s.udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return nil
}

func (s *scanner) close() {
	for _, c := range []*net.IPConn{s.tcp, s.icmp} {
		if c != nil {
			_ = c.Close()
		}
	}
	if s.udp != nil {
		_ = s.udp.Close()
	}
}

// listen calls hear for each packet until the connection is closed.
func listen(c net.PacketConn, hear func(packet []byte, from net.Addr)) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			hear(buffer[:n], from)
		}
	}
}

func (s *scanner) hearTCP(packet []byte, from net.Addr) {
	if port, open, ok := answer(packet, s.port); ok && s.fromTarget(from) {
		s.heard <- event{port: fmt.Sprintf("tcp/%d", port), open: open}
	}
}

func (s *scanner) hearUDP(_ []byte, from net.Addr) {
	if at := from.(*net.UDPAddr).AddrPort(); at.Addr().Unmap() == s.to {
		s.heard <- event{port: fmt.Sprintf("udp/%d", at.Port()), open: true}
	}
}

func (s *scanner) hearICMP(packet []byte, from net.Addr) {
	if !s.fromTarget(from) {
		return
	}
	if number, ok := pong(packet, s.to.Is6(), s.id); ok {
		s.heard <- event{ping: number}
	} else if port, ok := refusal(packet, s.to.Is6()); ok {
		s.heard <- event{port: fmt.Sprintf("udp/%d", port)}
	}
}

func (s *scanner) fromTarget(from net.Addr) bool {
	address, ok := netip.AddrFromSlice(from.(*net.IPAddr).IP)
	return ok && address.Unmap() == s.to.WithZone("")
}

// ask asks every port.
func (s *scanner) ask(ctx context.Context) error {
	to := &net.IPAddr{IP: s.to.AsSlice(), Zone: s.to.Zone()}
	if err := s.pace(ctx, to, 0); err != nil { // few packets may wait for the target's MAC, and no batch of them
		return err
	}
	for port := 1; port <= 65535; port++ {
		at := netip.AddrPortFrom(s.to, uint16(port))
		_, err := s.tcp.WriteTo(syn(netip.AddrPortFrom(s.from.WithZone(""), s.port),
			netip.AddrPortFrom(s.to.WithZone(""), uint16(port))), to)
		if err == nil {
			_, err = s.udp.WriteToUDPAddrPort(question(uint16(port)), at)
		}
		if err != nil {
			return err
		}
		s.result.Sent += 2
		if port%batch == 0 || port == 65535 {
			if err := s.pace(ctx, to, uint16(port/batch)); err != nil {
				return err
			}
		}
	}
	return nil
}

// pace waits for an answer to a ping, which stood in line behind everything else.
func (s *scanner) pace(ctx context.Context, to net.Addr, number uint16) error {
	for range 100 {
		if _, err := s.icmp.WriteTo(ping(s.to.Is6(), s.id, number), to); err != nil {
			return err
		}
		if s.wait(ctx, 200*time.Millisecond, func(e event) bool { return e.port == "" && e.ping == number }) {
			return nil
		}
	}
	return errors.Join(errors.New("it does not answer pings"), ctx.Err())
}

// wait takes what is heard until it is what is waited for, or the time is over.
func (s *scanner) wait(ctx context.Context, limit time.Duration, last func(event) bool) bool {
	over := time.After(limit)
	for {
		select {
		case e := <-s.heard:
			if e.port != "" {
				s.found[e.port] = e.open || s.found[e.port]
			}
			if last(e) {
				return true
			}
		case <-over:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
