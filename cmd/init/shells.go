package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/xen"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// shell is the interactive program on the consoles.
const shell = "/usr/bin/gosh"

// activeConsoles names the terminals that get the report and a shell.
func activeConsoles() []string {
	text, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return []string{"console"}
	}
	return console.Active(string(text))
}

// keepShells keeps a shell on each terminal until ctx ends, with text above every new one. A
// terminal that cannot be opened (a serial port that is not there) is given up.
func keepShells(ctx context.Context, log *slog.Logger, terminals []string, text func() string) {
	for _, name := range terminals {
		go func() {
			for ctx.Err() == nil {
				started := time.Now()
				opened, err := runShell(name, text())
				if err != nil {
					log.Debug("shell", "terminal", name, "err", err)
				}
				if !opened {
					return
				}
				if time.Since(started) < time.Second { // it cannot start, or has nothing to read from
					time.Sleep(time.Second)
				}
			}
		}()
	}
}

// runShell runs a shell on the terminal with text above it until it exits, and reports whether the
// terminal could be opened.
func runShell(terminal, text string) (opened bool, err error) {
	cmd, tty, err := console.Shell(terminal, shell)
	if err != nil {
		return false, err
	}
	defer tty.Close()
	fmt.Fprint(tty, text)
	return true, cmd.Run()
}

// rescue is what process 1 starts when stage2 has crashed: the report and a shell on every
// console. The guests that run go on until somebody asks for the end.
func rescue(args []string) int {
	setEnvironment()
	report := "(it said nothing)"
	if len(args) > 0 && args[0] != "" {
		report = args[0]
	}
	s := &system{log: console.Logger(console.Open(activeConsoles()), slog.LevelInfo), requests: make(chan pid1.Action, 8)}
	go s.listenForRequests()
	s.log.Error(boot.MsgCrashed, "remedy", "guests that run go on; use the shell, then reboot or poweroff")
	text := fmt.Sprintf("\n%s\n\nzerodisc's init has crashed (its last words are above). This is an emergency shell.\n"+
		"Guests that run go on. `reboot` or `poweroff` shut them down and end this machine.\n\n", report)
	keepShells(context.Background(), s.log, activeConsoles(), func() string { return text })
	action := <-s.requests
	s.log.Info(boot.MsgEnding, "action", action.String())
	store, err := xenstore.Dial(context.Background(), xenstore.Socket)
	if err != nil {
		s.log.Warn("guests are not shut down", "err", err)
		return int(action)
	}
	s.shutdown(xen.NewDomains(xen.Exec, store))
	return int(action)
}
