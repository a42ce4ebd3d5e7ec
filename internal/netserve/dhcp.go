package netserve

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"golang.org/x/sync/errgroup"

	"github.com/zerodisc/zerodisc/internal/dhcpwire"
)

// dhcpServer answers DHCP clients. Everything it remembers belongs to the goroutine of run.
type dhcpServer struct {
	site    site
	pool    *pool // nil: proxy DHCP only
	waiting patience
	rival   netip.Addr // another server that gave an address to a client here; not valid: none was seen
	events  *reporter
}

func newDHCPServer(here site, pool *pool, events *reporter) *dhcpServer {
	return &dhcpServer{site: here, pool: pool, waiting: patience{}, events: events}
}

// incoming is a message as it came in.
type incoming struct {
	*dhcpv4.DHCPv4
	conn *net.UDPConn
	port int            // portDHCP or portProxy
	from netip.AddrPort // the address is the broadcast address if the client had none
}

// run answers what comes in on the two sockets until they are closed.
func (d *dhcpServer) run(ctx context.Context, dhcp, proxy *net.UDPConn) error {
	requests := make(chan incoming)
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { dhcp.Close(); proxy.Close() }) // one without the other is of no use
	defer stop()
	for port, conn := range map[int]*net.UDPConn{portDHCP: dhcp, portProxy: proxy} {
		server, err := server4.NewServer("", nil, passTo(ctx, requests, conn, port), server4.WithConn(conn))
		if err != nil {
			return err
		}
		group.Go(server.Serve)
	}
	group.Go(func() error {
		for {
			select {
			case r := <-requests:
				d.handle(r)
			case <-ctx.Done():
				return nil
			}
		}
	})
	return group.Wait()
}

// passTo returns a handler that hands messages over to the channel.
func passTo(ctx context.Context, requests chan<- incoming, conn *net.UDPConn, port int) server4.Handler {
	return func(_ net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
		from := peer.(*net.UDPAddr).AddrPort()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		select {
		case requests <- incoming{m, conn, port, from}:
		case <-ctx.Done():
		}
	}
}

// handle answers one message and says so.
func (d *dhcpServer) handle(r incoming) {
	now := time.Now()
	client := r.ClientHWAddr.String()
	answer := d.decide(r.DHCPv4, r.port, now)
	if answer.reply != nil {
		to := destination(r, answer.reply)
		if err := sendFrom(r.conn, d.site.address.Addr(), to, answer.reply.ToBytes()); err != nil {
			d.events.event(client, "DHCP", "not answered: %v", err)
			return
		}
	}
	if answer.note != "" {
		d.events.event(client, "DHCP", "%s", answer.note)
	}
	if d.seesRival(r.DHCPv4) {
		d.events.event(client, "DHCP",
			"has an address from the DHCP server %s: serve without a range, or stop that", d.rival)
	}
	if d.pool == nil && d.waiting.isOver(r.DHCPv4, now) {
		d.events.event(client, "DHCP",
			"still asks: no DHCP server seems to give it an address; give a -range if there is none here")
	}
}

// destination says where a reply goes: to a boot client's second question, back to where that came from.
func destination(r incoming, reply *dhcpv4.DHCPv4) netip.AddrPort {
	if r.port == portProxy {
		return r.from
	}
	return dhcpwire.Destination(r.DHCPv4, reply)
}

// decision is what becomes of a message.
type decision struct {
	reply *dhcpv4.DHCPv4 // nil: none
	note  string         // for the terminal; "": nothing to say
}

// decide makes a decision of a message that came in on a port. What it changes is the pool only.
func (d *dhcpServer) decide(m *dhcpv4.DHCPv4, port int, now time.Time) decision {
	if !d.site.isForUs(m) {
		return decision{}
	}
	boot, isBoot := identify(m)
	kind := m.MessageType()
	switch {
	case port == portProxy && isBoot && kind == dhcpv4.MessageTypeRequest:
		return d.proxy(m, boot, dhcpv4.MessageTypeAck)
	case port == portProxy:
		return decision{}
	case d.pool != nil && isBoot:
		return d.lease(m, &boot, now)
	case d.pool != nil:
		return d.lease(m, nil, now)
	case isBoot && kind == dhcpv4.MessageTypeDiscover:
		return d.proxy(m, boot, dhcpv4.MessageTypeOffer)
	}
	return decision{}
}

// seesRival says whether a message shows that another DHCP server gives addresses here too, once for each server in a
// row. It may have appeared after the search for one (aloneOn), when somebody plugged in its cable for example.
func (d *dhcpServer) seesRival(m *dhcpv4.DHCPv4) bool {
	chosen := dhcpwire.ToAddr(m.ServerIdentifier())
	isOther := m.MessageType() == dhcpv4.MessageTypeRequest && !d.site.isOursOrNone(m.ServerIdentifier())
	if d.pool == nil || !isOther || chosen == d.rival {
		return false
	}
	d.rival = chosen
	return true
}

