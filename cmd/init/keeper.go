package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// keeper leads on the lives of guests after stage2 has crashed: those that reboot or crash are made anew, iSCSI
// targets that come back are logged in to again, and `status` and `guest` stay true. It is a process of its own, so
// that what stage2 died of cannot cost the emergency shells.
func keeper([]string) int {
	setEnvironment()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	left, err := report.Read(stateFile)
	if err != nil {
		return fail(err)
	}
	if left.Host.Ending != "" {
		return 0 // nothing is made anew any more
	}
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fail(err)
	}
	s := &system{
		log: console.Logger(os.Stdout, slog.LevelInfo), random: make(chan struct{}), gate: new(xen.Gate),
		meter:   newMeter(),
		cmdline: boot.ParseCmdline(string(text)), conf: newConfiguration(string(text)),
	}
	s.conf.restore(configFile)
	s.guard = s.newGuard()
	s.decidePassword()
	go s.gatherEntropy()
	s.startState(ctx, left.Host.Version)
	s.state.Tell(host.ResumedHost{Host: left.Host})
	o, err := s.startOwners(ctx, func() guests.Machine {
		return guests.Machine{Bridge: s.config().Network.Default(), Seed: machineSeed()} // for what is attached
	})
	if err != nil {
		return fail(err)
	}
	o.controller.Resume(ctx, left)
	o.serveAPI(ctx)
	(&dom0{machine: machine{system: s}, owners: o}).attachTargets(ctx)
	<-ctx.Done()
	return 0
}

// keeperEnd is how long the keeper has to end before it is killed.
const keeperEnd = 5 * time.Second

// startKeeper starts the keeper, whose lines go to out. The function that it returns ends it.
func (s *system) startKeeper(out io.Writer) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, boot.InitProgram, "keeper")
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = keeperEnd
	cmd.Stdout, cmd.Stderr = out, out
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := oom.Run(cmd); err != nil && ctx.Err() == nil {
			s.log.Warn("guests", "err", err, "remedy", "guests that reboot or crash are not made anew; reboot the host")
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
