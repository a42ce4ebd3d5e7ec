package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Services is what sources say beyond their interface, best first, each thing once.
type Services struct {
	DNS    []netip.Addr // a link-local address has the interface for its zone
	Search []string
	NTP    []netip.Addr
}

// add adds what another source says, behind what is there.
func (s *Services) add(other Services) {
	s.DNS = appendNew(s.DNS, other.DNS...)
	s.Search = appendNew(s.Search, other.Search...)
	s.NTP = appendNew(s.NTP, other.NTP...)
}

func appendNew[T comparable](list []T, more ...T) []T {
	for _, value := range more {
		if !slices.Contains(list, value) {
			list = append(list, value)
		}
	}
	return list
}

// services is what a lease says beyond its interface; nil is no lease.
func (l *Lease) services() Services {
	if l == nil {
		return Services{}
	}
	return Services{DNS: l.DNS, Search: l.Search, NTP: l.NTP}
}

// ResolvConf returns the text of resolv.conf(5). Without name servers it says so in a comment.
func (s Services) ResolvConf() string {
	var text strings.Builder
	text.WriteString("# written from the configuration, DHCP leases and router advertisements; changes are lost\n")
	if len(s.DNS) == 0 {
		text.WriteString("# no name server known\n")
	}
	if len(s.Search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(s.Search, " "))
	}
	for _, server := range s.DNS {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	return text.String()
}

// TimeServers returns the NTP servers, one a line, best first.
func (s Services) TimeServers() string {
	var text strings.Builder
	for _, server := range s.NTP {
		fmt.Fprintln(&text, server)
	}
	return text.String()
}
