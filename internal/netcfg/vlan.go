package netcfg

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

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
