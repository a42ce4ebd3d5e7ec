package netcfg

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// Ports of DHCPv6, and where its servers listen (RFC 8415, section 7).
const (
	dhcp6ClientPort = 546
	dhcp6ServerPort = 547
)

var allDHCP6Servers = netip.MustParseAddr("ff02::1:2")

// DHCPv6 has states of its own: what a server has given, and that it must not be used any more.
type (
	// Bound6 is an address, or with none what a server says besides.
	Bound6 struct{ Lease *Lease6 }
	// Lost6: the address must not be used any more.
	Lost6 struct{ Err error }
)

func (Bound6) isState() {}
func (Lost6) isState()  {}

// Client6 keeps a DHCPv6 address, or asks for services alone, for one interface (RFC 8415). Like [Client] it
// configures nothing, and hears and speaks on the port alone.
type Client6 struct {
	port     int
	mac      net.HardwareAddr
	stateful bool
	timing   Timing
	report   func(State)
	wake     chan struct{}
}

// Wake makes the client ask whether its address is still good: the link may lead to another network now.
func (c *Client6) Wake() { notify(c.wake) }

// Run asks until ctx ends.
func (c *Client6) Run(ctx context.Context) {
	for ctx.Err() == nil {
		held := c.acquire(ctx)
		if held == nil {
			return
		}
		c.keep(ctx, held)
	}
}

// acquire asks until a server answers, and reports what it says. It returns nil when ctx ends.
func (c *Client6) acquire(ctx context.Context) *Lease6 {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		wait := backoff(attempt, c.timing.FirstWait, c.timing.MaxWait, rand.Float64())
		end := time.Now().Add(wait)
		lease, err := c.attempt(ctx, wait)
		if err == nil {
			c.report(Bound6{lease})
			return lease
		}
		if _, taken := errors.AsType[*takenError](err); taken {
			c.report(Duplicate{lease.Address, err})
			c.decline(ctx, lease)
			end = time.Now().Add(c.timing.DeclinePause)
		}
		rest(ctx, time.Until(end))
	}
	return nil
}

// attempt asks all servers once. A lease comes with a takenError, too.
func (c *Client6) attempt(ctx context.Context, wait time.Duration) (*Lease6, error) {
	if !c.stateful {
		return c.inform(ctx, wait)
	}
	solicit, err := dhcpv6.NewSolicit(c.mac, c.common()...)
	if err != nil {
		return nil, err
	}
	offer, err := c.exchange(ctx, solicit, wait, dhcpv6.MessageTypeAdvertise)
	if err != nil {
		return nil, err
	}
	if _, err := c.parse(offer); err != nil {
		return nil, err
	}
	request, err := dhcpv6.NewRequestFromAdvertise(offer, dhcpv6.WithRequestedOptions(requested6...))
	if err != nil {
		return nil, err
	}
	answer, err := c.exchange(ctx, request, wait, dhcpv6.MessageTypeReply)
	if err != nil {
		return nil, err
	}
	lease, err := c.parse(answer)
	if err != nil {
		return nil, err
	}
	return lease, claim6(ctx, c.port, c.mac, lease.Address, c.timing)
}

// inform asks for services alone.
func (c *Client6) inform(ctx context.Context, wait time.Duration) (*Lease6, error) {
	request, err := dhcpv6.NewMessage(append(c.common(), dhcpv6.WithClientID(c.duid()))...)
	if err != nil {
		return nil, err
	}
	request.MessageType = dhcpv6.MessageTypeInformationRequest
	answer, err := c.exchange(ctx, request, wait, dhcpv6.MessageTypeReply)
	if err != nil {
		return nil, err
	}
	const daily, least = 24 * time.Hour, 10 * time.Minute // RFC 8415, section 21.23
	refresh := max(answer.Options.InformationRefreshTime(daily), least)
	times := normalTimes(0, 0, refresh, c.timing.Floor)
	times.Start, times.Floor = time.Now(), c.timing.Floor
	return &Lease6{Services: services6(answer), Times: times}, nil
}

