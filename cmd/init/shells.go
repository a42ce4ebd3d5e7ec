package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/login"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/passwd"
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

// keepShells keeps a shell on each terminal until ctx ends, with text above every new one and behind the password, if
// one was set. A terminal that cannot be opened (a serial port that is not there) is given up.
func (s *system) keepShells(ctx context.Context, text func() string) {
	for _, name := range s.terminals {
		go func() {
			for ctx.Err() == nil {
				started := time.Now()
				if err := s.unlock(ctx, name); err != nil {
					s.log.Debug("password", "terminal", name, "err", err)
					if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) {
						return
					}
					time.Sleep(time.Second)
					continue
				}
				opened, err := runOn(name, []string{shellProgram}, text())
				if err != nil {
					s.log.Debug("shell", "terminal", name, "err", err)
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

// unlock returns nil when a shell may start on the terminal. On a terminal of the screen the password opens guests'
// screens, too.
func (s *system) unlock(ctx context.Context, terminal string) error {
	err := s.guard.Ask(ctx, terminal)
	if err == nil && strings.HasPrefix(terminal, "tty") {
		s.guard.Stay()
	}
	return err
}

// mayType says whether what is typed on a guest's screen reaches the guest, and takes it for a sign of life.
func (s *system) mayType() bool {
	open := s.guard.Open()
	if open {
		s.guard.Stay()
	}
	return open
}

// newGuard guards the consoles by the password whose hash the kernel command line has. With a hash that cannot be used
// nobody gets in: whoever set one does not want open consoles.
func (s *system) newGuard() *login.Guard {
	text, given := s.cmdline[boot.KeyPassword]
	if !given {
		return nil
	}
	hash, err := passwd.Parse(text)
	if err != nil {
		s.log.Error("kernel parameter", "key", boot.KeyPassword, "err", err,
			"remedy", "the consoles stay closed; reboot, and correct the hash in the menu")
	}
	return login.NewGuard(hash, func(terminal string) { s.log.Warn(boot.MsgWrongPassword, "terminal", terminal) })
}

// runOn runs a program on the terminal with text above it until it exits, and reports whether the
// terminal could be opened.
func runOn(terminal string, argv []string, text string) (opened bool, err error) {
	cmd, tty, err := console.Shell(terminal, argv...)
	if err != nil {
		return false, err
	}
	defer tty.Close()
	fmt.Fprint(tty, text)
	return true, oom.Run(cmd)
}
