package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/stage"
	"github.com/zerodisc/zerodisc/internal/webstore"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// legacy is what a stage2 that has crashed has left to the one that goes on.
type legacy struct {
	*host.Snapshot
	words string // its last ones, lines of printable text
}

// inherit returns what process 1 wants this process to go on with, nil where the machine has just started. The crashed
// process has kept its state and its configuration in files.
func inherit(args []string, conf *configuration) (*legacy, error) {
	if len(args) == 0 {
		return nil, nil
	}
	snapshot, err := report.Read(stateFile)
	if err != nil {
		return nil, err
	}
	conf.restore(configFile)
	return &legacy{snapshot, args[0]}, nil
}

// adoptState has the state begin as it was left, but for what this process says itself: its stages and services. The
// last words are for the log, and for the report about the problem.
func (s *system) adoptState() {
	left := s.left.Host
	left.Stages, left.Daemons = nil, nil
	s.state.Tell(host.ResumedHost{Host: left})
	s.state.Tell(host.Problem{Text: "init has crashed and was started again; logs -source init has its last words"})
	s.log.Error(boot.MsgCrashed, "remedy", "none: guests go on, and so does init; zerodisc-report has the reason")
	for line := range strings.Lines(s.left.words) {
		s.journal.Add(sourceInit, logs.Error, strings.TrimSpace(line))
	}
	if action, ending := actionOf(left.Ending); ending {
		s.requests <- action
	}
}

// actionOf is an action by its name.
func actionOf(name string) (pid1.Action, bool) {
	for _, a := range pid1.Signals {
		if a.String() == name {
			return a, true
		}
	}
	return 0, false
}

// resume is the boot of a process that goes on after a crash: what the machine has already stays as it is.
func (d *dom0) resume(ctx context.Context) {
	shells := d.openShells(ctx)
	defer time.AfterFunc(shellsAtLast, shells).Stop()
	d.kernel, d.saved = sharedKernel(), d.left.Host.State.Mount != ""
	if err := setTimezone(d.config().Timezone); err != nil {
		d.log.Debug("timezone", "err", err)
	}
	d.startWatchdog(d.state.Answers) // nobody has fed it since the crash
	d.startSyslog()
	stage.Run(ctx, d.stageEnded, []stage.Stage{
		{Name: "xen", Run: d.resumeXen, Remedy: "shut guests down from inside, and reboot the host"},
		{Name: "ssh", Run: func(ctx context.Context) error { d.startSSH(ctx); return nil }},
		{Name: "network", Run: d.startNetwork, Remedy: "guests with a vif are refused; see ip link"},
		{Name: "devices", Run: d.findDevices, Remedy: "devices that are plugged in are not seen; reboot the host"},
		{Name: "guests", Run: d.resumeGuests, Remedy: "guests that run go on; see guest list"},
	})
	if ctx.Err() != nil {
		return
	}
	if !d.left.Host.Ready {
		d.tell(host.Ready{Took: time.Since(d.start)})
	}
	d.keepSnapshot(context.Background())
	close(d.idle)
	d.resumeMedium(ctx)
	d.log.Info(boot.MsgResumed, "guests", d.state.Snapshot().Running())
	shells()
}

// resumeXen takes over Xen's daemons and the guests' lives.
func (d *dom0) resumeXen(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if err := xen.StoreAnswers(asking); err != nil {
		return fmt.Errorf("xenstored has not outlived init: %w", err)
	}
	return d.startXen(ctx)
}

// resumeGuests follows disks and servers again, and starts guests that the boot did not come to.
func (d *dom0) resumeGuests(ctx context.Context) error {
	if d.owners == nil {
		return errors.New("xen does not run")
	}
	turn := make(chan struct{})
	close(turn)
	auto := config.Is(d.config().Autostart, true)
	err := d.findState(ctx)
	d.followStorage(ctx, auto, turn)
	d.attachTargets(ctx)
	if auto {
		d.fetchGuests(ctx)
	}
	if !d.left.Host.Ready {
		found, _ := d.scanGuests()
		d.owners.controller.Offer(ctx, d.unknown(guests.Trust(found)), auto)
	}
	return err
}

// unknown are those of the guests found that the state has not. After a crash of init it has those that were found
// before.
func (d *dom0) unknown(found []*guests.Guest) []*guests.Guest {
	if d.left == nil {
		return found
	}
	known := d.state.Snapshot().Guests
	return slices.DeleteFunc(slices.Clone(found), func(g *guests.Guest) bool {
		return slices.ContainsFunc(known, func(k host.Guest) bool { return k.Source.Dir == g.Dir })
	})
}

// resumeMedium goes on with the copy of the medium, from the beginning.
func (d *dom0) resumeMedium(ctx context.Context) {
	switch d.left.Host.Medium.State {
	case host.MediumInRAM:
		return
	case host.MediumCopying:
		_ = unix.Unmount(boot.NextMediumDir, unix.MNT_DETACH) // the part that was copied
	}
	d.followMedium(ctx)
}

// leftState is the state volume that is mounted since before a crash of init.
func (d *dom0) leftState() host.StateVolume {
	if d.left == nil || d.left.Host.State.Mount == "" {
		return host.StateVolume{}
	}
	return d.left.Host.State
}

// leftMount is where a server's directory is mounted since before a crash of init; "" where it is not.
func (d *dom0) leftMount(url string) string {
	if d.left == nil {
		return ""
	}
	for _, r := range d.left.Host.Remotes {
		if r.URL == url && r.State == host.RemoteConnected {
			return r.Mount
		}
	}
	return ""
}

// leftFinished says whether all guests of a store on a web server were started or refused before a crash of init.
func (d *dom0) leftFinished(url string) bool {
	return d.left != nil && slices.ContainsFunc(d.left.Host.Stores, func(s host.Store) bool {
		return s.URL == url && s.State == string(webstore.Finished)
	})
}

// hasStarted says whether a guest was started from the files in a directory, and may use them.
func (d *dom0) hasStarted(dir string) bool {
	return fileExists(dir) && slices.ContainsFunc(d.state.Snapshot().Guests, func(g host.Guest) bool {
		return g.Source.Dir == dir && g.Phase != host.Refused
	})
}

// leftVolumes are the volumes that are mounted since before a crash of init.
func (d *dom0) leftVolumes() []host.Volume {
	if d.left == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(d.left.Host.Volumes), func(v host.Volume) bool { return v.Mount == "" })
}
