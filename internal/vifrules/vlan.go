package vifrules

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
)

// tag puts a vif into a VLAN of its bridge: untagged at the vif, tagged at every port that is no vif. A vif without
// one is left as it is: in the VLAN that every port begins with.
func tag(vlan int, v Vif) error {
	if vlan == 0 {
		return nil
	}
	if err := tagPort(uint16(vlan), v); err != nil {
		return fmt.Errorf("VLAN %d of %s: %w", vlan, v.Name, err)
	}
	return nil
}

func tagPort(vlan uint16, v Vif) error {
	bridge, err := netlink.LinkByName(v.Bridge)
	if err != nil {
		return err
	}
	port, err := netlink.LinkByName(v.Name)
	if err != nil {
		return err
	}
	if port.Attrs().MasterIndex != bridge.Attrs().Index {
		return nil // it has yet to join
	}
	if err := netlink.BridgeSetVlanFiltering(bridge, true); err != nil {
		return err
	}
	if err := onlyVLAN(port, vlan); err != nil {
		return err
	}
	all, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Attrs().MasterIndex == bridge.Attrs().Index && !strings.HasPrefix(other.Attrs().Name, "vif") {
			if err := netlink.BridgeVlanAdd(other, vlan, false, false, false, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// onlyVLAN makes a VLAN the only one of a port.
func onlyVLAN(port netlink.Link, vlan uint16) error {
	present, err := netlink.BridgeVlanList()
	if err != nil {
		return err
	}
	for _, info := range present[int32(port.Attrs().Index)] {
		if info.Vid != vlan {
			if err := netlink.BridgeVlanDel(port, info.Vid, false, false, false, true); err != nil {
				return err
			}
		}
	}
	return netlink.BridgeVlanAdd(port, vlan, true, true, false, true)
}
