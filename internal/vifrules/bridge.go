package vifrules

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// chain is a list of rules; one with a hook is where packets come in.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook // nil: others jump there
	priority *nftables.ChainPriority
	rules    []rule
}

// bridgeChain has a hook of family bridge; those are numbered as inet's are (linux/netfilter_bridge.h).
func bridgeChain(name string, hook *nftables.ChainHook, rules []rule) chain {
	return chain{
		name: name, kind: nftables.ChainTypeFilter, hook: hook,
		priority: nftables.ChainPriorityRef(-300), rules: rules, // before anybody else's
	}
}

// bridgeChains are those that every frame on any bridge goes through.
func bridgeChains(h Host) []chain {
	return []chain{
		bridgeChain("prerouting", nftables.ChainHookPrerouting, []rule{
			dispatch(expr.MetaKeyIIFNAME, mapFrom),
			// A vif without rules is one that something went wrong with.
			when(inPrefix("vif"), dropped(string(FromNowhere))),
		}),
		bridgeChain("input", nftables.ChainHookInput, append(
			[]rule{dispatch(expr.MetaKeyIIFNAME, mapHost)}, fenceIn()...)),
		bridgeChain("forward", nftables.ChainHookForward, append(append(
			[]rule{dispatch(expr.MetaKeyIIFNAME, mapLeave)}, fencePrivate(h)...),
			dispatch(expr.MetaKeyOIFNAME, mapEnter))),
		bridgeChain("output", nftables.ChainHookOutput, append(fenceOut(), fencePrivate(h)...)),
		bridgeChain("postrouting", nftables.ChainHookPostrouting, []rule{dispatch(expr.MetaKeyOIFNAME, mapTo)}),
	}
}

// fenceIn keeps those that are no guests from dom0's DHCP server. dom0's own client talks to the NIC, below the bridge.
func fenceIn() []rule {
	return []rule{
		when(udp(etherIPv4, portTo, portDHCPServer), named(expr.MetaKeyIIFNAME, setGuests, true),
			dropped(counterFence)),
	}
}

// fenceOut keeps dom0's DHCP server from those that are no guests: a bridge with a NIC may be private for a time.
func fenceOut() []rule {
	return []rule{
		when(udp(etherIPv4, portFrom, portDHCPServer), named(expr.MetaKeyOIFNAME, setGuests, true),
			dropped(counterFence)),
	}
}

// fencePrivate keeps addresses of private networks from a NIC.
func fencePrivate(h Host) []rule {
	var rules []rule
	for _, p := range h.Private {
		for protocol, offset := range map[uint16]int{etherIPv4: ip4From, etherARP: arpIP} {
			rules = append(rules, when(
				ether(protocol),
				masked(network, offset, net.CIDRMask(p.Prefix.Bits(), 32), equal, p.Prefix.Masked().Addr().AsSlice()),
				named(expr.MetaKeyOIFNAME, setGuests, true), dropped(counterFence)))
		}
	}
	return rules
}

// bridgeSets are what the chains of the bridge look things up in.
func bridgeSets(table *nftables.Table) []*nftables.Set {
	sets := []*nftables.Set{
		{Name: setGuests, KeyType: nftables.TypeIFName},
		{Name: setIsolated, KeyType: nftables.TypeIFName},
	}
	for _, s := range addressSets {
		sets = append(sets, &nftables.Set{Name: s.four, KeyType: nftables.TypeIPAddr},
			&nftables.Set{Name: s.six, KeyType: nftables.TypeIP6Addr})
	}
	sets = append(sets, learnedSet(table, setLeased, maxLeased))
	for _, name := range verdicts {
		sets = append(sets, &nftables.Set{
			Name: name, KeyType: nftables.TypeIFName, IsMap: true, DataType: nftables.TypeVerdict,
		})
	}
	for _, set := range sets {
		set.Table = table
	}
	return sets
}

// verdicts are the maps that lead to a vif's chains.
var verdicts = []string{mapFrom, mapHost, mapLeave, mapEnter, mapTo}

// addressSets are the sets of addresses that all vifs use.
var addressSets = []struct {
	four, six string
	of        func(*files) []netip.Addr
}{
	{setOwned4, setOwned6, func(f *files) []netip.Addr { return f.config.owned(f.vifs) }},
	{setHost4, setHost6, func(f *files) []netip.Addr { return f.config.Host.Own }},
}
