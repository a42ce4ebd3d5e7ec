package netcfg

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
)

// keepBonds makes the bonds that are wanted, and puts the members in that have come.
func (m *Manager) keepBonds() {
	if len(m.wanted.Bonds) == 0 || !m.isOver(m.unbonded.Add(m.timing.Floor)) {
		return
	}
	for _, bond := range m.wanted.Bonds {
		err := m.keepBond(bond)
		if err != nil {
			m.unbonded = m.looked
		}
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
	problems = append(problems, setPrimary(b, bond, m.links), raisePort(bond))
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

// setPrimary names the member that is used whenever it can be, unless the bond has it already: a change of a link is a
// reason to look again.
func setPrimary(b Bond, bond netlink.Link, links []netlink.Link) error {
	for option, value := range b.options() {
		if option != "primary" {
			continue
		}
		i := slices.IndexFunc(links, func(link netlink.Link) bool { return names(value, link, true) })
		now, ok := bond.(*netlink.Bond)
		if i < 0 || !ok || now.Primary == links[i].Attrs().Index {
			return nil
		}
		change := netlink.NewLinkBond(netlink.LinkAttrs{Name: b.Name, Index: bond.Attrs().Index})
		change.Primary = links[i].Attrs().Index
		if err := netlink.LinkModify(change); err != nil {
			return fmt.Errorf("set primary %s: %w", value, err)
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
