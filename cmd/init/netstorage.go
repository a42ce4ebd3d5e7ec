package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/iscsi"
	"github.com/zerodisc/zerodisc/internal/nfs"
	"github.com/zerodisc/zerodisc/internal/uevent"
	"github.com/zerodisc/zerodisc/internal/webstore"
)

// guestStores are the stores that the configuration names.
type guestStores struct {
	web     []webstore.Source
	exports []nfs.Source
}

// parseStores sorts stores by the kind of their server. NFS exports have no sum.
func parseStores(stores []config.Store) (s guestStores, err error) {
	var urls, sums []string
	for _, store := range stores {
		if !strings.HasPrefix(store.URL, nfs.Scheme) {
			urls, sums = append(urls, store.URL), append(sums, store.SHA256)
			continue
		}
		export, err := nfs.Parse(store.URL)
		if err == nil && store.SHA256 != "" {
			err = fmt.Errorf("%s has no list that a sum could be of; leave its sum out", export)
		}
		if err != nil {
			return s, err
		}
		s.exports = append(s.exports, export)
	}
	if len(urls) == 0 {
		return s, nil
	}
	pins := strings.Join(sums, ",")
	if strings.Trim(pins, ",") == "" {
		pins = ""
	}
	s.web, err = webstore.ParseSources(strings.Join(urls, ","), pins)
	return s, err
}

// mountExports takes guests from NFS servers, for as long as the machine runs.
func (d *dom0) mountExports(ctx context.Context, exports []nfs.Source) {
	for _, export := range exports {
		store := nfs.Store{
			Source: export, Kernel: nfs.Linux{}, Dir: boot.MediaDir, Left: d.leftMount(export.String()),
			Refuse: func(e *guests.Error, root string) { d.owners.controller.RefuseAt(e, root, false) },
			Start: func(ctx context.Context, g *guests.Guest) {
				d.owners.controller.Offer(ctx, d.unknown([]*guests.Guest{g}), true)
			},
			Uses: func(dir string) []string { return d.usersOf(dir, "") },
			Tell: func(r host.Remote) { d.state.Tell(r) },
		}
		d.watch(ctx, export.String(), store.Run)
	}
}

// attachTargets logs in to the iSCSI targets that the configuration names. Their disks are found as all others are.
func (d *dom0) attachTargets(ctx context.Context) {
	wanted := d.config().Stores.ISCSI
	if len(wanted.Targets) == 0 {
		return
	}
	targets, err := iscsi.ParseTargets(strings.Join(wanted.Targets, ","))
	if err != nil {
		d.iscsiFault("stores.iscsi.targets", err)
		return
	}
	name := initiatorName(machineSeed())
	if wanted.Initiator != "" {
		name = wanted.Initiator
		if err := iscsi.CheckName(name); err != nil {
			d.iscsiFault("stores.iscsi.initiator", err)
			return
		}
	}
	guarded.Go(ctx, func() {
		select {
		case <-d.random: // challenges are random
		case <-ctx.Done():
			return
		}
		if err := d.logIn(ctx, targets, name); err != nil && ctx.Err() == nil {
			d.iscsiFault("stores.iscsi", err)
		}
	})
}

func (d *dom0) iscsiFault(key string, err error) {
	d.log.Error(boot.MsgConfig, "key", key, "err", err,
		"remedy", "no iSCSI target is used; docs/configuration.md")
	d.state.Tell(host.Problem{Text: key + ": " + err.Error()})
}

// logIn keeps this machine logged in to targets.
func (d *dom0) logIn(ctx context.Context, targets []iscsi.Target, name string) error {
	if err := loadModules(ctx, iscsi.Module); err != nil {
		return err
	}
	kernel, err := iscsi.OpenLinux()
	if err != nil {
		return err
	}
	for _, target := range targets {
		initiator := iscsi.Initiator{
			Target: target, Name: name, ISID: sessionID(target), Kernel: kernel,
			Found: d.foundRemote, Uses: d.usersOfDisk,
			Tell: func(r host.Remote) { d.state.Tell(r) },
		}
		d.watch(ctx, "iscsi-"+target.String(), endless(initiator.Run))
	}
	return nil
}

// foundRemote makes a disk read-only, unless guests may write to it.
func (d *dom0) foundRemote(disk string) error {
	if len(d.config().Stores.Write) > 0 && d.devices != nil {
		d.awaitLinks(disk)
	}
	if slices.ContainsFunc(partitions(disk), d.mayWrite) {
		return nil
	}
	return iscsi.SetReadOnly(disk)
}

// awaitLinks waits until a disk and its partitions have their links in /dev, by which the configuration may name them.
func (d *dom0) awaitLinks(disk string) {
	ctx, cancel := context.WithTimeout(context.Background(), deviceTimeout)
	defer cancel()
	handled, err := d.devices.Subscribe(ctx, isDevice(disk))
	if err == nil {
		select {
		case <-handled:
		case <-ctx.Done():
		}
		err = d.devices.Settle(ctx, deviceQuiet)
	}
	if err != nil {
		d.log.Warn("devices", "err", err)
	}
}

// isDevice returns what says whether an event is about a block device.
func isDevice(device string) func(uevent.Event) bool {
	return func(e uevent.Event) bool { return e.Subsystem == "block" && "/dev/"+e.DevName == device }
}

// partitions are a disk and what it is divided into.
func partitions(disk string) []string {
	name := filepath.Base(disk)
	list := []string{disk}
	parts, err := filepath.Glob(filepath.Join("/sys/class/block", name, name+"*"))
	if err != nil {
		return list
	}
	for _, part := range parts {
		list = append(list, "/dev/"+filepath.Base(part))
	}
	return list
}

// usersOfDisk lists the guests that use a disk, a partition of it, or a file on one of them.
func (d *dom0) usersOfDisk(disk string) []string {
	var names []string
	devices := partitions(disk)
	for _, device := range devices {
		names = append(names, d.usersOf("", device)...)
	}
	for _, v := range d.state.Snapshot().Host.Volumes {
		if v.Mount != "" && slices.Contains(devices, v.Device) {
			names = append(names, d.usersOf(v.Mount, "")...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// initiatorName is this machine's iSCSI name: the same at each boot, and another one than other machines'.
func initiatorName(seed string) string {
	return fmt.Sprintf("iqn.2026-01.com.github.zerodisc:%x", sha256.Sum256([]byte("initiator "+seed)))[:maxInitiator]
}

// maxInitiator leaves 16 digits of the sum.
const maxInitiator = len("iqn.2026-01.com.github.zerodisc:") + 16

// sessionID is the ISID of the session with a target, in the form of random ones (RFC 7143 section 11.12.5). It is the
// same at each boot, so that a target ends the session that was left behind.
func sessionID(target iscsi.Target) (isid [6]byte) {
	sum := sha256.Sum256([]byte(target.String()))
	copy(isid[1:], sum[:])
	isid[0] = 0x80
	return isid
}
