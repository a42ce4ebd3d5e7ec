package vifrules

import (
	"encoding/binary"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Counters of what dom0 itself drops.
const (
	counterInputGuest   = "input.guest"
	counterInputOutside = "input.outside"
	counterForward      = "forward"
)

var hostCounters = []string{counterInputGuest, counterInputOutside, counterForward}

// portDNS is that of DNS, over UDP and TCP.
const portDNS = 53

// hostChains are dom0's own: what may come in and what is passed on.
func hostChains(h Host) []chain {
	return []chain{
		{name: "track", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting,
			priority: nftables.ChainPriorityRaw, rules: trackRules(h)},
		{name: "input", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput,
			priority: nftables.ChainPriorityFilter, rules: inputRules(h)},
		{name: "forward", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward,
			priority: nftables.ChainPriorityFilter, rules: forwardRules(h)},
	}
}

// chainTranslate is the chain that translates addresses.
const chainTranslate = "translate"

func translateChain(h Host) chain {
	return chain{
		name: chainTranslate, kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting,
		priority: nftables.ChainPriorityNATSource, rules: translateRules(h),
	}
}

// trackRules keep pings of dom0 out of the table of connections, which each of their numbers would fill by one. Those
// of guests on private networks are translated, and counted as connections.
func trackRules(h Host) []rule {
	var rules []rule
	for _, p := range h.Private {
		rules = append(rules,
			when(inName(p.Bridge), udp(etherIPv4, portTo, portDHCPServer), rule{&expr.Notrack{}}),
			when(inName(p.Bridge), subnet(p, equal), accept()))
	}
	return append(rules,
		when(icmp(icmpEcho), rule{&expr.Notrack{}}),
		when(icmp6(icmp6Echo), rule{&expr.Notrack{}}))
}

// states matches connections in one of some states.
func states(bits uint32) rule {
	return rule{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: differ, Register: 1, Data: make([]byte, 4)},
	}
}

const known = expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED

// inputRules let in replies, ICMP, DHCP's answers and the services that are open; first what any guest may, then
// what those may that dom0 is not closed to, then everybody else.
func inputRules(h Host) []rule {
	rules := []rule{
		when(inName("lo"), accept()),
		when(states(known), accept()),
	}
	for _, p := range h.Private {
		rules = append(rules, privateServices(p)...)
	}
	rules = append(rules,
		// Guests' search for the LAN's DHCP server comes here too, and is nothing to be counted.
		when(udp(etherIPv4, portTo, portDHCPServer), verdict(expr.VerdictDrop)),
		when(icmp6(icmp6Solicit), accept()),
		when(icmp6(icmp6Advertise), accept()),
		when(marked(equal, markNoHost), dropped(counterInputGuest)),
		when(icmp(icmpRedirect), verdict(expr.VerdictDrop)),
		when(icmp6(icmp6Redirect), verdict(expr.VerdictDrop)),
		when(ether(etherIPv4), over(unix.IPPROTO_ICMP), accept()),
		when(ether(etherIPv6), over(unix.IPPROTO_ICMPV6), accept()),
	)
	for _, service := range h.OpenGuests {
		rules = append(rules, when(marked(equal, markGuest), service.match(), accept()))
	}
	rules = append(rules,
		when(marked(equal, markGuest), dropped(counterInputGuest)),
		when(udp(etherIPv4, portTo, portDHCPClient), accept()),
		when(udp(etherIPv6, portTo, portDHCP6Client), accept()),
	)
	for _, service := range h.Open {
		rules = append(rules, when(service.match(), accept()))
	}
	if h.OpenAll {
		return append(rules, accept())
	}
	return append(rules, dropped(counterInputOutside))
}

// icmp6Solicit asks for a neighbour (RFC 4861).
const icmp6Solicit = 135

// privateServices are dom0's on a private bridge. The bridge's own rules see to it that only guests ask for DHCP.
func privateServices(p Private) []rule {
	guest := when(inName(p.Bridge), marked(differ, 0))
	addressed := when(guest, subnet(p, equal))
	rules := []rule{
		when(guest, Service{UDP, portDHCPServer}.match(), accept()),
		when(addressed, connections(), dropped(counterInputGuest)), // replies have been let in already
	}
	if p.NoDNS {
		return rules
	}
	for _, protocol := range []Protocol{UDP, TCP} {
		rules = append(rules, when(addressed, Service{protocol, portDNS}.match(), accept()))
	}
	return rules
}

func (s Service) match() rule {
	protocol := byte(unix.IPPROTO_TCP)
	if s.Protocol == UDP {
		protocol = unix.IPPROTO_UDP
	}
	return when(over(protocol), payload(transport, portTo, equal, big16(s.Port)))
}

// MaxConnections bounds what the kernel remembers of one guest on a private network, connections that are translated
// and questions for names: it could fill the table for all.
const MaxConnections = 1000

// forwardRules pass on what guests on private bridges send to the world, and the answers. Nothing else goes
// through dom0. The source is right: the bridge's rules hold guests there to their addresses.
func forwardRules(h Host) []rule {
	rules := []rule{when(states(known), accept())}
	for _, p := range h.Private {
		if p.NoNAT {
			continue
		}
		rules = append(rules,
			when(inName(p.Bridge), outName(p.Bridge), dropped(counterForward)),
			when(inName(p.Bridge), marked(differ, 0), subnet(p, equal),
				connections(), dropped(counterForward)),
			when(inName(p.Bridge), marked(differ, 0), subnet(p, equal), intoPrivate(h, p), accept()))
	}
	return append(rules, dropped(counterForward))
}

// setConnections counts each guest's connections by its address.
const setConnections = "connections"

func connectionsSet(table *nftables.Table) *nftables.Set {
	return &nftables.Set{
		Table: table, Name: setConnections, KeyType: nftables.TypeIPAddr, Dynamic: true, Size: 1 << 16,
	}
}

// connections matches a guest that has too many.
func connections() rule {
	return rule{
		&expr.Payload{DestRegister: 1, Base: network, Offset: ip4From, Len: 4},
		&expr.Dynset{
			SrcRegKey: 1, SetName: setConnections, Operation: unix.NFT_DYNSET_OP_ADD,
			Exprs: []expr.Any{&expr.Connlimit{Count: MaxConnections, Flags: expr.NFT_CONNLIMIT_F_INV}},
		},
	}
}

// intoPrivate leaves out what goes to another private bridge.
func intoPrivate(h Host, from Private) rule {
	var parts rule
	for _, p := range h.Private {
		if p.Bridge != from.Bridge {
			parts = append(parts, meta(expr.MetaKeyOIFNAME, differ, ifname(p.Bridge))...)
		}
	}
	return parts
}

// subnet matches the source.
func subnet(p Private, op expr.CmpOp) rule {
	mask := net.CIDRMask(p.Prefix.Bits(), 32)
	return when(ether(etherIPv4), masked(network, ip4From, mask, op, p.Prefix.Masked().Addr().AsSlice()))
}

// translateRules give packets from private bridges the address of the interface that they leave by.
func translateRules(h Host) []rule {
	var rules []rule
	for _, p := range h.Private {
		if p.NoNAT {
			continue
		}
		rules = append(rules, when(
			subnet(p, equal),
			meta(expr.MetaKeyOIFNAME, differ, ifname(p.Bridge)), rule{&expr.Masq{}}))
	}
	return rules
}
