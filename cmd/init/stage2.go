package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/hypercall"
	"github.com/zerodisc/zerodisc/internal/kmsg"
	"github.com/zerodisc/zerodisc/internal/login"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/meter"
	"github.com/zerodisc/zerodisc/internal/namespace"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/power"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// system is what all modes have in common, and the emergency process too: consoles, a log, and the way to be asked
// to end. One is shared by everything in the process, so that it is passed by pointer; newSystem sets its fields, which
// do not change afterwards, but for insisted.
type system struct {
	ttys      *console.Consoles // the terminals that get lines
	screen    *screen
	log       *slog.Logger
	journal   *logs.Store
	services  *supervise.Table
	daemonLog io.Writer // output of services, which is not for the console
	cmdline   boot.Cmdline
	terminals []string     // for lines and shells
	meter     *meter.Meter // of what guests use
	guard     *login.Guard // of the consoles; nil: they are open
	board     bool         // one more terminal is for the status board
	state     *host.State
	left      *legacy // nil where the machine has just started
	lines     *report.Lines
	requests  chan pid1.Action // what is asked of this machine, whoever asks
	insisted  chan struct{}    // made with the first request, closed by a second
	start     time.Time
	random    chan struct{} // closed when the kernel has random numbers to give
	online    chan struct{} // has an element when there is a new lease
	gate      *xen.Gate     // xl runs through it
	conf      *configuration
	stepped   atomic.Int64 // by how much this process has set the clock, in all, nanoseconds
}

// stage2 is the inner process. It boots what the kernel command line asks for and then waits for
// a request to end, whose exit status process 1 understands. With the last words of a stage2 that has crashed it goes
// on for that.
func stage2(args []string) int {
	start := time.Now()
	// Beside guests every megabyte counts more than a little time: what stage2 allocates at boot
	// is little and soon garbage.
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(24 << 20)
	setEnvironment()
	unix.Umask(0o022)
	var startErr error
	if len(args) == 0 { // else all is mounted, and would be hidden
		startErr = namespace.Make()
	}
	startErr = errors.Join(startErr, oom.Protect(oom.Last))
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	cmdline := boot.ParseCmdline(string(text))
	mode := chooseMode(cmdline, whereAmI(os.DirFS("/sys")))
	conf := newConfiguration(string(text))
	left, err := inherit(args, conf)
	if err != nil {
		return fail(err)
	}
	s := newSystem(cmdline, conf, mode.board, start, left)
	s.log.Info(boot.MsgInit, "version", boot.Version, "uptime_ms", uptime().Milliseconds())
	if startErr != nil {
		s.log.Error("start", "err", startErr)
	}
	if left == nil {
		s.warnOfUnknownKeys()
		s.reportParameters()
	}
	s.log.Debug("mode", "name", mode.name)
	action := mode.run(s)
	s.ttys.Reclaim()
	return pid1.Leave(pid1.Action(action))
}

// setEnvironment gives children what the kernel does not: where commands are.
func setEnvironment() {
	os.Clearenv()
	_ = os.Setenv("PATH", "/usr/sbin:/usr/bin:"+xen.BinDir)
	_ = os.Setenv("HOME", "/root")
	// Without it a program of Xen's that finds no xenstored asks the kernel's device in its place, and hangs there for
	// ever (tools/libs/store/xs.c).
	_ = os.Setenv("XENSTORED_PATH", xenstore.Socket)
}

