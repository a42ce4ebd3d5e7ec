package xen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// Observer watches xenstore for all domains, whoever made them, and tells facts about them. What a guest can
// write in xenstore is never taken for what the toolstack wrote: identity and name come from keys that
// only dom0 writes, and MACs from the backends' side.
type Observer struct {
	Store *xenstore.Client
	// Tell gets host.Came, Named, Plugged, Served, Said and Gone. A domain's end is told before the beginning of
	// the next one, though both may be noticed at the same time.
	Tell func(host.Fact)
	// Came is called for each domain that has appeared, after it was told.
	Came func(domid int, uuid string)
	// Console is called for each pseudo-terminal that xenstore names for a console of a domain; node is the key
	// below the domain's directory, one of consoles. Its path is empty once the domain is gone.
	Console func(domid int, uuid, node, path string)
	// Changed is called when a domain may have shut down, which only the hypervisor knows.
	Changed func()
	Log     *slog.Logger // for debugging

	watcher *xenstore.Watcher
	domains map[int]*observed
	late    <-chan time.Time // when addresses are looked at that changed too soon; nil while there are none
}

// observed is what was told of a domain.
type observed struct {
	uuid    string
	name    string
	ttys    [len(consoles)]string
	said    string
	macs    []string
	disks   []host.Disk
	watches []string
	looked  time.Time // at its address
	late    bool      // its address has changed since, too soon after that look
}

// addressPause is the shortest time between two looks at one domain's address, which the domain may change
// thousands of times a second.
const addressPause = 500 * time.Millisecond

// Run observes until ctx ends or the connection is lost.
func (o *Observer) Run(ctx context.Context) error {
	watcher, err := o.Store.Watch(ctx, xenstore.IntroduceDomain, xenstore.ReleaseDomain)
	if err != nil {
		return fmt.Errorf("observe domains: %w", err)
	}
	defer watcher.Close(context.WithoutCancel(ctx))
	o.watcher, o.domains = watcher, map[int]*observed{}
	for {
		var err error
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return fmt.Errorf("observe domains: %w", o.Store.Err())
			}
			err = o.handle(ctx, event)
		case <-o.late:
			err = o.lookLate(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || o.Store.Err() != nil {
			return fmt.Errorf("observe domains: %w", err)
		}
		o.Log.Debug("observe domains", "err", err) // one domain's trouble is not the others'
	}
}

// handle looks again at what an event hints at.
func (o *Observer) handle(ctx context.Context, event xenstore.Event) error {
	if strings.HasPrefix(event.Watch, "@") {
		err := o.follow(ctx)
		if event.Watch == xenstore.ReleaseDomain {
			o.Changed()
		}
		return err
	}
	for domid, domain := range o.domains {
		for i, look := range []func(context.Context, int, *observed) error{
			o.lookName, o.lookAddress, o.lookVIFs, o.lookDisks, o.lookConsoles, o.lookConsoles,
		} {
			if domain.watches[i] == event.Watch && o.worthALook(event) {
				return look(ctx, domid, domain)
			}
		}
	}
	return nil
}

// telling are the keys below a backend of which a change matters. The toolstack writes all that is read of a backend
// at once, but for the device of a disk, which the hotplug program adds.
var telling = []string{"mac", "params", diskDevice}

// worthALook leaves out most of what happens below a backend while it connects: only its coming, its going and what it
// is matter.
func (o *Observer) worthALook(event xenstore.Event) bool {
	below := strings.TrimPrefix(strings.TrimPrefix(event.Path, event.Watch), "/")
	return !strings.Contains(below, "/") || slices.Contains(telling, path.Base(below))
}

// paths are what is watched of a domain, in the order of handle's looks.
func paths(domid int) []string {
	return []string{
		home(domid) + "/name",
		home(domid) + "/" + boot.XenstoreAddress,
		backends("vif", domid),
		backends("vbd", domid),
		home(domid) + "/" + consoles[0],
		home(domid) + "/" + consoles[1],
	}
}

// backends is where dom0's backends for a domain's devices of a kind are.
func backends(kind string, domid int) string {
	return "/local/domain/0/backend/" + kind + "/" + strconv.Itoa(domid)
}

// follow compares the domains that there are with those that are known.
func (o *Observer) follow(ctx context.Context) error {
	domids, err := listDomIDs(ctx, o.Store)
	if err != nil {
		return err
	}
	var failures []error
	for domid, domain := range o.domains {
		if slices.Contains(domids, domid) {
			continue
		}
		delete(o.domains, domid)
		o.Tell(host.Gone{Domid: domid})
		o.tellConsoles(domid, domain, [len(consoles)]string{})
		for _, watched := range domain.watches {
			failures = append(failures, o.watcher.Remove(ctx, watched))
		}
	}
	for _, domid := range domids {
		if o.domains[domid] == nil {
			failures = append(failures, o.begin(ctx, domid))
		}
	}
	return errors.Join(failures...)
}

