package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/sshd"
	"github.com/zerodisc/zerodisc/internal/stage"
	"github.com/zerodisc/zerodisc/internal/sysctl"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/zram"
)

// shellsAtLast is when, after init's start, the consoles get their shells, booted or not.
const shellsAtLast = time.Minute

// dom0 is Xen's control domain while it boots and runs.
type dom0 struct {
	machine
	manager *netcfg.Manager // nil until startNetwork
	bridge  string          // the one that guests are on which name none
	kernel  string          // the Linux kernel that guests may share, "" when it is not at hand
	xen     xen.Host
	owners  *owners       // nil where Xen's daemons do not run
	owned   chan struct{} // closed once owners is set
	ssh     *sshd.Service // nil until startSSH
	saved   bool          // the state volume was there before the guests
	// endBoard takes the status board away; set where there is one.
	endBoard func()
	shells   chan struct{} // closed when the consoles get their shells
	medium   chan error    // how the search for the medium has ended
	// fetched is closed when the configuration at a URL has come, or cannot; nil where there is none.
	fetched chan struct{}
}

// dom0Modules have no device that asks for them: Xen's drivers without alias, and the bridge that
// the kernel would ask for one at a time.
var dom0Modules = []string{
	"xenfs", "xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd", "xen_acpi_processor",
	"xen_netback", "xen_blkback", "bridge", zram.Module, "xen_wdt",
	// The kernel asks for the other parts of the packet filter itself.
	"nf_tables", "nft_meta_bridge", "nft_ct", "nft_limit",
}

// runDom0 boots dom0, keeps it going until somebody asks for its end, and returns how it ends.
func runDom0(s *system) int {
	d := &dom0{
		machine: machine{system: s, modules: dom0Modules, idle: make(chan struct{})},
		bridge:  s.config().Network.Default(), owned: make(chan struct{}), shells: make(chan struct{}),
	}
	s.startLogServices()
	if s.board {
		d.startBoard()
	}
	run := d.boot
	if s.left != nil {
		run = d.resume
	}
	action := s.untilAsked(run)
	s.shutdownGuests()
	s.endWatchdog(action)
	return int(action)
}

// boot is the boot from first to last.
func (d *dom0) boot(ctx context.Context) {
	shells := d.openShells(ctx)
	defer time.AfterFunc(shellsAtLast, shells).Stop()
	stage.Run(ctx, d.stageEnded, []stage.Stage{
		{Name: "lockdown", Run: lockDown, Remedy: "the host runs on with less protection: docs/security.md"},
		{Name: "tools", Run: d.mountTools, Remedy: "the initrd is damaged: check the disc"},
		{Name: "devices", Run: d.startDevices, Remedy: "devices that came late are still taken; see dmesg"},
		{Name: "swap", Run: makeSwap, Remedy: "dom0 cannot spare as much memory for guests as it should; see dmesg"},
		{Name: "xen", Run: d.startXen, Remedy: "boot an entry of the menu that starts Xen; see xl dmesg"},
		{
			Name: "media", Run: d.awaitMedium,
			Remedy: "put the boot medium back in and reboot, or xl create a guest from another disk",
		},
		{Name: "config", Run: d.readConfig, Remedy: "what was read of the configuration is used"},
		{Name: "state", Run: d.takeState, Remedy: "what guests write is lost when the machine ends; see dmesg"},
		{Name: "ssh", Run: func(ctx context.Context) error { d.startSSH(ctx); return nil }},
		{Name: "network", Run: d.startNetwork, Remedy: "guests with a vif are refused; see ip link"},
		{Name: "guests", Run: d.startGuests, Remedy: "xl create FILE.cfg starts a guest by hand"},
	})
	if ctx.Err() != nil {
		return
	}
	d.startWatchdog(d.state.Answers)
	d.tell(host.Ready{Took: time.Since(d.start)})
	close(d.idle)
	go d.tidyMemory(ctx)
	d.followMedium(ctx)
	shells()
}

// openShells returns what gives the consoles their shells, once.
func (d *dom0) openShells(ctx context.Context) func() {
	return sync.OnceFunc(func() {
		d.decidePassword() // what was to be read may hang
		close(d.shells)
		d.keepShells(ctx, d.consoleText)
	})
}

// lockDown makes the kernel's settings what dom0 wants, before there are devices, networks and daemons.
func lockDown(context.Context) error { return sysctl.Apply(sysctl.Table) }

