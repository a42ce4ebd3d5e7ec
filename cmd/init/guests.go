package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/control"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/namespace"
	"github.com/zerodisc/zerodisc/internal/webstore"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// guestType says how guests run that do not say it themselves.
func guestType(h xen.Host) guests.Type {
	if h.PVH() {
		return guests.PVH
	}
	return guests.PV
}

// guestMachine is what guests are resolved for.
func (d *dom0) guestMachine() guests.Machine {
	return guests.Machine{
		HVM: d.xen.PVH(), Kernel: d.kernel, Bridge: d.bridge, Seed: machineSeed(),
	}
}

// startGuests starts every guest of this machine's stores that fits. Those of its disks and of servers follow in the
// background. Without autostart, guests are only made known, and nothing is fetched.
func (d *dom0) startGuests(ctx context.Context) error {
	if d.owners == nil {
		return errors.New("xen does not run")
	}
	d.awaitConfig(ctx)
	auto := config.Is(d.config().Autostart, true)
	turn := make(chan struct{})
	defer close(turn)
	d.followStorage(ctx, auto, turn)
	defer d.attachTargets(ctx)
	found, broken := d.scanGuests()
	for _, e := range broken {
		d.owners.controller.RefuseAt(e, "", true)
	}
	d.owners.controller.Offer(ctx, guests.Trust(found), auto)
	if auto {
		d.fetchGuests(ctx)
	}
	return nil
}

// fetchGuests takes guests from the web and NFS servers that the configuration names, each on its own and for as long
// as the machine runs.
func (d *dom0) fetchGuests(ctx context.Context) {
	if len(d.config().Stores.URLs) == 0 {
		return
	}
	stores, err := parseStores(d.config().Stores.URLs)
	if err == nil && len(stores.web) > 0 && !fileExists(filepath.Join(boot.WebStoresDir, "1")) { // since before a crash
		err = namespace.MountMemory(boot.WebStoresDir, 0, 0o755) // how much it takes is the ledger's business
	}
	if err != nil {
		d.log.Error(boot.MsgConfig, "key", "stores.urls", "err", err,
			"remedy", "no guest is fetched; docs/configuration.md")
		d.state.Tell(host.Problem{Text: err.Error()})
		return
	}
	d.mountExports(ctx, stores.exports)
	client := webstore.NewClient()
	for i, source := range stores.web {
		if d.leftFinished(source.String()) {
			continue
		}
		store := webstore.Store{
			Source: source, Dir: filepath.Join(boot.WebStoresDir, strconv.Itoa(i+1)), Client: client,
			Memory: d.owners.ledger, Report: d.reportStore(source.String()),
			Start: startFetched(d.owners.controller, source.Pin != nil), Started: d.hasStarted,
			Refuse: d.owners.controller.Refuse,
		}
		d.watch(ctx, source.String(), endless(func(ctx context.Context) { d.runStore(ctx, store) }))
	}
}

// runStore runs one store, once there are random numbers for its connections.
func (d *dom0) runStore(ctx context.Context, store webstore.Store) {
	select {
	case <-d.random:
	case <-ctx.Done():
		return
	}
	err := os.MkdirAll(store.Dir, 0o755)
	if err == nil {
		err = store.Run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error(boot.MsgGuestStore, "url", store.Source.String(), "err", err)
	}
}

// startFetched returns what starts the guest in a directory and says whether its files are needed. A store is trusted
// when its list is pinned: then nobody on the way, and nobody at the server, can change what its guests are.
func startFetched(controller *control.Controller, trusted bool) func(context.Context, string) bool {
	return func(ctx context.Context, dir string) bool {
		guest, err := guests.Load(dir)
		var broken *guests.Error
		if errors.As(err, &broken) {
			controller.Refuse(broken)
			return false
		}
		guest.Trusted = trusted
		return controller.Offer(ctx, []*guests.Guest{guest}, true) > 0
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