// keep extends the lease as its times demand, until it is lost, which it reports, or ctx ends. What was asked for
// without an address is asked for again when it is due.
func (c *Client6) keep(ctx context.Context, held *Lease6) {
	for ctx.Err() == nil {
		step := held.Times.At(time.Now())
		switch {
		case !c.stateful && step.Phase != PhaseBound:
			return
		case step.Phase == PhaseExpired:
			c.report(Lost6{errExpired6})
			return
		case step.Phase == PhaseBound:
			if woken := c.sleep(ctx, step.Wait); !woken {
				continue
			}
			if !c.stateful {
				return
			}
			step = Step{PhaseRebinding, c.timing.FirstWait}
		}
		end := time.Now().Add(step.Wait)
		lease, err := c.extend(ctx, held, step)
		if refusal, refused := errors.AsType[*refusal6](err); refused {
			c.report(Lost6{refusal})
			return
		}
		if err == nil {
			c.report(Bound6{lease})
			held = lease
			continue
		}
		rest(ctx, time.Until(end))
	}
}

// sleep says whether it was cut short by Wake.
func (c *Client6) sleep(ctx context.Context, d time.Duration) (woken bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-c.wake:
		return true
	}
	return false
}

// extend asks the lease's server, or with rebinding any, to extend it.
func (c *Client6) extend(ctx context.Context, held *Lease6, step Step) (*Lease6, error) {
	address := dhcpv6.OptIAAddress{IPv6Addr: held.Address.AsSlice()}
	modifiers := append(c.common(), dhcpv6.WithClientID(c.duid()), dhcpv6.WithIAID(c.iaid()), dhcpv6.WithIANA(address))
	request, err := dhcpv6.NewMessage(modifiers...)
	if err != nil {
		return nil, err
	}
	request.MessageType = dhcpv6.MessageTypeRebind
	if step.Phase == PhaseRenewing {
		request.MessageType = dhcpv6.MessageTypeRenew
		request.UpdateOption(dhcpv6.OptServerID(held.server))
	}
	answer, err := c.exchange(ctx, request, step.Wait, dhcpv6.MessageTypeReply)
	if err != nil {
		return nil, err
	}
	lease, err := c.parse(answer)
	if err != nil || lease.Address == held.Address {
		return lease, err
	}
	return lease, claim6(ctx, c.port, c.mac, lease.Address, c.timing)
}

// decline tells the server that another host has the address.
func (c *Client6) decline(ctx context.Context, lease *Lease6) {
	message, err := dhcpv6.NewMessage(dhcpv6.WithClientID(c.duid()), dhcpv6.WithServerID(lease.server),
		dhcpv6.WithIAID(c.iaid()), dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: lease.Address.AsSlice()}))
	if err != nil {
		return
	}
	message.MessageType = dhcpv6.MessageTypeDecline
	_, _ = c.exchange(ctx, message, c.timing.FirstWait, dhcpv6.MessageTypeReply) // it is declined, heard or not
}

var errExpired6 = errors.New("the lease expired: no DHCPv6 server extended it")

// requested6 are the options that servers are asked for.
var requested6 = []dhcpv6.OptionCode{
	dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList,
	dhcpv6.OptionNTPServer, dhcpv6.OptionSNTPServerList, dhcpv6.OptionInformationRefreshTime,
}

// common are the options that all messages have which ask for something.
func (c *Client6) common() []dhcpv6.Modifier {
	return []dhcpv6.Modifier{
		dhcpv6.WithClientID(c.duid()), dhcpv6.WithRequestedOptions(requested6...),
		dhcpv6.WithOption(dhcpv6.OptElapsedTime(0)),
	}
}

// duid is made from the MAC alone: the same in every boot, without a disk to keep it on (RFC 8415, section 11.4).
func (c *Client6) duid() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: c.mac}
}

// iaid is the one that dhcpv6.NewSolicit makes.
func (c *Client6) iaid() [4]byte { return [4]byte(c.mac[2:]) }
