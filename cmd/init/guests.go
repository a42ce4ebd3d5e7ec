package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// guestBoard knows which guests there are and tells the console what becomes of them, each thing
// once. Its methods may be called from any goroutine.
type guestBoard struct {
	log    *slog.Logger
	report *report.Report

	mu        sync.Mutex
	starting  map[string]bool       // guests that init is creating, by name
	domids    map[string]int        // of the guests that run, by name
	names     map[string]string     // guest's name by the MAC of a network interface
	addresses map[string]netip.Addr // last one told, by guest
	says      map[string]bool       // guests that tell their address themselves
	told      map[string]int        // how many addresses were told, by guest
}

// maxAddresses is how many addresses a guest may have told in its life: what a guest says costs dom0
// memory and everybody's attention.
const maxAddresses = 100

func newGuestBoard(log *slog.Logger, r *report.Report) *guestBoard {
	return &guestBoard{
		log: log, report: r, starting: map[string]bool{}, domids: map[string]int{},
		names: map[string]string{}, addresses: map[string]netip.Addr{}, says: map[string]bool{}, told: map[string]int{},
	}
}

// running is the number of guests that run.
func (b *guestBoard) running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.domids)
}

// creates notes that init is about to create a guest.
func (b *guestBoard) creates(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.starting[name] = true
}

// started tells of a guest that init has created.
func (b *guestBoard) started(d *guests.Domain, domid int, took time.Duration) {
	b.mu.Lock()
	delete(b.starting, d.Name)
	b.domids[d.Name] = domid
	for _, mac := range d.MACs {
		b.names[strings.ToLower(mac)] = d.Name
	}
	b.mu.Unlock()
	b.log.Info(boot.MsgGuestRunning, "guest", d.Name, "domid", domid, "ms", took.Milliseconds(), "type", string(d.Type))
	b.report.SetGuest(report.Guest{Name: d.Name, Domid: domid, State: "running"})
}

// adopted tells of a guest that somebody else has created, xl at its reboot or a person, and reports
// whether that is so.
func (b *guestBoard) adopted(name string, domid int) bool {
	b.mu.Lock()
	known := b.starting[name] || b.domids[name] == domid
	if !known {
		// It may come before the end of the one that had the name is known.
		b.domids[name] = domid
		delete(b.addresses, name)
		delete(b.says, name)
	}
	b.mu.Unlock()
	if known {
		return false
	}
	b.log.Info(boot.MsgGuestRunning, "guest", name, "domid", domid)
	b.report.SetGuest(report.Guest{Name: name, Domid: domid, State: "running"})
	return true
}

// stopped tells that a guest has ended. Another one may have its name by then.
func (b *guestBoard) stopped(name string, domid int) {
	b.mu.Lock()
	current := b.domids[name] == domid
	if current {
		delete(b.domids, name)
		delete(b.addresses, name)
		delete(b.says, name)
	}
	b.mu.Unlock()
	b.log.Info(boot.MsgGuestStopped, "guest", name, "domid", domid)
	if current {
		b.report.SetGuest(report.Guest{Name: name, Domid: domid, State: "stopped"})
	}
}

func (b *guestBoard) refused(name, file string, err error) {
	b.mu.Lock()
	delete(b.starting, name)
	_, runs := b.domids[name]
	b.mu.Unlock()
	b.log.Error(boot.MsgGuestRefused, "guest", name, "file", file, "err", err)
	if runs {
		b.report.Problem(err.Error()) // the guest's own line is the running one's
		return
	}
	b.report.SetGuest(report.Guest{Name: name, State: "refused", Problem: err.Error()})
}

// runs says whether there is a guest of that name.
func (b *guestBoard) runs(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, runs := b.domids[name]
	return runs
}

// said notes an address that a guest has told through xenstore.
func (b *guestBoard) said(name string, address netip.Addr) {
	b.mu.Lock()
	b.says[name] = true
	b.mu.Unlock()
	b.address(name, address)
}

// seen notes an address that was heard on the bridge. ARP can be spoofed: a guest's own report wins, and the frame
// must have come in by the guest's own vif, which isFrom says.
func (b *guestBoard) seen(mac net.HardwareAddr, address netip.Addr, isFrom func(domid int) bool) {
	b.mu.Lock()
	name := b.names[mac.String()]
	domid, runs := b.domids[name]
	isNews := !b.says[name] && b.addresses[name] != address
	b.mu.Unlock()
	if runs && isNews && isFrom(domid) {
		b.address(name, address)
	}
}

