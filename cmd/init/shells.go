package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/login"
	"github.com/zerodisc/zerodisc/internal/passwd"
)

// shellProgram is the interactive program on the consoles.
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
		go s.keepShell(ctx, name, text)
	}
}

func (s *system) keepShell(ctx context.Context, name string, text func() string) {
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
		opened, err := console.Run(name, text(), shellProgram)
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

// newGuard returns the guard of the consoles.
func (s *system) newGuard() *login.Guard {
	return login.NewGuard(func(terminal string) { s.log.Warn(boot.MsgWrongPassword, "terminal", terminal) })
}

// decidePassword opens the consoles, or has them ask for the password, by what the configuration says now. With a hash
// that cannot be used nobody gets in; that it cannot was said when its source was read.
func (s *system) decidePassword() {
	if s.config().PasswordHash == "" {
		s.guard.Waive()
		return
	}
	hash, _ := passwd.Parse(s.config().PasswordHash) // the zero value matches no password
	s.guard.Require(hash)
}
