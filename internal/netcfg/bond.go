package netcfg

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// defaultMonitor is how often a bond looks at its members' carriers, in milliseconds. The driver's own default is
// never, and a dead member would go on being used.
const defaultMonitor = 100

// bondOptions are the options that a bond can be given, with the driver's names (Documentation/networking/bonding.rst).
// primary is set when the member is there.
var bondOptions = map[string]func(*netlink.Bond, string) error{
	"mode":              named(netlink.StringToBondModeMap, func(b *netlink.Bond) *netlink.BondMode { return &b.Mode }),
	"miimon":            number(func(b *netlink.Bond) *int { return &b.Miimon }),
	"updelay":           number(func(b *netlink.Bond) *int { return &b.UpDelay }),
	"downdelay":         number(func(b *netlink.Bond) *int { return &b.DownDelay }),
	"use_carrier":       number(func(b *netlink.Bond) *int { return &b.UseCarrier }),
	"arp_interval":      number(func(b *netlink.Bond) *int { return &b.ArpInterval }),
	"resend_igmp":       number(func(b *netlink.Bond) *int { return &b.ResendIgmp }),
	"num_grat_arp":      number(func(b *netlink.Bond) *int { return &b.NumPeerNotif }),
	"num_unsol_na":      number(func(b *netlink.Bond) *int { return &b.NumPeerNotif }),
	"all_slaves_active": number(func(b *netlink.Bond) *int { return &b.AllSlavesActive }),
	"min_links":         number(func(b *netlink.Bond) *int { return &b.MinLinks }),
	"lp_interval":       number(func(b *netlink.Bond) *int { return &b.LpInterval }),
	"packets_per_slave": number(func(b *netlink.Bond) *int { return &b.PacketsPerSlave }),
	"tlb_dynamic_lb":    number(func(b *netlink.Bond) *int { return &b.TlbDynamicLb }),
	"ad_actor_sys_prio": number(func(b *netlink.Bond) *int { return &b.AdActorSysPrio }),
	"ad_user_port_key":  number(func(b *netlink.Bond) *int { return &b.AdUserPortKey }),
	"arp_ip_target":     arpTargets,
	"primary":           func(*netlink.Bond, string) error { return nil },
	"arp_validate": named(netlink.StringToBondArpValidateMap,
		func(b *netlink.Bond) *netlink.BondArpValidate { return &b.ArpValidate }),
	"arp_all_targets": named(netlink.StringToBondArpAllTargetsMap,
		func(b *netlink.Bond) *netlink.BondArpAllTargets { return &b.ArpAllTargets }),
	"primary_reselect": named(netlink.StringToBondPrimaryReselectMap,
		func(b *netlink.Bond) *netlink.BondPrimaryReselect { return &b.PrimaryReselect }),
	"fail_over_mac": named(netlink.StringToBondFailOverMacMap,
		func(b *netlink.Bond) *netlink.BondFailOverMac { return &b.FailOverMac }),
	"xmit_hash_policy": named(netlink.StringToBondXmitHashPolicyMap,
		func(b *netlink.Bond) *netlink.BondXmitHashPolicy { return &b.XmitHashPolicy }),
	"lacp_rate": named(netlink.StringToBondLacpRateMap,
		func(b *netlink.Bond) *netlink.BondLacpRate { return &b.LacpRate }),
	"ad_select": named(netlink.StringToBondAdSelectMap,
		func(b *netlink.Bond) *netlink.BondAdSelect { return &b.AdSelect }),
}

// named sets a field to one of the values that have names, which may also be given by number.
func named[T ~int](values map[string]T, field func(*netlink.Bond) *T) func(*netlink.Bond, string) error {
	return func(b *netlink.Bond, text string) error {
		value, ok := values[text]
		if n, err := strconv.Atoi(text); !ok && err == nil {
			for _, v := range values {
				if int(v) == n {
					value, ok = v, true
				}
			}
		}
		if !ok {
			names := make([]string, 0, len(values))
			for name := range values {
				names = append(names, name)
			}
			slices.Sort(names)
			return fmt.Errorf("%q: want one of %s", text, strings.Join(names, ", "))
		}
		*field(b) = value
		return nil
	}
}

// number sets a field to a number.
func number(field func(*netlink.Bond) *int) func(*netlink.Bond, string) error {
	return func(b *netlink.Bond, text string) error {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("%q: want a number", text)
		}
		*field(b) = int(n)
		return nil
	}
}

// arpTargets reads addresses. bond= has commas between options, so that the addresses have semicolons in between.
func arpTargets(b *netlink.Bond, text string) error {
	for one := range strings.SplitSeq(text, ";") {
		address, err := netip.ParseAddr(one)
		if err != nil || !isHost(address) {
			return fmt.Errorf("%q: want IPv4 addresses with semicolons in between", text)
		}
		b.ArpIpTargets = append(b.ArpIpTargets, address.AsSlice())
	}
	return nil
}

// parseBond makes the kernel's bond of a description. Without a mode it is balance-rr, as the driver has it.
func parseBond(b Bond) (*netlink.Bond, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = b.Name, b.MTU
	bond := netlink.NewLinkBond(attrs)
	bond.Mode = netlink.BOND_MODE_BALANCE_RR
	for option, value := range b.options() {
		set, known := bondOptions[option]
		if !known {
			return nil, fmt.Errorf("bond %s: no option is called %q", b.Name, option)
		}
		if err := set(bond, value); err != nil {
			return nil, fmt.Errorf("bond %s: %s=%w", b.Name, option, err)
		}
	}
	if bond.Miimon < 0 && bond.ArpInterval < 0 {
		bond.Miimon = defaultMonitor
	}
	return bond, nil
}

// options goes through the options and their values.
func (b Bond) options() func(yield func(option, value string) bool) {
	return func(yield func(option, value string) bool) {
		for part := range strings.SplitSeq(b.Options, ",") {
			option, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if option != "" && !yield(option, value) {
				return
			}
		}
	}
}

// isMember says whether a link is to be in the bond.
func (b Bond) isMember(link netlink.Link, wired bool) bool {
	return slices.ContainsFunc(b.Members, func(member string) bool { return names(member, link, wired) })
}
