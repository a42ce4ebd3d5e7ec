// Package netcfg is the network of dom0 and of the demo guests: one bridge over one wired NIC,
// and a DHCPv4 client that keeps a lease on it for as long as the machine runs.
//
// Its core is pure: [ParseLease] makes a [Lease] of a server's message, [Plan] makes a list of
// changes of what the kernel has and two leases, [Times.At] says what the client does at a moment,
// [Situation.Choose] which NIC belongs in the bridge. Round it lie the [Client], which talks to servers and
// defends the address by ARP, but configures nothing, and the [Manager], which owns the state, applies the
// changes and reports an [Event] for each thing a person would want to know.
//
// Guests are not trusted: DHCP, and ARP about the host's own address, are heard and spoken on the NIC alone and
// never on the bridge, where any guest can say what it likes.
//
// Nothing here makes boot wait: [Manager.Run] is started and left running. A machine without a
// NIC or a DHCP server still has its bridge, and its guests can talk to one another over it.
package netcfg
