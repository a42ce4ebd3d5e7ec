// Package privnet is a private network: a bridge without a NIC on which dom0 itself is gateway, DHCP server and DNS
// server, and translates the addresses of what goes out.
//
// Who has which address is decided by package vifrules when a vif comes, and its rules hold the guest to that: the
// DHCP server only says so. It answers the vifs' MACs and nobody else, so nothing can be used up. DNS knows the names
// of the guests on the bridge and asks dom0's resolvers for the rest, for guests on the bridge only.
//
// [Fallback] makes a bridge that has a NIC private for a time, while dom0 has no address from the LAN. Whatever the
// DHCP server sends goes to vifs only; the rules of package vifrules keep it from the NIC.
package privnet
