package netcfg

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Lease6 is what a DHCPv6 server granted.
type Lease6 struct {
	Address   netip.Addr // invalid: the server was asked for services alone
	Preferred time.Time  // until when; zero: for ever
	Services  Services
	Times     Times

	server dhcpv6.DUID
}

// refusal6 is a server's answer that takes the address away.
type refusal6 struct{ text string }

func (e *refusal6) Error() string { return e.text }

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
