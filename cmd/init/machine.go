package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/media"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/sysfs"
	"github.com/zerodisc/zerodisc/internal/udev"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// Times that a boot waits at most for what a machine may not have.
const (
	deviceQuiet   = 100 * time.Millisecond // without an event: all devices are there
	deviceTimeout = 30 * time.Second
	mediaTimeout  = 30 * time.Second // a USB stick may take ten seconds to spin up
)

// Where the kernel shows devices.
const sysDir, devDir = "/sys", "/dev"

// buttonModule makes the power button readable. No device asks for it.
const buttonModule = "evdev"

// machine is what the modes with a real machine's devices share: all but a guest of Xen's.
type machine struct {
	*system
	modules []string        // set by the mode: what no device asks for, loaded as well
	devices *uevent.Manager // nil until findDevices has made it
	idle    chan struct{}   // closed when the boot is through; nil in modes that are in no hurry
}

// mountTools mounts what dom0 has and guests have not: Xen's tools and all modules, and keyboard layouts.
func (m *machine) mountTools(context.Context) error {
	err := loopdev.MountImage(boot.Dom0Image, boot.Dom0Mount)
	m.setKeyboard() // as far as it is known
	return err
}

// findDevices listens for devices, looks through those that are there, and waits until all of
// them have their drivers. The listener goes on for as long as the machine runs.
func (m *machine) findDevices(ctx context.Context) error {
	defer haste()()
	modules, err := kmod.ThisHost(boot.ModulesDir, boot.EarlyModules)
	if err != nil {
		return err
	}
	loader, err := modules.Open(modules.Roots[0])
	if err != nil {
		return err
	}
	for _, problem := range loader.Problems {
		m.log.Warn("modules", "err", problem)
	}
	listener, err := uevent.Listen()
	if err != nil {
		return err
	}
	links, err := m.deviceManager()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	m.devices = uevent.NewManager(uevent.Config{
		Source: listener, Sys: sysfs.FS(sysDir), Log: m.log, Workers: 2 * runtime.NumCPU(),
		Load: func(ctx context.Context, alias string) error {
			if err := quiet(sysDir, alias); err != nil {
				m.log.Warn("devices", "err", err)
			}
			return loader.Load(ctx, alias)
		},
		Final:  isFinal,
		Handle: links.Handle, Remember: udev.Concerns, Later: udev.Later,
		Busy: udev.Queue(udev.RunDir, func(err error) { m.log.Warn("device queue", "err", err) }),
	})
	guarded.Go(ctx, func() { links.Run(ctx) })
	guarded.Go(ctx, func() {
		if err := m.devices.Run(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("devices", "err", err, "remedy", "devices plugged in from now on are not seen; reboot")
		}
	})
	wait, cancel := context.WithTimeout(ctx, deviceTimeout)
	defer cancel()
	m.loadModules(wait, loader.LoadAll)
	err = m.devices.Settle(wait, deviceQuiet)
	m.watchPowerButton()
	go func() {
		if err := udev.GrantAll(devDir); err != nil {
			m.log.Warn("device nodes", "err", err)
		}
	}()
	return err
}

// haste lets the program take more memory and collect less garbage, until the function that it returns is called.
// With 150 disks the collector took a third of the time.
func haste() (end func()) {
	percent, limit := debug.SetGCPercent(400), debug.SetMemoryLimit(64<<20)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// deviceManager makes what gives devices their links and names.
func (m *machine) deviceManager() (*udev.Manager, error) {
	announce, err := udev.Announcer()
	if err != nil {
		return nil, err
	}
	watch, err := udev.NewWatch(sysDir, devDir)
	if err != nil {
		return nil, err
	}
	if err := udev.PollDrives(sysDir); err != nil {
		m.log.Debug("drives", "err", err)
	}
	return udev.New(udev.Config{
		Sys: sysfs.FS(sysDir), Dev: devDir, Run: udev.RunDir, Log: m.log, Workers: 4 * runtime.NumCPU(),
		Ask: udev.Ask, Announce: announce, AddNames: udev.AddNames, Watch: watch,
		Idle: m.idle,
	}), nil
}

// loadModules loads what no device asks for. A module that hangs, as a driver may with a dying device, is waited for
// until ctx ends.
func (m *machine) loadModules(ctx context.Context, loadAll func(context.Context, ...string) error) {
	done := make(chan error, 1)
	go func() { done <- loadAll(ctx, slices.Concat(m.modules, []string{buttonModule})...) }()
	select {
	case err := <-done:
		for _, err := range each(err) {
			if !errors.Is(err, unix.ENODEV) { // the machine has nothing for it to drive
				m.log.Warn("modules", "err", err)
			}
		}
	case <-ctx.Done():
		m.log.Warn("modules", "err", ctx.Err(), "remedy", "a driver hangs, see dmesg")
	}
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

// mountMedium mounts the medium at boot.MediaMount. It waits for it as long as wait. With isoFiles it may be an ISO
// file too, for which disks are mounted and searched, for reading only.
func (m *machine) mountMedium(ctx context.Context, wait time.Duration, isoFiles bool) error {
	if m.devices == nil {
		return errors.New("devices are not followed")
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	medium, err := m.searchMedium(ctx, boot.MediaMount, isoFiles)
	if err == nil {
		m.tell(medium)
	}
	return err
}

// searchMedium mounts the medium whose build id the kernel command line gives at dir. It waits for it until ctx ends.
func (m *machine) searchMedium(ctx context.Context, dir string, isoFiles bool) (host.Medium, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return host.Medium{}, err
	}
	events, err := m.devices.Subscribe(ctx, func(e uevent.Event) bool {
		// The search for an ISO file makes loop devices itself.
		return e.Subsystem == "block" && e.Action != "remove" && !strings.HasPrefix(e.DevName, "loop")
	})
	if err != nil {
		return host.Medium{}, err
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
	finder := media.New(m.cmdline[boot.KeyMediumID], m.cmdline[boot.KeyISOFile], changed)
	finder.SearchISOFiles = isoFiles
	medium, err := finder.Find(ctx, dir)
	return host.Medium{Device: medium.Device, File: medium.File, HostDir: medium.HostDir, Mount: dir}, err
}

// setHostname sets the host name that the configuration asks for, or the usual one, and returns it.
func (s *system) setHostname() string {
	name := s.config().Hostname
	if name == "" {
		name = "zerodisc"
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		s.log.Warn("host name", "err", err)
	}
	return name
}

// bootIF is BOOTIF of the kernel command line where that names a NIC, "" where not.
func (s *system) bootIF() string {
	value := s.cmdline[boot.KeyBootIf]
	if _, err := netcfg.ParseBootIF(value); err != nil {
		s.log.Warn("kernel parameter", "key", boot.KeyBootIf, "err", err,
			"remedy", "it is ignored: the first network card with a carrier is taken")
		return ""
	}
	return value
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
