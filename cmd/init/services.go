package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/supervise"
)

// lastingOutput is the FIFO for the output of a program that outlives a crash of init.
func lastingOutput(name string) string { return boot.RunDir + "/" + name + ".out" }

// lasting has a program outlive a crash of init.
func lasting(spec supervise.Spec) supervise.Spec {
	spec.Lasting = lastingOutput(spec.Name)
	return spec
}

// service has a function run for as long as this process does, under the supervisor.
func (s *system) service(name string, run func(context.Context) error) {
	s.switchService(name, true, run)
}

// ordersService is the name of what the command services talks to.
const ordersService = "orders"

// switchService starts a service that is a function of this process, or stops it.
func (s *system) switchService(name string, on bool, run func(context.Context) error) {
	if on {
		s.reportSwitch(name, s.services.Ensure(context.Background(), s.functionSpec(name, run)))
	} else if s.isService(name) {
		s.orderService("stop", name)
	}
}

// isService says whether there is a service of that name.
func (s *system) isService(name string) bool {
	return slices.ContainsFunc(s.services.List(), func(status supervise.Status) bool { return status.Name == name })
}

func (s *system) reportSwitch(name string, err error) {
	if err != nil {
		s.log.Error("service", "name", name, "err", err)
	}
}

// switchFunction is switchConfigured for a function of this process.
func (s *system) switchFunction(name, key string, on bool, run func(context.Context) error) {
	s.reportSwitch(name, s.switchConfigured(key, on, s.functionSpec(name, run)))
}

// switchConfigured starts a service, or has it off because the configuration says so with key.
func (s *system) switchConfigured(key string, on bool, spec supervise.Spec) error {
	if on {
		return s.services.Ensure(context.Background(), spec)
	}
	return s.services.Off(spec, switchedOff(key, s.state.Snapshot().Host.Settings))
}

// switchedOff says which setting has switched a service off, and where it comes from, if that is known.
func switchedOff(key string, settings []host.Setting) string {
	why := "switched off by " + key
	for _, setting := range settings {
		if setting.Key == key {
			why += " (" + setting.Source + ")"
		}
	}
	return why
}

// watch is a service that works until ctx ends as well, that of the boot: nothing is started any more then. It may be
// done before that.
func (s *system) watch(ctx context.Context, name string, run func(context.Context) error) {
	s.service(name, func(own context.Context) error {
		working, cancel := context.WithCancel(own)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		if err := run(working); err != nil && working.Err() == nil {
			return err
		}
		<-own.Done()
		return own.Err()
	})
}

// endless is what returns only when its context ends, or it has nothing more to do.
func endless(run func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		run(ctx)
		return nil
	}
}

func (s *system) functionSpec(name string, run func(context.Context) error) supervise.Spec {
	spec := supervise.Spec{
		Name: name, Run: run, MaxRestarts: supervise.Forever, MinBackoff: time.Second, MaxBackoff: time.Minute,
		Output: s.daemonLog, Report: s.reportDaemon,
	}
	if name == ordersService {
		spec.Kept = "it takes these orders, and nobody could start it again; it can be restarted"
	}
	return spec
}

func (s *system) orderService(verb, name string) {
	if err := s.services.Order(context.Background(), verb, name); err != nil {
		s.log.Warn("service", "name", name, "err", err)
	}
}

// startLogServices starts what keeps and bounds the log.
func (s *system) startLogServices() {
	s.service("log-limits", s.boundForeignLogs)
	s.service("log-rates", s.tellDropped)
	s.service("kernel-log", s.keepKernelLog)
	s.service("programs-log", s.keepProgramsLog)
	s.service("space", s.watchSpace)
	s.service("pressure", endThrashing)
	s.service(ordersService, func(ctx context.Context) error { return s.services.Serve(ctx, boot.ServiceSocket) })
}

const servicesUsage = `Usage: services [start|stop|restart NAME]

Without arguments it lists the host's services: programs, and functions of init.
`

// servicesApplet is services.
func servicesApplet(args []string) int {
	switch {
	case len(args) == 0:
		if !supervise.Serves(boot.ServiceSocket) {
			return fail(errors.New("init does not run: it has crashed, or the machine has just started"))
		}
		snapshot, err := readState()
		if err != nil {
			return fail(err)
		}
		fmt.Print(servicesText(snapshot.Host.Daemons, time.Now(), residentKiB))
		return 0
	case len(args) == 2 && slices.Contains(supervise.Verbs, args[0]):
		if err := supervise.Ask(boot.ServiceSocket, args[0], args[1]); err != nil {
			return fail(err)
		}
		return 0
	}
	fmt.Fprint(os.Stderr, servicesUsage)
	return 2
}

// servicesText is the list of services. memory says what a process takes, in KiB.
func servicesText(daemons []host.Daemon, now time.Time, memory func(pid int) int64) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tSTATE\tPID\tMEMORY\tRESTARTS\tSINCE\tPROBLEM")
	for _, d := range daemons {
		pid, taken := "-", ""
		switch {
		case d.PID != 0:
			pid, taken = fmt.Sprint(d.PID), fmt.Sprintf("%.1f MiB", float64(memory(d.PID))/1024)
		case d.Phase == string(supervise.Running):
			pid = "init"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			d.Name, d.Phase, pid, taken, d.Restarts, since(d.Since, now), d.Problem)
	}
	_ = w.Flush() // to memory
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// since is how long ago a moment was, "" where that is unknown: somebody may have set the clock by hand.
func since(then, now time.Time) string {
	age := now.Sub(then).Round(time.Second)
	if then.IsZero() || age < 0 {
		return ""
	}
	return age.String()
}

// residentKiB is how much memory a process takes, 0 of one that is gone.
func residentKiB(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize()) / 1024
}
