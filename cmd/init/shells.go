package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/console"
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
// terminal that does not work (a serial port that is not there) is given up.
func keepShells(ctx context.Context, log *slog.Logger, terminals []string, text func() string) {
	for _, name := range terminals {
		go func() {
			for ctx.Err() == nil {
				started := time.Now()
				if err := runShell(name, text()); err != nil && time.Since(started) < time.Second {
					log.Debug("shell", "terminal", name, "err", err)
					time.Sleep(time.Second)
				}
			}
		}()
	}
}

func runShell(terminal, text string) error {
	cmd, tty, err := console.Shell(terminal, shell)
	if err != nil {
		return err
	}
	defer tty.Close()
	fmt.Fprint(tty, text)
	return cmd.Run()
}

// rescue is what process 1 starts when stage2 has crashed: the report and a shell on every
// console. The guests that run go on.
func rescue(args []string) int {
	setEnvironment()
	report := "(it said nothing)"
	if len(args) > 0 && args[0] != "" {
		report = args[0]
	}
	out := console.Open(activeConsoles())
	log := console.Logger(out, slog.LevelInfo)
	log.Error(boot.MsgCrashed, "remedy", "guests that run go on; use the shell, then reboot or poweroff")
	text := fmt.Sprintf("\n%s\n\nzerodisc's init has crashed (its last words are above). This is an emergency shell.\n"+
		"Guests that run go on. `reboot` or `poweroff` end this machine.\n\n", report)
	keepShells(context.Background(), log, activeConsoles(), func() string { return text })
	select {}
}
