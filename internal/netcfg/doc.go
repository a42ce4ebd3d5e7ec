// Package netcfg is the network of dom0 and of the demo guests: bridges over NICs, bonds and VLANs, or NICs without a
// bridge, and their addresses, for as long as the machine runs.
//
// A [Network] says what is wanted, [Network.Check] whether it makes sense, and [Manager.Apply] changes it at any time.
// The core is pure: [ParseLease] makes a [Lease] of a server's message, [Routers] keeps what routers advertise, a
// [Config] is what all sources of an interface come to, [Plan] makes a list of changes of what the kernel has and two
// configurations, [Times.At] says what a DHCP client does at a moment, [Situation.Choose] which NIC is to be used.
// Round it lie the clients, [Client] for DHCPv4, [Client6] for DHCPv6 and one for router advertisements, which talk to
// servers but configure nothing, and the [Manager], which owns the state, applies the changes and reports an [Event]
// for each thing a person would want to know.
//
// Guests are not trusted: DHCP, router advertisements, and ARP and neighbour discovery about the host's own addresses,
// are heard and spoken on the NIC alone and never on the bridge, where any guest can say what it likes.
//
// Nothing here makes boot wait: [Manager.Run] is started and left running. A machine without a
// NIC or a DHCP server still has its bridges, and its guests can talk to one another over them.
package netcfg
