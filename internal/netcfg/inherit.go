package netcfg

import (
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// inheritable are the options that stay in force when an ACK leaves them out, in groups: an ACK with one of a
// group says all that there is to say about it.
var inheritable = [][]dhcpv4.OptionCode{
	{dhcpv4.OptionSubnetMask},
	{dhcpv4.OptionBroadcastAddress},
	{dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter},
	{dhcpv4.OptionDomainNameServer},
	{dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionDomainName},
	{dhcpv4.OptionHostName},
	{dhcpv4.OptionInterfaceMTU},
	{dhcpv4.OptionNTPServers},
	{dhcpv4.OptionIPAddressLeaseTime},
	{dhcpv4.OptionRenewTimeValue}, // one that no longer fits the length is corrected
	{dhcpv4.OptionRebindingTimeValue},
}

// inherit adds to an ACK what the server said before and leaves out now: some servers give the options of a
// renewal only where they have changed, some name themselves in the OFFER alone. earlier may be an OFFER or
// the lease's last ACK.
func inherit(answer, earlier *dhcpv4.DHCPv4) {
	for _, group := range inheritable {
		if slices.ContainsFunc(group, answer.Options.Has) {
			continue
		}
		for _, code := range group {
			if value := earlier.Options.Get(code); value != nil {
				answer.UpdateOption(dhcpv4.OptGeneric(code, value))
			}
		}
	}
	if answer.ServerIdentifier() != nil {
		return
	}
	if server, ok := serverOf(earlier); ok {
		answer.UpdateOption(dhcpv4.OptServerIdentifier(server.AsSlice()))
	}
}
