package vifrules

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/netcfg"
)

// firstVLAN is the one that every port of a bridge begins with.
const firstVLAN = 1

// tag puts a vif into its guest's VLAN: untagged at the vif, tagged at every port of the bridge that is no vif. 0 is
// none: on a bridge that does not filter by VLAN nothing is done then, on others the vif is in the one that ports begin
// with.
func (f *files) tag(v Vif) error {
	vlan := f.config.Guests[v.UUID].VLAN
	if err := f.tagPort(uint16(vlan), v); err != nil {
		return fmt.Errorf("VLAN %d of %s: %w", vlan, v.Name, err)
	}
	return nil
}

func (f *files) tagPort(vlan uint16, v Vif) error {
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
	if vlan == 0 {
		return untag(bridge, port)
	}
	if err := filterByVLAN(bridge); err != nil {
		return err
	}
	if err := onlyVLAN(port, vlan); err != nil {
		return err
	}
	return f.carry(bridge, vlan)
}

func untag(bridge, port netlink.Link) error {
	if b, ok := bridge.(*netlink.Bridge); !ok || b.VlanFiltering == nil || !*b.VlanFiltering {
		return nil
	}
	return onlyVLAN(port, firstVLAN)
}

// filterByVLAN names nothing but the bridge: package netlink would set everything else that it has read too, and the
// kernel refuses some of that (EINVAL).
func filterByVLAN(bridge netlink.Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = bridge.Attrs().Name, bridge.Attrs().Index
	if err := netlink.BridgeSetVlanFiltering(&netlink.Bridge{LinkAttrs: attrs}, true); err != nil {
		return fmt.Errorf("have %s filter by VLAN: %w", attrs.Name, err)
	}
	return nil
}

// Carry has ports of a bridge that came after the guests carry the guests' VLANs.
func (r Rules) Carry(bridge string) error {
	return r.locked(func(f *files, _ *tables) error {
		var errs []error
		for _, v := range f.vifs {
			if f.config.Guests[v.UUID].VLAN != 0 && v.Bridge == bridge {
				errs = append(errs, f.tag(v))
			}
		}
		return errors.Join(errs...)
	})
}

// carry makes a VLAN a tagged one of every port that is no vif, whatever vifs are called (vifname=).
func (f *files) carry(bridge netlink.Link, vlan uint16) error {
	all, err := netcfg.Complete(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, port := range all {
		name := port.Attrs().Name
		isVif := slices.ContainsFunc(f.vifs, func(v Vif) bool { return v.Name == name })
		if port.Attrs().MasterIndex != bridge.Attrs().Index || isVif {
			continue
		}
		if err := netlink.BridgeVlanAdd(port, vlan, false, false, false, true); err != nil {
			return fmt.Errorf("carry it on %s: %w", name, err)
		}
	}
	return nil
}

// onlyVLAN makes a VLAN the only one of a port.
func onlyVLAN(port netlink.Link, vlan uint16) error {
	present, err := netlink.BridgeVlanList()
	if err != nil {
		return fmt.Errorf("list VLANs: %w", err)
	}
	for _, info := range present[int32(port.Attrs().Index)] {
		if info.Vid != vlan {
			if err := netlink.BridgeVlanDel(port, info.Vid, false, false, false, true); err != nil {
				return fmt.Errorf("leave %d: %w", info.Vid, err)
			}
		}
	}
	if err := netlink.BridgeVlanAdd(port, vlan, true, true, false, true); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}
