package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/oom"
)

// shell is the interactive program on the consoles.
const shellProgram = "/usr/bin/sh"

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
	cmd, tty, err := console.Shell(terminal, shellProgram)
	if err != nil {
		return false, err
	}
	defer tty.Close()
	fmt.Fprint(tty, text)
	return true, oom.Run(cmd)
}
