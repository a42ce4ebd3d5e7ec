package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/supervise"
)

// emergency is what process 1 starts when stage2 has crashed: the report and a shell on every
// console. The guests that run go on until somebody asks for the end; where that was under way already,
// process 1 asks for it.
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
	go relayKernel(s.cmdline, out, s.log)
	if err := oom.Protect(oom.Last); err != nil {
		s.log.Warn("start", "err", err)
	}
	s.log.Error(boot.MsgCrashed, "remedy", "guests that run go on; use the shell, then reboot or poweroff")
	s.startLines(context.Background(), boot.Version)
	s.startEmergencyServices()
	text := fmt.Sprintf("\n%s\n\nzerodisc's init has crashed (its last words are above). This is an emergency shell.\n"+
		"Guests that run go on. `reboot` or `poweroff` shut them down and end this machine.\n\n", lastWords)
	s.keepShells(context.Background(), func() string { return text })
	endKeeper := s.startKeeper(out)
	action := s.firstRequest()
	endKeeper()
	s.shutdownGuests()
	s.endWatchdog(action)
	s.ttys.Reclaim()
	return pid1.Leave(action)
}
