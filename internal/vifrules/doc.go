// Package vifrules keeps guests from harming one another, dom0 and the network: packet filter rules and counters for
// each vif, and dom0's own firewall, as nftables rules in the kernel, nft(8).
//
// Two tables named zerodisc belong to this package. That of family bridge sees every frame of a guest before the
// bridge does; that of family inet has what may come in to dom0, and the address translation of private bridges.
//
// Everything that the rules are made of lies in files in one directory (see [Rules]): what the host was configured
// with, and a record for each vif. Any process may change it under a lock, and makes the kernel's rules of it. libxl
// runs a process for each vif (package hotplug), which has the rules in force before the vif becomes a port of the
// bridge. The rules stay when that process ends, and when init crashes.
//
// Nothing here tracks connections of guests on a bridge: a guest could fill the table of connections for all. Replies
// to a guest whose inbound traffic is filtered are known by TCP's flags and, for UDP, by a set of a bounded size
// for each vif. br_netfilter is not used.
package vifrules