// address notes where a guest can be reached.
func (b *guestBoard) address(name string, address netip.Addr) {
	b.mu.Lock()
	tell := b.addresses[name] != address && b.told[name] < maxAddresses
	if tell {
		b.addresses[name] = address
		b.told[name]++
	}
	b.mu.Unlock()
	if tell {
		b.log.Info(boot.MsgGuestAddress, "guest", name, "address", address.String())
		b.report.SetAddress(name, address.String())
	}
}

// named notes whose a network interface is.
func (b *guestBoard) named(mac, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names[strings.ToLower(mac)] = name
}

// watchGuests gives every guest its seed, follows those that init has not created itself, and learns
// all guests' addresses: from xenstore, where guests that know of it tell, and from the bridge, where
// all others are heard.
func (d *dom0) watchGuests(ctx context.Context) {
	go func() {
		for ctx.Err() == nil {
			if err := netcfg.WatchNeighbours(ctx, d.bridge, d.heard); ctx.Err() == nil {
				d.log.Debug("watch neighbours", "err", err)
				time.Sleep(time.Second) // the bridge is made a stage later
			}
		}
	}()
	came := func(domid int) {
		go d.giveSeed(ctx, domid)
		go d.adopt(ctx, domid)
	}
	err := xen.WatchGuests(ctx, d.store, came, func(a xen.Address) { d.guests.said(a.Name, a.Address) })
	if ctx.Err() == nil {
		d.log.Error("watch guests", "err", err)
	}
}

// heard takes an address that was heard on the bridge.
func (d *dom0) heard(mac net.HardwareAddr, address netip.Addr) {
	d.guests.seen(mac, address, func(domid int) bool {
		port, err := netcfg.Bridge{Name: d.bridge}.PortOf(mac)
		if err != nil {
			return false // it has just gone
		}
		owner, isVif := netcfg.VifDomain(os.DirFS("/sys"), port)
		return isVif && owner == domid
	})
}

// guestType says how guests run that do not say it themselves.
func guestType(host xen.Host) guests.Type {
	if host.PVH() {
		return guests.PVH
	}
	return guests.PV
}

// createKiB is what xl takes of dom0's memory while it creates a guest, most of it for the kernel,
// which it decompresses (measured: 60 MiB with Debian's, whose image unpacked has 50).
const createKiB = 64 << 10

// creators is how many guests may be created at a time: one for each CPU, as far as dom0's memory allows.
func creators(availableKiB int64) int {
	return int(max(1, min(int64(runtime.NumCPU()), availableKiB/createKiB)))
}

// startGuests starts every guest of this machine's stores that fits. Those of web servers follow in the
// background.
func (d *dom0) startGuests(ctx context.Context) error {
	auto, err := d.cmdline.Bool(boot.KeyAutostart, true)
	if err != nil || !auto {
		return err
	}
	if d.domains.Load() == nil {
		return errors.New("xen does not run")
	}
	if err := os.MkdirAll(boot.GuestRunDir, 0o755); err != nil {
		return err
	}
	d.startOwn(ctx)
	d.fetchGuests(ctx)
	return nil
}

// startOwn starts the guests of the medium and of the initrd.
func (d *dom0) startOwn(ctx context.Context) {
	d.memory.Lock()
	defer d.memory.Unlock()
	found, broken := guests.Scan(boot.MediaMount+"/"+boot.MediumGuests, boot.GuestsInRAM)
	d.launch(ctx, found, broken, d.host.FreeKiB)
}

// launch starts those of the guests found that fit in memory, several at a time, and refuses the others and
// the broken ones. freeKiB is what Xen has left. It returns how many fitted, once they are created. The
// caller holds d.memory: xl takes some, too.
func (d *dom0) launch(ctx context.Context, found []*guests.Guest, broken []*guests.Error, freeKiB int64) int {
	for _, e := range broken {
		d.guests.refused(e.Guest, e.File, e)
	}
	admitted := d.admit(ctx, d.resolve(found), freeKiB)
	slots := make(chan struct{}, creators(d.availableKiB()))
	var group sync.WaitGroup
	for _, domain := range admitted {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			d.startGuest(ctx, domain)
		})
	}
	group.Wait()
	return len(admitted)
}

// resolve completes guests for this machine and refuses those that it cannot run.
func (d *dom0) resolve(found []*guests.Guest) []*guests.Domain {
	machine := guests.Machine{HVM: d.host.PVH(), Kernel: d.kernel, Bridge: d.bridge, Seed: machineSeed()}
	var domains []*guests.Domain
	for _, g := range found {
		domain, err := g.Resolve(machine)
		if err == nil && d.guests.runs(g.Name) {
			err = &guests.Error{Guest: g.Name, File: g.File, Problem: fmt.Sprintf("a guest with the name %q runs already", g.Name),
				Remedy: "give one of them another name"}
		}
		if err != nil {
			d.guests.refused(g.Name, g.File, err)
			continue
		}
		domains = append(domains, domain)
	}
	return domains
}

