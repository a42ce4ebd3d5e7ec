package vifrules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/netcfg"
)

// ownAddresses are dom0's own now, and those that it will have on private networks, sorted.
func ownAddresses(private []Private) ([]netip.Addr, error) {
	list, err := netcfg.Complete(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range list {
		if address, ok := netip.AddrFromSlice(a.IP); ok && !address.Unmap().IsLoopback() {
			own = append(own, address.Unmap())
		}
	}
	for _, p := range private {
		own = append(own, p.Prefix.Addr())
	}
	slices.SortFunc(own, netip.Addr.Compare)
	return slices.Compact(own), nil
}

// CheckMAC is an error where a MAC cannot be that of a guest's new network interface: another guest that is here has
// it, or dom0, or the gateway or a name server.
func (r Rules) CheckMAC(mac, uuid string) error {
	f, err := r.read()
	if err != nil {
		return err
	}
	f.forgetGone()
	return f.claim(strings.ToLower(mac), strings.ToLower(uuid))
}

// claim is an error where the MAC is somebody else's than the guest's. Both are in lower case.
func (f *files) claim(mac, uuid string) error {
	for _, v := range f.vifs {
		if v.MAC == mac && v.UUID != uuid {
			return fmt.Errorf("the guest %q has it", v.Guest)
		}
	}
	links, err := netcfg.Complete(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		// What a vif has itself, fe:ff:ff:ff:ff:ff, is not the guest's.
		if a := link.Attrs(); a.HardwareAddr.String() == mac && !f.has(a.Name) {
			return fmt.Errorf("%s of dom0 has it", a.Name)
		}
	}
	return f.claimNeighbour(mac)
}

// claimNeighbour is an error where the MAC is that of the gateway or a name server, as far as dom0 knows it.
func (f *files) claimNeighbour(mac string) error {
	list := func() ([]netlink.Neigh, error) { return netlink.NeighList(0, netlink.FAMILY_ALL) }
	neighbours, err := netcfg.Complete(list)
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	protected := slices.Concat(f.config.Host.Protected, f.config.Host.Resolvers)
	for _, n := range neighbours {
		address, ok := netip.AddrFromSlice(n.IP)
		if ok && n.HardwareAddr.String() == mac && slices.Contains(protected, address.Unmap()) {
			return fmt.Errorf("%s, dom0's gateway or name server, has it", address.Unmap())
		}
	}
	return nil
}
