package main

import (
	"context"
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/logs"
	"github.com/zerodisc/zerodisc/internal/syslog"
	"github.com/zerodisc/zerodisc/internal/timesync"
	"github.com/zerodisc/zerodisc/internal/webstore"
)

// timeServersFile has the DHCP server's time servers, one a line.
const timeServersFile = boot.RunDir + "/ntp"

// publicTimeServers are asked where neither the user nor the DHCP server names any.
var publicTimeServers = []string{"2.debian.pool.ntp.org"}

// clockService is the name of what keeps the clock right.
const clockService = "ntp"

// startClock has the clock kept right, or not, as the configuration says.
func (s *system) startClock() {
	client := timesync.New(timesync.Options{
		Servers: func() []string {
			text, _ := os.ReadFile(timeServersFile) // there is none before the first lease
			return timeServers(s.config().NTP.Servers, string(text))
		},
		Wake: s.online, Clock: hostClock{s}, Ask: timesync.Ask, Resolve: timesync.Resolve,
		Report: s.reportClock, Grace: networkGrace,
	})
	s.switchService("clock", true, s.watchClock)
	s.switchFunction(clockService, "ntp.enabled", config.Is(s.config().NTP.Enabled, true), client.Run)
}

// timeServers chooses the time servers: those of the configuration, or the DHCP server's, or the public ones.
func timeServers(configured []string, leased string) []string {
	for _, list := range [][]string{configured, strings.Fields(leased)} {
		if len(list) > 0 {
			return list
		}
	}
	return publicTimeServers
}

// networkGrace is how long a network takes to come up, at most, before its silence is worth a line: with DHCP, and a
// switch that looks for loops first.
const networkGrace = 30 * time.Second

// wakeClock has the time servers asked at once.
func (s *system) wakeClock() {
	select {
	case s.online <- struct{}{}:
	default:
	}
}

// leastJump is how much somebody must have set the clock for it to be worth a line.
const leastJump = time.Second

// watchClock tells that somebody else has set the clock, and has time servers asked at once.
func (s *system) watchClock(ctx context.Context) error {
	before := s.stepped.Load()
	return timesync.Jumps(ctx, func(by time.Duration) {
		now := s.stepped.Load()
		by -= time.Duration(now - before)
		before = now
		if by.Abs() >= leastJump {
			s.state.Tell(host.Clock{State: host.ClockMoved, Offset: by, Moved: by, At: time.Now()})
			s.wakeClock()
		}
	})
}

// hostClock is this host's clock. It is not set while xl runs.
type hostClock struct{ *system }

// Setting the clock waits so long for a moment without xl, and then keeps xl waiting for so long: guests are made in a
// few seconds each.
const (
	xlPatience = time.Minute
	xlHold     = 10 * time.Second
)

// Step sets the clock.
func (c hostClock) Step(ctx context.Context, offset time.Duration) error {
	return c.gate.Alone(ctx, xlPatience, xlHold, func() error {
		c.stepped.Add(int64(offset)) // before watchClock sees it
		err := timesync.Kernel{}.Step(ctx, offset)
		if err != nil {
			c.stepped.Add(-int64(offset))
		}
		return err
	})
}

// Slew works a small offset off.
func (hostClock) Slew(offset, poll time.Duration) error { return timesync.Kernel{}.Slew(offset, poll) }

// reportClock tells what became of the clock.
func (s *system) reportClock(e timesync.Event) {
	fact := host.Clock{
		State: string(e.State), Server: e.Server, Offset: e.Offset, Problem: errorText(e.Err), At: time.Now(),
		Synced: e.State == timesync.Set || e.State == timesync.Stepped,
	}
	if e.State == timesync.Stepped {
		fact.Moved = e.Offset
	}
	s.state.Tell(fact)
}

// syslogPrefix is what the names of the services begin with that send the log.
const syslogPrefix = "syslog-"

// startSyslog has a sender run for each server that the configuration names, and no other one.
func (s *system) startSyslog() {
	targets, err := syslog.ParseTargets(strings.Join(s.config().Logs.Targets, ","))
	if err != nil {
		s.log.Error(boot.MsgConfig, "key", "logs.targets", "err", err, "remedy", "the log is sent nowhere")
	}
	wanted := map[string]bool{}
	for _, target := range targets {
		name := syslogPrefix + target.Protocol + "-" + target.Address()
		wanted[name] = true
		sender := syslog.New(syslog.Options{
			Target: target, Dir: boot.LogsDir, Clock: s.syslogClock, Roots: s.logAuthorities,
			Hostname: func() string { name, _ := os.Hostname(); return name }, // "" is written as unknown
			Report:   s.reportSyslog(target), Grace: networkGrace,
		})
		s.switchService(name, true, sender.Run)
	}
	for _, status := range s.services.List() {
		if strings.HasPrefix(status.Name, syslogPrefix) && !wanted[status.Name] {
			s.orderService("stop", status.Name)
		}
	}
}

// logAuthorities are those that may have signed a syslog server's certificate: the public ones, and the owner's.
func (s *system) logAuthorities() *x509.CertPool {
	pool := webstore.PublicRoots()
	for _, text := range s.config().Logs.Authorities {
		pool.AppendCertsFromPEM([]byte(text))
	}
	return pool
}

// syslogClock is what time it is, and whether that can be right.
func (s *system) syslogClock() syslog.Clock {
	synced, now := s.state.Snapshot().Host.Clock.Synced, time.Now()
	return syslog.Clock{Now: now, Up: logs.Uptime(), Synced: synced, Known: synced || now.After(timesync.Earliest)}
}

func (s *system) reportSyslog(target syslog.Target) func(syslog.State) {
	return func(state syslog.State) {
		s.state.Tell(host.LogServer{
			URL: target.String(), Connected: state.Connected, Lost: state.Lost, Problem: errorText(state.Err),
		})
	}
}
