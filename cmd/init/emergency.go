package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/boundedlog"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/pid1"
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
	out := console.Open(terminals)
	out.Add(boundedlog.Open(logFile, logLimit))
	showLog(out, terminals)
	s := &system{log: console.Logger(out, slog.LevelInfo), requests: make(chan pid1.Action, 8)}
	go s.listenForRequests()
	go boundForeignLogs(s.log)
	if text, err := os.ReadFile("/proc/cmdline"); err == nil {
		go relayKernel(boot.ParseCmdline(string(text)), out, s.log)
	}
	if err := oom.Protect(oom.Last); err != nil {
		s.log.Warn("start", "err", err)
	}
	s.log.Error(boot.MsgCrashed, "remedy", "guests that run go on; use the shell, then reboot or poweroff")
	s.startLines(context.Background(), boot.Version)
	text := fmt.Sprintf("\n%s\n\nzerodisc's init has crashed (its last words are above). This is an emergency shell.\n"+
		"Guests that run go on. `reboot` or `poweroff` shut them down and end this machine.\n\n", lastWords)
	keepShells(context.Background(), s.log, terminals, func() string { return text })
	endKeeper := s.startKeeper(out)
	action := s.firstRequest()
	endKeeper()
	s.shutdownGuests()
	return pid1.Leave(action)
}
