package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/boundedlog"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/devlog"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/kmsg"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/tick"
	"github.com/zerodisc/zerodisc/internal/vt"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenring"
)

// sourceLimit is how much is kept of one source, bytes. 24 of them, all full, stay below the 8 MiB of boot.RunDir.
const sourceLimit = 192 << 10

// The log's sources that are no services.
const (
	sourceInit   = "init"
	sourceKernel = "kernel"
	sourceXen    = "xen"
)

// foreignLogs are the logs of Xen's programs: the xl that watches a guest which was made by hand writes one, for as
// long as the guest lives and reboots, QEMU another. Together they stay below half of what their file system has
// room for, 8 MiB.
var foreignLogs = boundedlog.Directory{
	Path: "/var/log", MaxFile: 256 << 10, MaxTotal: 4 << 20, MaxFiles: 1000, Every: 10 * time.Second,
}

// showLog shows the log on a screen of its own, on a machine that has screens. That it cannot be set as it should be
// costs nothing but what somebody types there.
func showLog(out *console.Consoles, terminals []string) {
	if slices.Contains(terminals, "tty1") {
		out.AddDevice(vt.LogDevice)
		_ = vt.KeepQuiet()
	}
}

// openJournal opens the log of everything.
func openJournal() *logs.Store {
	return logs.Open(logs.Options{Dir: boot.LogsDir, Limit: sourceLimit})
}

// initLines are init's lines as the consoles have got them.
func initLines() (string, error) {
	reader := logs.NewReader(boot.LogsDir)
	defer reader.Close()
	entries, _, err := reader.Read()
	var text strings.Builder
	for _, e := range (logs.Filter{Sources: []string{sourceInit}}).Select(entries, -1) {
		text.WriteString(e.Logfmt() + "\n")
	}
	return text.String(), err
}

// boundForeignLogs keeps the logs of other programs from growing without end.
func (s *system) boundForeignLogs(ctx context.Context) error {
	foreignLogs.Keep(ctx, func(err error) { s.log.Warn("logs", "err", err) })
	return ctx.Err()
}

// tellDropped says in the log what was left out of it.
func (s *system) tellDropped(ctx context.Context) error {
	s.journal.Run(ctx)
	return ctx.Err()
}

// keepKernelLog keeps the kernel's messages, those of before init too. Whoever does so after a crash, or a restart of
// the service, goes on after those that are kept.
func (s *system) keepKernelLog(ctx context.Context) error {
	return kmsg.Follow(ctx, s.journal.From(sourceKernel), func(r kmsg.Record, lost uint64) {
		if lost > 0 {
			s.journal.Add(sourceKernel, logs.Warning, "(the kernel overwrote messages before they could be read)")
		}
		s.journal.AddAt(sourceKernel, r.Up, logs.Level(r.Level), r.Text)
		s.journal.Reached(sourceKernel, r.Number+1)
		if pid, name, ok := oom.Victim(r.Text); ok {
			s.state.Tell(host.OutOfMemory{PID: pid, Name: name})
		}
	})
}

// keepProgramsLog keeps what programs say to syslog(3). xenstored says there which guest asks too much of it.
func (s *system) keepProgramsLog(ctx context.Context) error {
	return devlog.Serve(ctx, devlog.Path, func(m devlog.Message) {
		s.journal.Add(m.Program, logs.Level(m.Severity), m.Text)
		if domid, problem, ok := xen.Complaint(m.Text); ok && m.Program == xenstoredName {
			s.state.Tell(host.GuestFlood{Domid: domid, What: host.FloodXenstore, Problem: problem})
		}
	})
}

// xenstoredName is how xenstored calls itself.
const xenstoredName = "xenstored"

// xenLogPause is the shortest time between two looks at what Xen says, where it tells that there is something.
// xenLogPeriod is the longest.
const (
	xenLogPause  = time.Second
	xenLogPeriod = 10 * time.Second
)

// keepXenLog keeps what the hypervisor says. What it said before the first look has no time: it is the boot's.
func (s *system) keepXenLog(ctx context.Context) error {
	from := s.journal.From(sourceXen)
	ring, err := xenring.Open(uint32(from))
	if err != nil {
		return err
	}
	defer ring.Close()
	bell, err := xenring.NewBell()
	if err == nil {
		defer bell.Close()
	} else {
		s.log.Debug("xen-log", "err", err)
	}
	var lines xenring.Lines
	first := from == 0
	for {
		text, err := ring.Read()
		if err != nil {
			return err
		}
		for _, line := range lines.Cut(text) {
			s.addXenLine(line, first)
		}
		if text != "" { // there may be more
			s.journal.Reached(sourceXen, uint64(ring.Index()-uint32(lines.Begun())))
			continue
		}
		first = false
		if err := awaitXen(ctx, bell); err != nil {
			return err
		}
	}
}

// awaitXen returns when Xen has said something, or may have; bell is nil where it does not tell.
func awaitXen(ctx context.Context, bell *xenring.Bell) error {
	pause := tick.Until(xenLogPeriod)
	if bell != nil {
		if rung, err := bell.Wait(ctx, pause); err != nil || !rung {
			return err
		}
		pause = xenLogPause
	}
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *system) addXenLine(line string, early bool) {
	level := logs.Info
	if xenring.Urgent(line) {
		level = logs.Error
	}
	if early {
		s.journal.AddAt(sourceXen, 0, level, line)
	} else {
		s.journal.Add(sourceXen, level, line)
	}
}

// logsApplet is logs.
func logsApplet(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return logs.Main(ctx, args, boot.LogsDir, os.Stdout, os.Stderr)
}
