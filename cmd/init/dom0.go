package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/media"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/stage"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/uevent"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// Times that a boot waits at most for what a machine may not have.
const (
	deviceQuiet   = 100 * time.Millisecond // without an event: all devices are there
	deviceTimeout = 30 * time.Second
	mediaTimeout  = 30 * time.Second // a USB stick may take ten seconds to spin up
	bootEnd       = 10 * time.Second // for a boot that is called off
	shellsAtLast  = time.Minute      // after init's start the consoles get their shells, booted or not
)

// dom0 is Xen's control domain while it boots and runs.
type dom0 struct {
	*system
	devices *uevent.Manager
	host    xen.Host
	store   *xenstore.Client
	domains atomic.Pointer[xen.Domains] // nil until Xen's daemons run
	guests  *guestBoard
	bridge  string
	kernel  string // the Linux kernel that guests may share, "" when it is not at hand
}

// forcedModules have no device that asks for them: Xen's drivers without alias, the bridge that the
// kernel would ask for one at a time, the power button's event device.
var forcedModules = []string{
	"xenfs", "xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd", "xen_acpi_processor",
	"xen_netback", "xen_blkback", "bridge", "evdev",
}

// runDom0 boots dom0, keeps it going until somebody asks for its end, and returns how it ends.
func runDom0(s *system) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &dom0{system: s, bridge: s.bridgeName(), guests: newGuestBoard(s.log, s.report)}
	booted := make(chan struct{})
	go func() {
		defer close(booted)
		d.boot(ctx)
	}()
	action := <-s.requests
	s.log.Info(boot.MsgEnding, "action", action.String())
	cancel()
	select {
	case <-booted:
	case <-time.After(bootEnd): // a damaged disc can keep a process in the kernel for minutes
	}
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

// mountTools mounts what dom0 has and guests have not: Xen's tools and all modules.
func mountTools(context.Context) error { return loopdev.MountImage(boot.Dom0Image, boot.Dom0Mount) }

// findDevices listens for devices, looks through those that are there, and waits until all of
// them have their drivers. The listener goes on for as long as the machine runs.
func (d *dom0) findDevices(ctx context.Context) error {
	host, err := kmod.ThisHost(boot.ModulesDir, boot.EarlyModules)
	if err != nil {
		return err
	}
	loader, err := host.Open(host.Roots[0])
	if err != nil {
		return err
	}
	listener, err := uevent.Listen()
	if err != nil {
		return err
	}
	d.devices = uevent.NewManager(uevent.Config{
		Source: listener, Sys: os.DirFS("/sys"), Log: d.log, Workers: 2 * runtime.NumCPU(),
		Load:  func(ctx context.Context, alias string) error { return loader.Load(ctx, alias) },
		Final: isFinal,
	})
	go func() {
		if err := d.devices.Run(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("devices", "err", err, "remedy", "devices plugged in from now on are not seen; reboot")
		}
	}()
	for _, err := range each(loader.LoadAll(ctx, forcedModules...)) {
		if !errors.Is(err, unix.ENODEV) { // the machine has nothing for it to drive
			d.log.Warn("modules", "err", err)
		}
	}
	wait, cancel := context.WithTimeout(ctx, deviceTimeout)
	defer cancel()
	err = d.devices.Settle(wait, deviceQuiet)
	d.watchPowerButton()
	return err
}

// isFinal says of an error that another device with the same alias will meet it too: there is no
// such module, it may not be loaded, or it finds nothing to drive on this machine.
func isFinal(err error) bool {
	return !slices.ContainsFunc(each(err), func(err error) bool {
		return !errors.Is(err, kmod.ErrNotFound) && !errors.Is(err, kmod.ErrBlacklisted) && !errors.Is(err, unix.ENODEV)
	})
}

// each takes apart what errors.Join has joined.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		errs = append(errs, each(err)...)
	}
	return errs
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
	hostname := d.cmdline[boot.KeyHostname]
	if hostname == "" {
		hostname = "zerodisc"
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		d.log.Warn("host name", "err", err)
	}
	bootIF := d.cmdline[boot.KeyBootIf]
	if _, err := netcfg.ParseBootIF(bootIF); err != nil {
		d.log.Warn("kernel parameter", "key", boot.KeyBootIf, "err", err, "remedy", "it is ignored: the first network card with a carrier is taken")
		bootIF = ""
	}
	manager, err := netcfg.NewManager(netcfg.Options{
		Bridge: d.bridge, BootIF: bootIF, Hostname: hostname,
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

// networkMessages are the console lines for the manager's events; the others are for debugging.
var networkMessages = map[netcfg.EventKind]string{
	netcfg.EventLease:   boot.MsgHostAddress,
	netcfg.EventNoLease: boot.MsgNoLease,
	netcfg.EventLost:    boot.MsgLeaseLost,
	netcfg.EventNoNIC:   boot.MsgNoNIC,
}

func (d *dom0) reportNetwork(e netcfg.Event) {
	attrs := []any{}
	for _, a := range e.Attrs() {
		attrs = append(attrs, a)
	}
	message, ok := networkMessages[e.Kind]
	switch {
	case !ok:
		d.log.Debug("network", append(attrs, "event", e.Kind.String())...)
	case e.Kind == netcfg.EventLease:
		d.log.Info(message, attrs...)
		d.report.Network(fmt.Sprintf("%s on %s (%s)", e.Lease.Address, e.Interface, e.NIC))
	default:
		d.log.Warn(message, attrs...)
		d.report.Network(fmt.Sprintf("no address: %v (still trying)", e.Err))
	}
}

// findMedium mounts the medium that GRUB was started from. Without a build id on the command line
// the machine was booted from the network and everything is in the initrd.
func (d *dom0) findMedium(ctx context.Context) error {
	id := d.cmdline[boot.KeyMediumID]
	if id == "" {
		if fileExists(boot.KernelInRAM) {
			d.kernel = boot.KernelInRAM
		}
		return nil
	}
	if d.devices == nil {
		return errors.New("devices are not followed")
	}
	if err := os.MkdirAll(boot.MediaMount, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mediaTimeout)
	defer cancel()
	events, err := d.devices.Subscribe(ctx, func(e uevent.Event) bool { return e.Subsystem == "block" && e.Action != "remove" })
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	go func() {
		for range events {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	device, err := media.New(id, changed).Find(ctx, boot.MediaMount)
	if err != nil {
		d.report.Problem(err.Error())
		return err
	}
	d.log.Info(boot.MsgMedium, "device", device, "mount", boot.MediaMount)
	if kernel := boot.MediaMount + "/" + boot.MediumKernel; fileExists(kernel) {
		d.kernel = kernel
	}
	return nil
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
