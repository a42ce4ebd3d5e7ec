package privnet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// Follow keeps the rules in step with dom0's own addresses and gateways, which no guest may claim, has a bridge's NIC
// carry the guests' VLANs whichever NIC that is, and says whether dom0 has an address on the bridge that does not come
// from a private network, at first and when that changes, where addressed is not nil. It returns when ctx ends.
func Follow(ctx context.Context, rules vifrules.Rules, bridge string, addressed chan<- bool, report func(Event)) {
	changed := watch(ctx)
	var before *facts
	for {
		now, err := look(rules, bridge)
		if err == nil && (before == nil || !slices.Equal(before.own, now.own)) {
			err = rules.Configure(func(c *vifrules.Config) { c.Host.Protected = now.own })
		}
		if err == nil && (before == nil || !slices.Equal(before.ports, now.ports)) {
			err = rules.Carry(bridge)
		}
		if err != nil {
			report(Event{Kind: EventProblem, Bridge: bridge, Err: err})
		}
		if err == nil && addressed != nil && (before == nil || before.addressed != now.addressed) {
			select {
			case addressed <- now.addressed:
			case <-ctx.Done():
			}
		}
		if err == nil {
			before = &now
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			rest(ctx, followGap)
		}
	}
}

// followGap is the shortest time between two looks: changes come in bursts.
const followGap = 100 * time.Millisecond

// facts are what follows from dom0's addresses.
type facts struct {
	own       []netip.Addr // addresses and gateways, sorted
	addressed bool
	ports     []int // of the bridge, but for vifs: the indexes of its NICs
}

func look(rules vifrules.Rules, bridge string) (facts, error) {
	link, err := netlink.LinkByName(bridge)
	if err != nil {
		return facts{}, fmt.Errorf("look up bridge %s: %w", bridge, err)
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return facts{}, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return facts{}, fmt.Errorf("list routes: %w", err)
	}
	private, err := rules.Private()
	if err != nil {
		return facts{}, err
	}
	f := facts{}
	if f.ports, err = nics(link.Attrs().Index); err != nil {
		return facts{}, err
	}
	for _, a := range addresses {
		address, ok := netip.AddrFromSlice(a.IP)
		if address = address.Unmap(); !ok || address.IsLoopback() {
			continue
		}
		f.own = append(f.own, address)
		isPrivate := slices.ContainsFunc(private, func(p vifrules.Private) bool { return p.Prefix.Addr() == address })
		if a.LinkIndex == link.Attrs().Index && !isPrivate && !address.IsLinkLocalUnicast() {
			f.addressed = true
		}
	}
	for _, route := range routes {
		if gateway, ok := netip.AddrFromSlice(route.Gw); ok {
			f.own = append(f.own, gateway.Unmap())
		}
	}
	slices.SortFunc(f.own, netip.Addr.Compare)
	f.own = slices.Compact(f.own)
	return f, nil
}

// nics lists the ports of a bridge that are no vifs.
func nics(bridge int) ([]int, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var ports []int
	for _, link := range all {
		if a := link.Attrs(); a.MasterIndex == bridge && !strings.HasPrefix(a.Name, "vif") {
			ports = append(ports, a.Index)
		}
	}
	return ports, nil
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