// keepKiB is what dom0 keeps free of its memory, whatever guests would like to have: what xl takes, and
// some for the kernel's caches.
const keepKiB = createKiB + 32<<10

// availableKiB is what dom0 has free of its memory, without what is promised to downloads.
func (d *dom0) availableKiB() int64 {
	promised := d.downloads.Pending() >> 10
	available, err := xen.NewBalloon().AvailableKiB()
	if err != nil {
		d.log.Warn("dom0's memory", "err", err)
	}
	return max(0, available-promised)
}

// admit decides which guests fit in freeKiB, which Xen has left, and in what dom0 gives up for them of
// what it does not need itself.
func (d *dom0) admit(ctx context.Context, domains []*guests.Domain, freeKiB int64) []*guests.Domain {
	spare := max(0, d.availableKiB()-keepKiB)
	admitted, refused := guests.Plan(domains, freeKiB+spare)
	var need int64
	for _, domain := range admitted {
		need += domain.NeedKiB()
	}
	if missing := need - freeKiB; missing > 0 {
		freed, err := xen.NewBalloon().GiveUpKiB(ctx, missing)
		d.log.Debug("dom0 gave up memory", "kib", freed, "of", missing, "err", err)
		admitted, refused = guests.Plan(domains, freeKiB+freed)
	}
	for _, e := range refused {
		d.guests.refused(e.Guest, e.File, e)
	}
	return admitted
}

// startGuest creates one guest and follows it until it has ended for good.
func (d *dom0) startGuest(ctx context.Context, domain *guests.Domain) {
	start := time.Now()
	file := filepath.Join(boot.GuestRunDir, domain.Name+".cfg")
	if err := os.WriteFile(file, domain.Bytes(), 0o644); err != nil {
		d.guests.refused(domain.Name, domain.File, err)
		return
	}
	d.guests.creates(domain.Name)
	if err := d.domains.Load().Create(ctx, file); err != nil {
		if ctx.Err() == nil {
			d.guests.refused(domain.Name, domain.File, fmt.Errorf("%w; its configuration as Xen got it is %s", err, file))
		}
		return
	}
	domid, err := d.domains.Load().DomID(ctx, domain.Name)
	if err != nil {
		d.guests.refused(domain.Name, domain.File, fmt.Errorf("it ended as soon as it was created: %w; see xl dmesg", err))
		return
	}
	d.guests.started(domain, domid, time.Since(start))
	go d.follow(ctx, domain.Name, domid)
}

// giveSeed puts random bytes where a zerodisc guest looks for them; other guests leave them alone.
func (d *dom0) giveSeed(ctx context.Context, domid int) {
	<-d.random
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails, crypto/rand
	key := fmt.Sprintf("/local/domain/%d/%s", domid, boot.XenstoreSeed)
	if err := d.store.Write(ctx, key, hex.EncodeToString(seed[:])); err != nil {
		d.log.Debug("seed", "domid", domid, "err", err)
	}
}

// adopt follows a guest that has come, unless init is creating it.
func (d *dom0) adopt(ctx context.Context, domid int) {
	name, err := d.domains.Load().Name(ctx, domid)
	if err != nil {
		d.log.Debug("guest's name", "domid", domid, "err", err)
		return
	}
	if !d.guests.adopted(name, domid) {
		return
	}
	go func() {
		for _, mac := range d.domains.Load().MACs(ctx, domid) {
			d.guests.named(mac, name)
		}
	}()
	d.follow(ctx, name, domid)
}

// follow tells when the guest has ended.
func (d *dom0) follow(ctx context.Context, name string, domid int) {
	if d.domains.Load().Wait(ctx, domid) == nil {
		d.guests.stopped(name, domid)
	}
}

// machineSeed tells this machine from others on its LAN: the UUID of its firmware (SMBIOS type 1), which
// many boards of one model share, and the lowest address of its NICs.
func machineSeed() string {
	uuid, _ := os.ReadFile("/sys/class/dmi/id/product_uuid")
	devices, _ := filepath.Glob("/sys/class/net/*/device")
	var addresses []string
	for _, device := range devices {
		if text, err := os.ReadFile(filepath.Join(filepath.Dir(device), "address")); err == nil {
			addresses = append(addresses, strings.TrimSpace(string(text)))
		}
	}
	slices.Sort(addresses)
	return strings.Join(append([]string{strings.TrimSpace(string(uuid))}, addresses[:min(1, len(addresses))]...), " ")
}