// begin follows a domain. A directory without an identity is no domain, or none yet.
func (o *Observer) begin(ctx context.Context, domid int) error {
	vm, found, err := o.read(ctx, home(domid)+"/vm")
	uuid, isVM := strings.CutPrefix(vm, "/vm/")
	if err != nil || !found || !isVM {
		return err
	}
	name, found, err := o.read(ctx, home(domid)+"/name")
	if err != nil || !found {
		return err
	}
	domain := &observed{uuid: uuid, name: name, watches: paths(domid)}
	o.domains[domid] = domain
	o.Tell(host.Came{Domid: domid, UUID: uuid, Name: name})
	o.Came(domid, uuid)
	for _, watched := range domain.watches {
		if err := o.watcher.Add(ctx, watched); err != nil {
			return err
		}
	}
	return nil
}

// read returns the value at key, and whether there is one.
func (o *Observer) read(ctx context.Context, key string) (value string, found bool, err error) {
	value, err = o.Store.Read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return value, err == nil, err
}

// list returns the names below key, none where it is not there.
func (o *Observer) list(ctx context.Context, key string) ([]string, error) {
	names, err := o.Store.Directory(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// lookName notices another name, and the end of a domain that libxl has destroyed: it clears the name after
// the last special event.
func (o *Observer) lookName(ctx context.Context, domid int, domain *observed) error {
	name, found, err := o.read(ctx, home(domid)+"/name")
	switch {
	case err != nil:
		return err
	case !found:
		return o.follow(ctx)
	case name != domain.name:
		domain.name = name
		o.Tell(host.Named{Domid: domid, Name: name})
	}
	return nil
}

// lookAddress reads the address that a domain says it has, now or when it is time again.
func (o *Observer) lookAddress(ctx context.Context, domid int, domain *observed) error {
	if time.Since(domain.looked) >= addressPause {
		return o.readAddress(ctx, domid, domain)
	}
	domain.late = true
	if o.late == nil {
		o.late = time.After(addressPause)
	}
	return nil
}

// lookLate reads the addresses that had changed too soon.
func (o *Observer) lookLate(ctx context.Context) error {
	o.late = nil
	var failures []error
	for domid, domain := range o.domains {
		if domain.late {
			failures = append(failures, o.readAddress(ctx, domid, domain))
		}
	}
	return errors.Join(failures...)
}

// readAddress reads the address that a domain says it has. What is no IPv4 address is none.
func (o *Observer) readAddress(ctx context.Context, domid int, domain *observed) error {
	domain.looked, domain.late = time.Now(), false
	text, _, err := o.read(ctx, home(domid)+"/"+boot.XenstoreAddress)
	if err != nil || text == domain.said {
		return err
	}
	address, err := netip.ParseAddr(text)
	if text != "" && (err != nil || !address.Is4()) {
		return nil // guests may write anything; what it said before still stands
	}
	domain.said = text
	o.Tell(host.Said{Domid: domid, Address: address})
	return nil
}

// lookVIFs reads the MACs of a domain's network interfaces on the backends' side, where the domain cannot
// write.
func (o *Observer) lookVIFs(ctx context.Context, domid int, domain *observed) error {
	dir := backends("vif", domid)
	handles, err := o.list(ctx, dir)
	if err != nil {
		return err
	}
	var macs []string
	for _, handle := range handles {
		text, _, err := o.read(ctx, dir+"/"+handle+"/mac")
		if err != nil {
			return err
		}
		if mac, err := net.ParseMAC(text); err == nil {
			macs = append(macs, mac.String())
		}
	}
	slices.Sort(macs)
	if slices.Equal(macs, domain.macs) {
		return nil
	}
	domain.macs = macs
	o.Tell(host.Plugged{Domid: domid, MACs: macs})
	return nil
}

// consoles are the keys that name the pseudo-terminals of a domain's consoles: xenconsoled's, and QEMU's for the
// serial port of an HVM guest. Only dom0 can write them (libxl_device.c, libxl__device_generic_add; libxl_create.c,
// libxl__domain_make).
var consoles = [...]string{"console/tty", "serial/0/tty"}

// lookConsoles reads where a domain's consoles are. libxl makes the key with an empty value.
func (o *Observer) lookConsoles(ctx context.Context, domid int, domain *observed) error {
	now := domain.ttys
	for i, node := range consoles {
		path, found, err := o.read(ctx, home(domid)+"/"+node)
		if err != nil {
			return err
		}
		if found && path != "" {
			now[i] = path
		}
	}
	o.tellConsoles(domid, domain, now)
	return nil
}

// tellConsoles tells what has changed.
func (o *Observer) tellConsoles(domid int, domain *observed, now [len(consoles)]string) {
	for i, path := range now {
		if path != domain.ttys[i] {
			o.Console(domid, domain.uuid, consoles[i], path)
		}
	}
	domain.ttys = now
}

// GiveSeed writes random bytes, hexadecimal, where a zerodisc guest looks for them; other guests leave them
// alone. A domain that has gone, or another one that has its number, gets none: the store would make a
// directory for it.
func GiveSeed(ctx context.Context, store *xenstore.Client, domid int, uuid, seed string) error {
	return store.Transact(ctx, func(tx *xenstore.Tx) error {
		vm, err := tx.Read(ctx, home(domid)+"/vm")
		if errors.Is(err, fs.ErrNotExist) || err == nil && vm != "/vm/"+uuid {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.Write(ctx, home(domid)+"/"+boot.XenstoreSeed, seed)
	})
}