// newSystem makes a system. Where it has a status board, one of the terminals is for that, and all others are for lines
// and shells.
func newSystem(
	cmdline boot.Cmdline, conf *configuration, hasBoard bool, start time.Time, left *legacy,
) *system {
	version := boot.Version
	if id := cmdline[boot.KeyMediumID]; id != "" { // what was started from the network has none
		version += " build " + id
	}
	s := &system{
		cmdline: cmdline, conf: conf, left: left, terminals: activeConsoles(),
		requests: make(chan pid1.Action, 8), start: start, random: make(chan struct{}),
		meter: newMeter(), journal: openJournal(),
		services: supervise.NewTable(), online: make(chan struct{}, 1), gate: new(xen.Gate),
	}
	go s.gatherEntropy()
	terminals := s.terminals
	if hasBoard && (left == nil || config.Is(s.config().Services.Board, true)) {
		s.terminals, s.board = takeBoardTerminal(cmdline, s.terminals)
	}
	s.ttys = console.Open(boot.ConsolesDir, s.terminals)
	s.screen = &screen{out: s.ttys}
	out := console.New(s.screen)
	level := slog.LevelInfo
	if cmdline.Has(boot.KeyDebug) {
		level = slog.LevelDebug
	}
	showLog(out, terminals)
	out.Add(s.journal.Writer(sourceInit))
	s.log = console.Logger(out, level)
	s.guard = s.newGuard()
	if !hasBoard || left != nil || s.config().PasswordHash != "" { // else another source may have one
		s.decidePassword()
	}
	s.daemonLog = s.journal.Services()
	s.startLines(context.Background(), version)
	if left == nil {
		s.keepSnapshot(context.Background())
	} else {
		s.adoptState() // until the guests are there, what was left is not overwritten
	}
	s.relayKernel(s.screen)
	go s.listenForRequests()
	// Ctrl-Alt-Del becomes a signal to process 1 instead of a reset.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		s.log.Debug("ctrl-alt-del", "err", err)
	}
	return s
}

// newMeter returns what measures guests. The hypervisor can be asked as soon as the driver for that is loaded.
func newMeter() *meter.Meter {
	var xen *hypercall.Domains
	return meter.New(os.DirFS("/proc"), os.DirFS(sysDir), func() (map[int]time.Duration, error) {
		if xen == nil {
			opened, err := hypercall.OpenDomains()
			if err != nil {
				return nil, err
			}
			xen = opened
		}
		list, err := xen.List()
		times := make(map[int]time.Duration, len(list))
		for _, domain := range list {
			times[domain.Domid] = domain.Time
		}
		return times, err
	}).WithRules(networkRules.Traffic)
}

// relayKernel writes the kernel's messages to the consoles in its place.
func (s *system) relayKernel(to io.Writer) {
	s.watch(context.Background(), "kernel-messages", func(ctx context.Context) error {
		return kmsg.Relay(ctx, kmsg.Level(s.cmdline), to)
	})
}

// gatherEntropy makes the kernel's random numbers ready. Where the CPU has none to start from, a read
// that waits is what makes the kernel gather them; the DHCP library's call does not wait and
// spins instead, which took a guest 50 s of CPU time. It is a plain read(2), because Go's
// getrandom stops every other goroutine of a process with one CPU while it waits.
func (s *system) gatherEntropy() {
	defer close(s.random)
	fd, err := unix.Open("/dev/random", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	for {
		if _, err := unix.Read(fd, make([]byte, 1)); err != unix.EINTR {
			return
		}
	}
}

// whenRandom runs a service once the kernel has random numbers to give.
func (s *system) whenRandom(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-s.random:
			return run(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listenForRequests turns the signals that process 1 passes on into requests.
func (s *system) listenForRequests() {
	signals := make(chan os.Signal, 8)
	for sig := range pid1.Signals {
		signal.Notify(signals, sig)
	}
	pid1.Ready()
	for sig := range signals {
		s.requests <- pid1.Signals[sig]
	}
}

// watchPowerButton makes the power button a request. A machine without one is no error.
func (s *system) watchPowerButton() {
	buttons, err := power.Watch(func() { s.requests <- pid1.PowerOff })
	s.log.Debug("power buttons", "count", buttons, "err", err)
}

// warnOfUnknownKeys names kernel parameters that look like ours and are not.
func (s *system) warnOfUnknownKeys() {
	for key := range s.cmdline {
		if strings.HasPrefix(key, boot.Prefix) && !boot.Known(key) {
			s.log.Warn("unknown kernel parameter", "key", key, "remedy", "docs/kernel-parameters.md lists them")
		}
	}
}

// uptime is the time since the kernel started.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// writeAtomic replaces the file name by text.
func writeAtomic(name, text string) error {
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name))
	err := os.WriteFile(temporary, []byte(text), 0o644)
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		_ = os.Remove(temporary) // it may be what fills the file system
	}
	return err
}
