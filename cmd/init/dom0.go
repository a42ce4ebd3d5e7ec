package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/stage"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/webstore"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// shellsAtLast is when, after init's start, the consoles get their shells, booted or not.
const shellsAtLast = time.Minute

// dom0 is Xen's control domain while it boots and runs.
type dom0 struct {
	machine
	host    xen.Host
	store   *xenstore.Client
	domains atomic.Pointer[xen.Domains] // nil until Xen's daemons run
	guests  *guestBoard
	bridge  string
	kernel  string // the Linux kernel that guests may share, "" when it is not at hand

	memory    sync.Mutex // held while memory, Xen's or dom0's, is given out
	downloads *webstore.Budget
}

// dom0Modules have no device that asks for them: Xen's drivers without alias, and the bridge that
// the kernel would ask for one at a time.
var dom0Modules = []string{
	"xenfs", "xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd", "xen_acpi_processor",
	"xen_netback", "xen_blkback", "bridge",
}

// runDom0 boots dom0, keeps it going until somebody asks for its end, and returns how it ends.
func runDom0(s *system) int {
	d := &dom0{
		machine: machine{system: s, modules: dom0Modules},
		bridge:  s.bridgeName(), guests: newGuestBoard(s.log, s.report),
	}
	d.downloads = webstore.NewBudget(&d.memory, spareForDownloads)
	action := s.untilAsked(d.boot)
	if domains := d.domains.Load(); domains != nil {
		s.shutdown(domains)
	}
	return int(action)
}

// bridgeName is the bridge that the kernel command line asks for, or the usual one.
func (s *system) bridgeName() string {
	name := s.cmdline[boot.KeyBridge]
	switch {
	case name == "":
		return boot.DefaultBridge
	case len(name) >= unix.IFNAMSIZ || strings.ContainsAny(name, "/ :"):
		s.log.Warn("kernel parameter", "key", boot.KeyBridge, "err", fmt.Sprintf("%q is no name of an interface (1 to %d characters)", name, unix.IFNAMSIZ-1),
			"remedy", "the bridge is called "+boot.DefaultBridge)
		return boot.DefaultBridge
	}
	return name
}

// boot is the boot from first to last.
func (d *dom0) boot(ctx context.Context) {
	shells := sync.OnceFunc(func() { keepShells(ctx, d.log, d.terminals, d.report.String) })
	defer time.AfterFunc(shellsAtLast, shells).Stop()
	stage.Run(ctx, d.log, []stage.Stage{
		{Name: "tools", Run: mountTools, Remedy: "the initrd is damaged: check the disc"},
		{Name: "devices", Run: d.findDevices, Remedy: "devices that came late are still taken; see dmesg"},
		{Name: "xen", Run: d.startXen, Remedy: "boot an entry of the menu that starts Xen; see xl dmesg"},
		{Name: "network", Run: d.startNetwork, Remedy: "guests with a vif are refused; see ip link"},
		{Name: "media", Run: d.findMedium, Remedy: "put the boot medium back in and reboot, or xl create a guest from another disk"},
		{Name: "guests", Run: d.startGuests, Remedy: "xl create FILE.cfg starts a guest by hand"},
	})
	if ctx.Err() != nil {
		return
	}
	d.log.Info(boot.MsgReady, "guests", d.guests.running(), "ms", time.Since(d.start).Milliseconds())
	shells()
}

// startXen starts Xen's daemons and learns what the machine can do.
func (d *dom0) startXen(ctx context.Context) error {
	if err := xen.Setup(); err != nil {
		return err
	}
	if _, err := supervise.Start(ctx, xen.StoreDaemon(d.daemonLog, d.reportDaemon)); err != nil {
		return err
	}
	if err := xen.RegisterDom0(ctx, xen.Exec); err != nil {
		return err
	}
	if _, err := supervise.Start(ctx, xen.ConsoleDaemon(d.daemonLog, d.reportDaemon)); err != nil {
		d.log.Error("daemon", "name", "xenconsoled", "err", err)
	}
	host, err := xen.ReadHost(ctx, xen.Exec)
	if err != nil {
		return err
	}
	store, err := xenstore.Dial(ctx, xenstore.Socket)
	if err != nil {
		return err
	}
	d.host, d.store = host, store
	d.domains.Store(xen.NewDomains(xen.Exec, store))
	d.report.Host(fmt.Sprintf("Xen %s, %d CPUs, %d MiB, guests run as %s", host.Version, host.CPUs, host.TotalKiB>>10, guestType(host)))
	go d.watchGuests(ctx)
	return nil
}

// reportDaemon tells what became of one of Xen's daemons.
func (d *dom0) reportDaemon(s supervise.Status) {
	level := slog.LevelDebug
	if s.Err != nil || s.Restarts > 0 {
		level = slog.LevelWarn
	}
	d.log.Log(context.Background(), level, boot.MsgDaemon, "name", s.Name, "state", string(s.Phase), "pid", s.PID, "err", s.Err)
	if s.Phase == supervise.Failed {
		d.report.Problem(s.Err.Error())
	}
}

// startNetwork makes the bridge that guests are attached to; NIC and lease follow in the background.
func (d *dom0) startNetwork(ctx context.Context) error {
	if err := (netcfg.Bridge{Name: d.bridge}).Ensure(); err != nil {
		return err
	}
	if err := setDefaultBridge(d.bridge); err != nil {
		d.log.Warn("xl.conf", "err", err, "remedy", "name the bridge in the vif of guests that you create by hand")
	}
	manager, err := netcfg.NewManager(netcfg.Options{
		Bridge: d.bridge, BootIF: d.bootIF(), Hostname: d.setHostname(),
		SetHostname: !d.cmdline.Has(boot.KeyHostname),
		ResolvConf:  "/etc/resolv.conf", TimeServers: boot.RunDir + "/ntp",
		Report: d.reportNetwork,
	})
	if err != nil {
		return err
	}
	go func() {
		<-d.random
		if err := manager.Run(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("network", "err", err)
		}
	}()
	return nil
}

// setDefaultBridge tells xl which bridge a guest is put on that names none. The file on the disc has
// the usual one.
func setDefaultBridge(bridge string) error {
	const conf = "/etc/xen/xl.conf"
	text, err := os.ReadFile(conf)
	if err != nil || bridge == boot.DefaultBridge {
		return err
	}
	return writeAtomic(conf, strings.ReplaceAll(string(text), boot.DefaultBridge, bridge))
}

// findMedium mounts the medium that GRUB was started from. Without a build id on the command line
// the machine was booted from the network and everything is in the initrd.
func (d *dom0) findMedium(ctx context.Context) error {
	if d.cmdline[boot.KeyMediumID] == "" {
		if fileExists(boot.KernelInRAM) {
			d.kernel = boot.KernelInRAM
		}
		return nil
	}
	if err := d.mountMedium(ctx, mediaTimeout, true); err != nil {
		d.report.Problem(err.Error())
		return err
	}
	if kernel := boot.MediaMount + "/" + boot.MediumKernel; fileExists(kernel) {
		d.kernel = kernel
	}
	return nil
}
