package netcfg

import (
	"errors"
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

// keepBonds makes the bonds that are wanted, and puts the members in that have come.
func (m *Manager) keepBonds() {
	if len(m.wanted.Bonds) == 0 {
		return
	}
	for _, bond := range m.wanted.Bonds {
		err := m.keepBond(bond)
		if what := "bond " + bond.Name; m.isNews(what, err) {
			m.problem(fmt.Errorf("%s: %w", what, err))
		}
	}
	if err := m.look(); err != nil {
		m.problem(err)
	}
}

func (m *Manager) keepBond(b Bond) error {
	bond, err := netlink.LinkByName(b.Name)
	if isNotFound(err) {
		bond, err = makeBond(b)
	}
	if err != nil {
		return err
	}
	if bond.Type() != "bond" {
		return fmt.Errorf("a link of this name exists, but is of type %s", bond.Type())
	}
	var problems []error
	for _, link := range m.links {
		attrs := link.Attrs()
		wired := isWired(m.options.Sys, attrs.Name)
		if attrs.MasterIndex == bond.Attrs().Index || !b.isMember(link, wired) {
			continue
		}
		problems = append(problems, enslave(link, bond))
	}
	problems = append(problems, setPrimary(b, m.links), raisePort(bond))
	return errors.Join(problems...)
}

func makeBond(b Bond) (netlink.Link, error) {
	bond, err := parseBond(b)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkAdd(bond); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	return netlink.LinkByName(b.Name)
}

// enslave makes a link a member of a bond, which takes none that is up.
func enslave(link, bond netlink.Link) error {
	name := link.Attrs().Name
	if err := netlink.LinkSetDown(link); err != nil {
		return fmt.Errorf("set %s down: %w", name, err)
	}
	if err := netlink.LinkSetMaster(link, bond); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	return raise(link)
}

// setPrimary names the member that is used whenever it can be.
func setPrimary(b Bond, links []netlink.Link) error {
	for option, value := range b.options() {
		if option != "primary" {
			continue
		}
		for _, link := range links {
			if names(value, link, true) {
				change := netlink.NewLinkBond(netlink.LinkAttrs{Name: b.Name, Index: indexOf(links, b.Name)})
				change.Primary = link.Attrs().Index
				if change.Index < 0 {
					return nil // made just now: the next look sets it
				}
				return netlink.LinkModify(change)
			}
		}
	}
	return nil
}

// dropBonds removes the bonds that a network does not want, or wants otherwise, as far as this manager wanted them.
func (m *Manager) dropBonds(network Network) {
	for _, old := range m.wanted.Bonds {
		same := func(b Bond) bool {
			return b.Name == old.Name && b.Options == old.Options && b.MTU == old.MTU &&
				slices.Equal(b.Members, old.Members)
		}
		if slices.ContainsFunc(network.Bonds, same) {
			continue
		}
		if link, err := netlink.LinkByName(old.Name); err == nil && link.Type() == "bond" {
			if err := netlink.LinkDel(link); err != nil {
				m.problem(fmt.Errorf("remove bond %s: %w", old.Name, err))
			}
		}
	}
}

// ensureVLAN returns the link of a VLAN on another one, set up.
func ensureVLAN(parent netlink.Link, id int) (netlink.Link, error) {
	links, err := listLinks()
	if err != nil {
		return nil, err
	}
	name := parent.Attrs().Name + vlanSuffix(id)
	if len(name) > maxIfname {
		name = fmt.Sprintf("vlan%d-%d", id, parent.Attrs().Index)
	}
	for _, link := range links {
		vlan, ok := link.(*netlink.Vlan)
		if ok && vlan.ParentIndex == parent.Attrs().Index && vlan.VlanId == id {
			return link, raisePort(link)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, parent.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id}); err != nil {
		return nil, fmt.Errorf("create VLAN %d on %s: %w", id, parent.Attrs().Name, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("look up VLAN %d on %s: %w", id, parent.Attrs().Name, err)
	}
	return link, raisePort(link)
}

// removeLink removes a link that this package made. One that is gone is no error.
func removeLink(index int) error {
	link, err := netlink.LinkByIndex(index)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}
