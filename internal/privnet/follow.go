package privnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// Protect keeps the rules in step with dom0's own addresses and gateways, which no guest may claim. It returns when ctx
// ends or something fails; whoever calls it again is in step at once.
func Protect(ctx context.Context, rules vifrules.Rules) error {
	return follow(ctx, ownAddresses, func(own []netip.Addr) error {
		return rules.Configure(func(c *vifrules.Config) { c.Host.Protected = own })
	})
}

// CarryVLANs has a bridge's NIC carry the guests' VLANs, whichever NIC that is. It returns as [Protect] does.
func CarryVLANs(ctx context.Context, rules vifrules.Rules, bridge string) error {
	return follow(ctx, func() ([]int, error) { return nics(rules, bridge) },
		func([]int) error { return rules.Carry(bridge) })
}

// follow looks at a fact, and acts on it each time that it is another one.
func follow[T any](ctx context.Context, look func() (T, error), act func(T) error) error {
	changed := watch(ctx)
	for first, before := true, *new(T); ; first = false {
		now, err := look()
		if err == nil && (first || !reflect.DeepEqual(before, now)) {
			err = act(now)
		}
		if err != nil {
			return err
		}
		before = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			rest(ctx, followGap)
		}
	}
}

// followGap is the shortest time between two looks: changes come in bursts.
const followGap = 100 * time.Millisecond

// ownAddresses are dom0's addresses and gateways, in their order.
func ownAddresses() ([]netip.Addr, error) {
	addresses, err := addressesOf(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	routes, err := routesOf(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range addresses {
		if address, ok := netip.AddrFromSlice(a.IP); ok && !address.Unmap().IsLoopback() {
			own = append(own, address.Unmap())
		}
	}
	for _, route := range routes {
		if gateway, ok := netip.AddrFromSlice(route.Gw); ok {
			own = append(own, gateway.Unmap())
		}
	}
	slices.SortFunc(own, netip.Addr.Compare)
	return slices.Compact(own), nil
}

// hasAddress says whether dom0 has an address on a bridge for more than its own link, that does not come from a private
// network. On a bridge that is not there it has none.
func hasAddress(rules vifrules.Rules, bridge string) (bool, error) {
	private, err := rules.Private()
	if err != nil {
		return false, err
	}
	link, err := netlink.LinkByName(bridge)
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up bridge %s: %w", bridge, err)
	}
	addresses, err := addressesOf(link, netlink.FAMILY_ALL)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(addresses, func(a netlink.Addr) bool {
		address, _ := netip.AddrFromSlice(a.IP)
		isOurs := func(p vifrules.Private) bool { return p.Prefix.Addr() == address.Unmap() }
		return !address.Unmap().IsLinkLocalUnicast() && !slices.ContainsFunc(private, isOurs)
	}), nil
}

// addressesOf lists the addresses of a link; nil: of all.
func addressesOf(link netlink.Link, family int) ([]netlink.Addr, error) {
	list, err := netcfg.Complete(func() ([]netlink.Addr, error) { return netlink.AddrList(link, family) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return list, nil
}

func routesOf(family int) ([]netlink.Route, error) {
	list, err := netcfg.Complete(func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return list, nil
}

// nics lists the ports of a bridge that are no vifs, whatever those are called.
func nics(rules vifrules.Rules, bridge string) ([]int, error) {
	vifs, err := rules.Vifs()
	if err != nil {
		return nil, err
	}
	all, err := netcfg.Complete(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	master := slices.IndexFunc(all, func(link netlink.Link) bool { return link.Attrs().Name == bridge })
	if master < 0 {
		return nil, nil
	}
	var ports []int
	for _, link := range all {
		a := link.Attrs()
		isVif := slices.ContainsFunc(vifs, func(v vifrules.Vif) bool { return v.Name == a.Name })
		if a.MasterIndex == all[master].Attrs().Index && !isVif {
			ports = append(ports, a.Index)
		}
	}
	return ports, nil
}

func isMissing(err error) bool {
	_, missing := errors.AsType[netlink.LinkNotFoundError](err)
	return missing
}

// watched are the netlink groups whose messages mean that a look is due.
var watched = []uint{
	unix.RTNLGRP_LINK,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// watch returns a channel that holds a token when addresses or routes may have changed.
func watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			if err := subscribe(ctx, changed); ctx.Err() == nil && err != nil {
				rest(ctx, followGap) // the socket's buffer overflowed, as a rule
			}
			notify(changed)
		}
	}()
	return changed
}

func subscribe(ctx context.Context, changed chan<- struct{}) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, watched...)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, socket.Close)()
	defer socket.Close()
	for {
		notify(changed)
		if _, _, err := socket.Receive(); err != nil {
			return err
		}
	}
}

func notify(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

func rest(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}