// startXen starts Xen's daemons, learns what the machine can do, and starts what owns guests.
func (d *dom0) startXen(ctx context.Context) error {
	if err := d.startDaemons(ctx); err != nil {
		return err
	}
	owners, err := d.startOwners(ctx, d.guestMachine)
	if err != nil {
		return err
	}
	if d.xen, err = owners.toolstack.Info(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(boot.GuestRunDir, 0o755); err != nil {
		return err
	}
	d.state.Tell(host.Machine{
		Xen: d.xen.Version, CPUs: d.xen.CPUs, TotalKiB: d.xen.TotalKiB, GuestType: string(guestType(d.xen)),
	})
	d.owners = owners
	if d.left != nil {
		owners.controller.Resume(ctx, d.left.Snapshot)
	}
	close(d.owned)
	owners.serveAPI(ctx)
	pid1.Resumable()
	guarded.Go(ctx, func() { d.preferDom0(ctx) })
	return nil
}

// preferDom0 gives dom0 its share of the processors. With a scheduler that the user chose it is what that gives it.
func (d *dom0) preferDom0(ctx context.Context) {
	if err := d.owners.toolstack.PreferDom0(ctx); err != nil {
		d.log.Debug("dom0's share of the processors", "err", err)
	}
}

// startDaemons starts Xen's daemons.
func (d *dom0) startDaemons(ctx context.Context) error {
	if err := xen.Setup(); err != nil {
		return err
	}
	if err := d.services.Add(ctx, lasting(xen.XenstoreDaemon(d.daemonLog, d.reportDaemon))); err != nil {
		return err
	}
	if err := xen.RegisterDom0(ctx, xen.Exec); err != nil {
		return err
	}
	if err := d.services.Add(ctx, lasting(xen.ConsoleDaemon(d.daemonLog, d.reportDaemon))); err != nil {
		d.log.Error("daemon", "name", "xenconsoled", "err", err)
	}
	d.service("xen-log", d.keepXenLog)
	d.service("xenstore-limit", d.limitStore)
	return nil
}

// limitStore keeps guests from writing to xenstore without end.
func (d *dom0) limitStore(ctx context.Context) error {
	return xen.LimitStore(ctx, func() (time.Duration, error) {
		for _, daemon := range d.state.Snapshot().Host.Daemons {
			if daemon.Name == xenstoredName && daemon.PID != 0 {
				return xen.ProcessorTime(daemon.PID)
			}
		}
		return 0, nil // it has died, and its service says so
	})
}

// startNetwork makes the bridges that guests are attached to; NICs, addresses and what is heard on the bridges follow
// in the background.
func (d *dom0) startNetwork(ctx context.Context) error {
	network, problems := networkOf(d.config())
	d.reportProblems(problems)
	manager, err := netcfg.NewManager(netcfg.Options{
		Network: network, BootIF: d.bootIF(), Hostname: d.setHostname(),
		SetHostname: d.config().Hostname == "",
		ResolvConf:  resolvConf, TimeServers: boot.RunDir + "/ntp",
		Report: d.reportNetwork,
	})
	if err != nil {
		return err
	}
	if err := manager.MakeBridges(); err != nil {
		return err
	}
	d.manager = manager
	unguarded := d.guardNetwork(ctx, d.config()) // guests are refused then, and dom0 still has to be reached
	if err := setDefaultBridge(d.bridge); err != nil {
		d.log.Warn("xl.conf", "err", err, "remedy", "name the bridge in the vif of guests that you create by hand")
	}
	d.keepNetworkServices(nil)
	d.service("network", d.whenRandom(manager.Run))
	d.startClock()
	d.fetchConfig(ctx)
	return unguarded
}

// watchNeighbours tells what is heard on a bridge, for guests that do not say their address themselves.
func (d *dom0) watchNeighbours(ctx context.Context, bridge string) error {
	heard := func(mac net.HardwareAddr, address netip.Addr) { d.heard(bridge, mac, address) }
	for ctx.Err() == nil {
		if err := netcfg.WatchNeighbours(ctx, bridge, heard); ctx.Err() == nil {
			d.log.Debug("watch neighbours", "err", err)
			time.Sleep(time.Second) // somebody takes the bridge down and up
		}
	}
	return ctx.Err()
}

// heardPause is the shortest time between two addresses that are heard of one guest, which may send thousands a
// second. One that comes too soon is taken when it is heard again.
const heardPause = time.Second

// heard takes an address that was heard on a bridge, where it is news and the frame came in by the guest's own
// vif: anyone can spoof ARP.
func (d *dom0) heard(bridge string, mac net.HardwareAddr, address netip.Addr) {
	g := d.state.Snapshot().ByMAC(mac.String())
	if g == nil || g.Heard == address {
		return
	}
	if ago := time.Since(g.HeardAt); ago >= 0 && ago < heardPause { // below 0: somebody has set the clock back
		return
	}
	port, err := netcfg.Bridge{Name: bridge}.PortOf(mac)
	if err != nil {
		return // it has just gone
	}
	if owner, isVif := netcfg.VifDomain(os.DirFS("/sys"), port); isVif && owner == g.Domid {
		d.state.Tell(host.Heard{Domid: owner, MAC: mac.String(), Address: address})
	}
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

// startDevices finds devices, and has the medium searched for while the next stages run: the configuration that may be
// on it has to be known before the network.
func (d *dom0) startDevices(ctx context.Context) error {
	err := d.findDevices(ctx)
	d.medium = make(chan error, 1)
	go func() { d.medium <- guarded.Func(ctx, func() error { return d.findMedium(ctx) })() }()
	return err
}

// awaitMedium waits until the medium is mounted.
func (d *dom0) awaitMedium(context.Context) error { return <-d.medium }

// findMedium mounts the medium that GRUB was started from. Without a build id on the command line
// the machine was booted from the network and everything is in the initrd.
func (d *dom0) findMedium(ctx context.Context) error {
	if d.cmdline[boot.KeyMediumID] != "" {
		if err := d.mountMedium(ctx, mediaTimeout, true); err != nil {
			d.state.Tell(host.Problem{Text: err.Error()})
			return err
		}
	}
	d.kernel = sharedKernel()
	return nil
}

// sharedKernel is the kernel that guests may share, on the medium or in the initrd; "" where it is in neither.
func sharedKernel() string {
	for _, kernel := range []string{boot.MediaMount + "/" + boot.MediumKernel, boot.KernelInRAM} {
		if fileExists(kernel) {
			return kernel
		}
	}
	return ""
}
