package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// solicitor asks the routers of a link for advertisements, and hears those that come unasked. It listens to the port
// that leads to the routers: a guest's advertisements do not come in there.
type solicitor struct {
	port   int
	mac    net.HardwareAddr // of the interface that gets the addresses
	timing Timing
	wake   chan struct{}
	report func(State)

	// These belong to Run's goroutine.
	free  []netip.Addr // addresses that nobody else has
	taken []netip.Addr
}

// Advertised is a state: a router has spoken.
type Advertised struct {
	Advert Advert
	Taken  []netip.Addr // of the addresses that its prefixes make, those that another host has
}

// Duplicate is a state: another host has an address of this one.
type Duplicate struct {
	Address netip.Addr
	Err     error
}

func (Advertised) isState() {}
func (Duplicate) isState()  {}

// Wake makes the solicitor ask again: the link may lead to another network now.
func (s *solicitor) Wake() { notify(s.wake) }

// Run asks and listens until ctx ends.
func (s *solicitor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.listen(ctx); ctx.Err() == nil && !errors.Is(err, errWoken) {
			rest(ctx, resubscribePause) // the link is down, or has gone
		}
	}
}

// listen asks at growing intervals until somebody answers (RFC 7559), and listens on.
func (s *solicitor) listen(ctx context.Context) error {
	tap, err := openTap(s.port, unix.ETH_P_ALL, icmp6Filter(routerAdvertisement, routerAdvertisement))
	if err != nil {
		return err
	}
	defer tap.Close()
	listenToGroup(tap, allNodes)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.wake:
			cancel(errWoken)
		case <-ctx.Done():
		}
	}()
	defer context.AfterFunc(ctx, func() { tap.Close() })()
	frame, answered := make([]byte, 2000), false
	for attempt := 0; ; {
		var end time.Time
		if !answered {
			if err := tap.write(routerQuestion(s.mac)); err != nil {
				return cmpErr(context.Cause(ctx), fmt.Errorf("ask for routers: %w", err))
			}
			end = time.Now().Add(min(s.timing.FirstWait<<min(attempt, 16), s.timing.MaxWait))
			attempt++
		}
		for {
			n, err := tap.readUntil(end, frame)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return cmpErr(context.Cause(ctx), err)
			}
			if p, ok := parseFrame6(frame[:n], tap.unsummed); ok && s.hear(ctx, p) {
				answered, end = true, time.Time{}
			}
		}
	}
}

// cmpErr prefers the reason why something was ended to what came of that.
func cmpErr(cause, err error) error {
	if cause != nil {
		return cause
	}
	return err
}

// hear reports an advertisement, once it is known which of its addresses can be used.
func (s *solicitor) hear(ctx context.Context, p packet6) bool {
	advert, err := parseAdvert(p)
	if err != nil {
		return false
	}
	for _, info := range advert.Prefixes {
		address, ok := prefix{prefix: info.Prefix, autonomous: info.Autonomous && info.Valid > 0}.address(s.mac)
		if ok {
			s.claim(ctx, address.Addr())
		}
	}
	s.report(Advertised{advert, slices.Clone(s.taken)})
	return true
}

// claim finds out whether an address is free, once.
func (s *solicitor) claim(ctx context.Context, address netip.Addr) {
	if slices.Contains(s.free, address) || slices.Contains(s.taken, address) || len(s.free)+len(s.taken) >= maxHeard {
		return
	}
	err := claim6(ctx, s.port, s.mac, address, s.timing)
	if _, taken := errors.AsType[*takenError](err); taken {
		s.taken = append(s.taken, address)
		s.report(Duplicate{address, err})
	} else if err == nil {
		s.free = append(s.free, address)
	}
}

// takenError says that another host has an address.
type takenError struct{ address netip.Addr }

func (e *takenError) Error() string { return fmt.Sprintf("%s is used by another host", e.address) }

// claim6 returns a takenError if somebody on the LAN has an IPv6 address or is about to take it (RFC 4862, section
// 5.4).
// The kernel's own detection would listen to the bridge, where any guest could talk dom0 out of its addresses.
func claim6(ctx context.Context, port int, mac net.HardwareAddr, address netip.Addr, timing Timing) error {
	tap, err := openTap(port, unix.ETH_P_ALL, icmp6Filter(neighbourSolicitation, neighbourAdvert))
	if err != nil {
		return err
	}
	defer tap.Close()
	defer context.AfterFunc(ctx, func() { tap.Close() })()
	listenToGroup(tap, solicitedNode(address))
	if err := tap.write(neighbourQuestion(mac, address)); err != nil {
		return fmt.Errorf("ask for %s: %w", address, err)
	}
	frame, end := make([]byte, 2000), time.Now().Add(timing.ProbeWait6)
	for {
		n, err := tap.readUntil(end, frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("listen for %s: %w", address, err)
		}
		if n >= ethernetHeader && slices.Equal(frame[6:12], mac) {
			continue // a switch sent our question back
		}
		p, ok := parseFrame6(frame[:n], tap.unsummed)
		if !ok {
			continue
		}
		if claimed, ok := claimed6(p); ok && claimed == address {
			return &takenError{address}
		}
	}
}

// listenToGroup makes the NIC let a multicast group's frames in. As a bridge's port it hears all of them anyway.
func listenToGroup(tap *tap, group netip.Addr) {
	full := group.As16()
	request := unix.PacketMreq{Type: unix.PACKET_MR_MULTICAST, Alen: 6}
	copy(request.Address[:], append([]byte{0x33, 0x33}, full[12:]...))
	raw, err := tap.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		request.Ifindex = int32(tap.index)
		_ = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &request)
	})
}
