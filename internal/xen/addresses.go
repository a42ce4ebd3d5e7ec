package xen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// Address is an address that a guest says it has.
type Address struct {
	DomID   int
	Name    string
	Address netip.Addr // IPv4
}

// addresses follows the addresses of all guests. One goroutine uses it.
type addresses struct {
	store   *xenstore.Client
	watcher *xenstore.Watcher
	last    map[int]string // what each watched domain said last
	came    func(domid int)
	found   func(Address)
}

// WatchGuests calls came for each guest that is there or comes, whoever started it, and found for each
// address that a guest writes into xenstore (boot.XenstoreAddress), once for each change, until
// ctx ends or the connection is lost. Both are called from this goroutine and should not take long.
// What is not an IPv4 address is ignored: guests are not trusted.
func WatchGuests(ctx context.Context, store *xenstore.Client, came func(domid int), found func(Address)) error {
	watcher, err := store.Watch(ctx, xenstore.IntroduceDomain, xenstore.ReleaseDomain)
	if err != nil {
		return fmt.Errorf("watch guests: %w", err)
	}
	defer watcher.Close(context.WithoutCancel(ctx))
	a := &addresses{store: store, watcher: watcher, last: map[int]string{}, came: came, found: found}
	for {
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return fmt.Errorf("watch guests: %w", store.Err())
			}
			if err := a.handle(ctx, event); err != nil {
				return fmt.Errorf("watch guests: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *addresses) handle(ctx context.Context, event xenstore.Event) error {
	if strings.HasPrefix(event.Watch, "@") {
		return a.follow(ctx)
	}
	domid, err := strconv.Atoi(strings.Split(event.Watch, "/")[3]) // /local/domain/DOMID/...
	if err != nil {
		return err
	}
	return a.look(ctx, domid)
}

// follow watches the domains that came and forgets those that went.
func (a *addresses) follow(ctx context.Context) error {
	domids, err := listDomIDs(ctx, a.store)
	if err != nil {
		return err
	}
	for _, domid := range domids {
		if _, known := a.last[domid]; known || domid == 0 {
			continue
		}
		a.last[domid] = ""
		a.came(domid)
		if err := a.watcher.Add(ctx, addressKey(domid)); err != nil {
			return err
		}
	}
	for domid := range a.last {
		if slices.Contains(domids, domid) {
			continue
		}
		delete(a.last, domid)
		if err := a.watcher.Remove(ctx, addressKey(domid)); err != nil {
			return err
		}
	}
	return nil
}

func addressKey(domid int) string { return home(domid) + "/" + boot.XenstoreAddress }

// look reads a domain's address and reports it if it is another one than before.
func (a *addresses) look(ctx context.Context, domid int) error {
	text, err := a.store.Read(ctx, addressKey(domid))
	last, followed := a.last[domid]
	if errors.Is(err, fs.ErrNotExist) || (err == nil && text == last) || !followed {
		return nil // not written yet, or gone since the event
	}
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(text)
	if err != nil || !address.Is4() {
		return nil
	}
	name, err := a.store.Read(ctx, home(domid)+"/name")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a.last[domid] = text
	a.found(Address{DomID: domid, Name: name, Address: address})
	return nil
}
