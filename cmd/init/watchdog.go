package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/watchdog"
)

// watchdogService is the watchdog's name among the services.
const watchdogService = "watchdog"

// startWatchdog has the machine reset when nothing on it runs any more, or not, as the configuration says. answers
// says whether the host does; nil: nobody asks.
func (s *system) startWatchdog(answers func(context.Context) bool) {
	on := config.Is(s.config().Watchdog.Enabled, true)
	s.switchFunction(watchdogService, "watchdog.enabled", on, func(ctx context.Context) error {
		timeout := cmp.Or(s.config().Watchdog.Timeout.Time(), defaultWatchdogTimeout)
		return watchdog.Run(ctx, watchdog.Options{
			Kernel: watchdog.Linux{}, Timeout: timeout, Patience: timeout / 2,
			Answers: answers, Hung: crash, Report: s.reportWatchdog,
		})
	})
}

// defaultWatchdogTimeout is long enough for everything that a busy host does, swap into compressed memory included.
const defaultWatchdogTimeout = 3 * time.Minute

// crash ends this process: its state hangs. Guests go on, and the emergency process takes over. A panic of the
// service's own goroutine would only start the service again.
func crash() {
	go func() { panic("the host's state does not answer") }()
	select {}
}

func (s *system) reportWatchdog(e watchdog.Event) {
	fact := host.WatchdogTimer{Device: e.Device, Name: e.Name, Timeout: e.Timeout}
	if e.Err != nil && !errors.Is(e.Err, watchdog.ErrNone) {
		fact.Problem = e.Err.Error()
	}
	if fact != (host.WatchdogTimer{}) {
		s.state.Tell(fact)
	}
}

// endWatchdog decides what the watchdog does while the machine ends. A reboot that hangs is finished by it. A machine
// that is to be off or halted must not start again by itself.
func (s *system) endWatchdog(action pid1.Action) {
	if action == pid1.Reboot {
		return
	}
	if err := s.services.Order(context.Background(), "stop", watchdogService); err != nil {
		s.log.Debug("watchdog", "err", err) // there is none
	}
}

// startEmergencyServices starts what goes on after a crash of stage2.
func (s *system) startEmergencyServices() {
	s.service("log-limits", s.boundForeignLogs)
	s.service("log-rates", s.tellDropped)
	s.service("kernel-log", s.keepKernelLog)
	s.service("programs-log", s.keepProgramsLog)
	s.service("xen-log", s.keepXenLog)
	s.service("pressure", endThrashing)
	s.startSyslog()
	s.startWatchdog(nil)
}
