package netcfg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/printable"
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

// Lease6 is what a DHCPv6 server granted.
type Lease6 struct {
	Address   netip.Addr // invalid: the server was asked for services alone
	Preferred time.Time  // until when; zero: for ever
	Services  Services
	Times     Times

	server dhcpv6.DUID
}

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

// refusal6 is a server's answer that takes the address away.
type refusal6 struct{ text string }

func (e *refusal6) Error() string { return e.text }

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

// parse reads the lease out of an ADVERTISE or REPLY. A refusal6 is a server's no.
func (c *Client6) parse(message *dhcpv6.Message) (*Lease6, error) {
	if err := refused6(message.Options.Status()); err != nil {
		return nil, err
	}
	server := message.Options.ServerID()
	if server == nil {
		return nil, errors.New("a DHCPv6 server did not name itself")
	}
	for _, ia := range message.Options.IANA() {
		if ia.IaId != c.iaid() {
			continue
		}
		if err := refused6(ia.Options.Status()); err != nil {
			return nil, err
		}
		for _, option := range ia.Options.Addresses() {
			address, ok := netip.AddrFromSlice(option.IPv6Addr)
			if !ok || !isHost6(address) || option.PreferredLifetime > option.ValidLifetime {
				continue
			}
			if option.ValidLifetime == 0 {
				return nil, &refusal6{fmt.Sprintf("a DHCPv6 server took %s away", address)}
			}
			return c.lease(message, server, address, ia, option), nil
		}
	}
	return nil, errors.New("a DHCPv6 server gave no address")
}

func (c *Client6) lease(
	message *dhcpv6.Message, server dhcpv6.DUID, address netip.Addr, ia *dhcpv6.OptIANA, a *dhcpv6.OptIAAddress,
) *Lease6 {
	const infinite = (1<<32 - 1) * time.Second
	now := time.Now()
	times := normalTimes(ia.T1, ia.T2, a.ValidLifetime, c.timing.Floor)
	if ia.T1 == 0 && times.Length != Forever && a.PreferredLifetime > 0 { // RFC 8415, section 21.4
		times = normalTimes(a.PreferredLifetime/2, a.PreferredLifetime*4/5, a.ValidLifetime, c.timing.Floor)
	}
	times.Start, times.Floor = now, c.timing.Floor
	lease := &Lease6{Address: address, Services: services6(message), Times: times, server: server}
	if a.PreferredLifetime < infinite {
		lease.Preferred = now.Add(a.PreferredLifetime)
	}
	return lease
}

// refused6 makes an error of a status that is no success. Where a server does not know the address, or the link has
// other ones, the address is lost.
func refused6(status *dhcpv6.OptStatusCode) error {
	if status == nil || status.StatusCode == iana.StatusSuccess {
		return nil
	}
	text := "a DHCPv6 server says " + status.StatusCode.String()
	if status.StatusMessage != "" {
		text += `: "` + printable.Line(status.StatusMessage) + `"`
	}
	if status.StatusCode == iana.StatusNoBinding || status.StatusCode == iana.StatusNotOnLink {
		return &refusal6{text}
	}
	return errors.New(text)
}

// services6 reads the options that are not about addresses.
func services6(message *dhcpv6.Message) Services {
	s := Services{DNS: hostAddrs6(message.Options.DNS())}
	s.NTP = hostAddrs6(append(message.Options.NTPServers(), message.Options.SNTP()...))
	if list := message.Options.DomainSearchList(); list != nil {
		for _, name := range list.Labels {
			if isDomain(name) {
				s.Search = appendNew(s.Search, name)
			}
		}
	}
	return s
}

func hostAddrs6(ips []net.IP) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range ips {
		if addr, ok := netip.AddrFromSlice(ip); ok && isHost6(addr) {
			addrs = appendNew(addrs, addr)
		}
	}
	return addrs
}

// config is what a lease says of its interface; nil is no lease.
func (l *Lease6) config() Config {
	if l == nil || !l.Address.IsValid() {
		return Config{}
	}
	return Config{Addresses: []Address{{
		Prefix: netip.PrefixFrom(l.Address, 128), Expires: l.Times.expires(), Preferred: l.Preferred, By: ByDHCPv6,
	}}}
}

// exchange sends a message to all servers and waits for the first answer of a kind.
func (c *Client6) exchange(
	ctx context.Context, message *dhcpv6.Message, wait time.Duration, kind dhcpv6.MessageType,
) (*dhcpv6.Message, error) {
	tap, err := openTap(c.port, unix.ETH_P_ALL, udpToClient6Filter)
	if err != nil {
		return nil, err
	}
	defer tap.Close()
	defer context.AfterFunc(ctx, func() { tap.Close() })()
	self := fromMAC(linkLocal, c.mac)
	if err := tap.write(frame6(c.mac, udp6(self, message.ToBytes()), 6)); err != nil {
		return nil, fmt.Errorf("send %s: %w", message.MessageType, err)
	}
	frame, end := make([]byte, 2000), time.Now().Add(wait)
	for {
		n, err := tap.readUntil(end, frame)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errNoAnswer6
		case err != nil:
			return nil, cmpErr(ctx.Err(), err)
		}
		if answer, ok := parseAnswer6(frame[:n], self, c.duid()); ok &&
			answer.MessageType == kind && answer.TransactionID == message.TransactionID {
			return answer, nil
		}
	}
}

var errNoAnswer6 = errors.New("no DHCPv6 server answered")

// udp6 is a packet to all servers, without its checksum.
func udp6(source netip.Addr, data []byte) packet6 {
	const header = 8
	length := header + len(data)
	payload := []byte{
		dhcp6ClientPort >> 8, dhcp6ClientPort & 0xff, dhcp6ServerPort >> 8, dhcp6ServerPort & 0xff,
		byte(length >> 8), byte(length), 0, 0,
	}
	return packet6{source, allDHCP6Servers, unix.IPPROTO_UDP, 1, append(payload, data...)}
}

// parseAnswer6 reads a server's answer to this client out of a frame.
func parseAnswer6(frame []byte, self netip.Addr, id dhcpv6.DUID) (*dhcpv6.Message, bool) {
	p, ok := parseFrame6(frame)
	const header = 8
	if !ok || p.next != unix.IPPROTO_UDP || len(p.payload) < header || p.target != self {
		return nil, false
	}
	message, err := dhcpv6.MessageFromBytes(p.payload[header:])
	if err != nil {
		return nil, false
	}
	client := message.Options.ClientID()
	return message, client != nil && slices.Equal(client.ToBytes(), id.ToBytes())
}