// proxy tells a boot client what to load.
func (d *dhcpServer) proxy(m *dhcpv4.DHCPv4, boot client, kind dhcpv4.MessageType) decision {
	reply := d.site.proxyReply(m, boot, kind)
	if reply == nil {
		return decision{note: boot.String() + " asks: nothing for it in this tree"}
	}
	return decision{reply, boot.String() + " asks: told to load " + reply.BootFileName}
}

// lease is the server's part of RFC 2131, section 4.3.
func (d *dhcpServer) lease(m *dhcpv4.DHCPv4, boot *client, now time.Time) decision {
	owner := hardware(m.ClientHWAddr)
	wanted := dhcpwire.ToAddr(m.RequestedIPAddress())
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return d.offer(m, boot, wanted, now)
	case dhcpv4.MessageTypeRequest:
		return d.grant(m, boot, now)
	case dhcpv4.MessageTypeRelease:
		d.pool.release(owner, dhcpwire.ToAddr(m.ClientIPAddr))
	case dhcpv4.MessageTypeDecline:
		d.pool.decline(owner, wanted, now)
		return decision{note: "says that " + wanted.String() + " is somebody else's"}
	}
	return decision{}
}

func (d *dhcpServer) offer(m *dhcpv4.DHCPv4, boot *client, wanted netip.Addr, now time.Time) decision {
	address, ok := d.pool.offer(hardware(m.ClientHWAddr), wanted, now)
	if !ok {
		return decision{note: "asks for an address: all of " + d.pool.String() + " are in use"}
	}
	reply := d.site.leaseReply(m, boot, dhcpv4.MessageTypeOffer, address)
	return decision{reply: reply} // the grant that follows is what gets a line
}

func (d *dhcpServer) grant(m *dhcpv4.DHCPv4, boot *client, now time.Time) decision {
	owner, state := hardware(m.ClientHWAddr), dhcpwire.StateOf(m)
	address := dhcpwire.Wanted(m)
	claim := d.judge(owner, address, state)
	if claim == foreign {
		return decision{note: "asks for " + address.String() + ": not answered, it was not given from here"}
	}
	if claim == wrong || !d.pool.grant(owner, address, now) {
		note := "asks for " + address.String() + ": refused, it is not free here"
		return decision{d.site.reply(m, dhcpv4.MessageTypeNak), note}
	}
	reply := d.site.leaseReply(m, boot, dhcpv4.MessageTypeAck, address)
	note := "leased " + address.String()
	switch {
	case boot != nil && reply.BootFileName != "":
		note = boot.String() + " asks: " + note + ", told to load " + reply.BootFileName
	case boot != nil:
		note = boot.String() + " asks: " + note + ", nothing for it to load in this tree"
	}
	return decision{reply, note}
}

// claim is what is to be thought of a client that asks for an address.
type claim int

const (
	good    claim = iota // it may have the address, if that is free
	wrong                // it has another one, or comes from another network
	foreign              // it may be another server's
)

// judge judges a REQUEST. A client without a record here may be another server's, and has to be left alone (RFC
// 2131, section 4.3.2). But one that comes from another network is told so, and one that renews is believed where
// its address is of the range: leases are forgotten when this server ends.
func (d *dhcpServer) judge(client hardware, address netip.Addr, state dhcpwire.State) claim {
	held, known := d.pool.record(client)
	switch {
	case state == dhcpwire.Selecting, known && held == address:
		return good
	case known, state == dhcpwire.InitReboot && !d.site.address.Contains(address):
		return wrong
	case state == dhcpwire.Renewing && d.pool.contains(address):
		return good
	}
	return foreign
}

// patience counts the times that each client has asked in vain for an address.
type patience map[hardware]struct {
	times int
	last  time.Time
}

// Clients ask about every 4, 8, 16 and 32 seconds (PXE specification 2.1, chapter 2).
const (
	asksInVain = 4
	askPause   = 40 * time.Second

	maxWaiting = 1000 // clients that are remembered
)

// isOver notices a message and says whether its client asks in vain, once for each row of times.
func (p patience) isOver(m *dhcpv4.DHCPv4, now time.Time) bool {
	if _, boots := identify(m); !boots || len(m.ClientHWAddr) != 6 {
		return false
	}
	client := hardware(m.ClientHWAddr)
	if len(p) >= maxWaiting {
		clear(p)
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		asked := p[client]
		if now.Sub(asked.last) > askPause {
			asked.times = 0
		}
		asked.times++
		asked.last = now
		p[client] = asked
		return asked.times == asksInVain
	case dhcpv4.MessageTypeRequest: // some server's offer was good enough
		delete(p, client)
	}
	return false
}
