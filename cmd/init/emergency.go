package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/supervise"
)

// emergency is what process 1 starts when stage2 has crashed and no other one can go on for it, or has crashed as well:
// the report and a shell on every console. The guests that run go on until somebody asks for the end; where that was
// under way already, process 1 asks for it. Its arguments are stage2's last words, and after how long stage2 is to have
// another try.
func emergency(args []string) int {
	setEnvironment()
	lastWords := "(it said nothing)"
	if len(args) > 0 && args[0] != "" {
		lastWords = args[0]
	}
	terminals := activeConsoles()
	_, hadBoard := takeBoardTerminal(nil, terminals)
	if hadBoard {
		_ = console.Restore(boardTerminal) // without it there are other terminals
	}
	out := console.Open(boot.ConsolesDir, terminals)
	showLog(out, terminals)
	journal := openJournal()
	out.Add(journal.Writer(sourceInit))
	cmdline, err := os.ReadFile("/proc/cmdline")
	s := &system{
		ttys: out, log: console.Logger(out, slog.LevelInfo), requests: make(chan pid1.Action, 8),
		terminals: terminals, cmdline: boot.ParseCmdline(string(cmdline)),
		conf: newConfiguration(string(cmdline)), journal: journal, services: supervise.NewTable(),
		daemonLog: journal.Services(),
	}
	if err != nil {
		s.log.Error("kernel command line", "err", err)
	}
	s.conf.restore(configFile)
	s.guard = s.newGuard()
	s.decidePassword()
	go s.listenForRequests()
	if err := oom.Protect(oom.Last); err != nil {
		s.log.Warn("start", "err", err)
	}
	var rest time.Duration
	if len(args) > 1 {
		rest, _ = time.ParseDuration(args[1]) // process 1 wrote it
	}
	s.log.Error(boot.MsgCrashed, "remedy", "guests that run go on; use the shell, then reboot or poweroff")
	s.startLines(context.Background(), boot.Version)
	s.relayKernel(out)
	s.startEmergencyServices()
	text := fmt.Sprintf("\n%s\n\nzerodisc's init has crashed (its last words are above). This is an emergency shell.\n"+
		"Guests that run go on, but nothing looks after them. `reboot` or `poweroff` shut them down and end this "+
		"machine.\n", lastWords)
	if rest > 0 {
		text += fmt.Sprintf("In %v init is started again, once nobody has typed for %v.\n", rest, idleLimit)
	}
	s.keepShells(context.Background(), func() string { return text + "\n" })
	waiting, stop := context.WithCancel(context.Background())
	if rest > 0 {
		go func() {
			if mayEnd(waiting, rest, func() bool { return s.areIdle(idleLimit) }) {
				os.Exit(pid1.Again)
			}
		}()
	}
	action := s.firstRequest()
	stop()
	s.shutdownGuests()
	s.endWatchdog(action)
	s.ttys.Reclaim()
	return pid1.Leave(action)
}

// idleLimit is how long nobody has to type before the emergency shells are taken away.
const idleLimit = 5 * time.Minute

// mayEnd waits until this process may make room for stage2: after a while, and as soon as nobody uses it. It returns
// false if ctx ends before.
func mayEnd(ctx context.Context, rest time.Duration, idle func() bool) bool {
	for wait := rest; ; wait = time.Second {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
		if idle() {
			return true
		}
	}
}

// areIdle says whether nothing was read from the terminals for so long: nobody has typed there. The kernel keeps the
// time of that as a terminal's access time, in steps of 8 s (tty_update_time in drivers/tty/tty_io.c).
func (s *system) areIdle(limit time.Duration) bool {
	for _, name := range s.terminals {
		var stat unix.Stat_t
		if unix.Stat("/dev/"+name, &stat) == nil && time.Since(time.Unix(stat.Atim.Unix())) < limit {
			return false
		}
	}
	return true
}
