package netcfg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listTries is how often a dump that was interrupted by changes is repeated.
const listTries = 20

// Complete lists something, again if changes interrupted the dump.
func Complete[T any](list func() ([]T, error)) (all []T, err error) {
	for range listTries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, err
}

// listLinks returns all links.
func listLinks() ([]netlink.Link, error) {
	links, err := Complete(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return links, nil
}

// hasCarrier says whether a link can carry frames. It has to be up for that to be known.
func hasCarrier(link netlink.Link) bool {
	return link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

// carrierLosses returns how often a link has lost its carrier. Unlike the events about that, of
// which several may become one, the kernel's counter misses none. Kernels without it count 0.
func carrierLosses(index int) (uint32, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return 0, fmt.Errorf("look up link %d: %w", index, err)
	}
	for _, answer := range answers {
		attrs, err := nl.ParseRouteAttr(answer[unix.SizeofIfInfomsg:])
		if err != nil {
			return 0, fmt.Errorf("look up link %d: %w", index, err)
		}
		for _, attr := range attrs {
			if attr.Attr.Type == unix.IFLA_CARRIER_DOWN_COUNT && len(attr.Value) == 4 {
				return binary.NativeEndian.Uint32(attr.Value), nil
			}
		}
	}
	return 0, nil
}

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenNone = 1

// raise sets a link up.
func raise(link netlink.Link) error {
	if link.Attrs().RawFlags&unix.IFF_UP != 0 {
		return nil
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", link.Attrs().Name, err)
	}
	return nil
}

// raiseLoopback sets the interface up by which a machine reaches itself. The kernel makes it, and leaves it down.
func raiseLoopback() error {
	link, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return raise(link)
}

// raisePort sets a link up that gets its addresses from this package or none: without those that IPv6 would
// make up and, as long as the link is not in a bridge, ask routers for.
func raisePort(link netlink.Link) error {
	if link.Attrs().RawFlags&unix.IFF_UP != 0 {
		return nil
	}
	if err := quietIPv6(link.Attrs().Name); err != nil {
		return err
	}
	return raise(link)
}

// resubscribePause is how long a broken subscription rests before the next try.
const resubscribePause = time.Second

// watched are the netlink groups whose messages mean that something may have to be done.
var watched = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV6_ROUTE,
}

// watchKernel returns a channel that holds a token whenever some link, address or route may have changed since
// it was last read. It does not say which: all are listed anew, so that an event the kernel had to drop does
// no harm. The watch ends with ctx.
func watchKernel(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			if err := forwardChanges(ctx, changed); ctx.Err() == nil && !errors.Is(err, unix.ENOBUFS) {
				rest(ctx, resubscribePause)
			}
			notify(changed) // something may have happened while nobody listened
		}
	}()
	return changed
}

// forwardChanges subscribes to the kernel's changes until the subscription breaks or ctx ends. ENOBUFS is
// returned when the socket's buffer overflowed.
func forwardChanges(ctx context.Context, changed chan<- struct{}) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, watched...)
	if err != nil {
		return fmt.Errorf("subscribe to changes of links, addresses and routes: %w", err)
	}
	defer context.AfterFunc(ctx, socket.Close)()
	defer socket.Close()
	for {
		notify(changed)
		if _, _, err := socket.Receive(); err != nil {
			return fmt.Errorf("read changes of links, addresses and routes: %w", err)
		}
	}
}

func notify(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}
