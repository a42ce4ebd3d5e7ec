package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/board"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/control"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/sshd"
)

// boardTerminal is the terminal that shows the status board in place of lines, where the machine has it.
const boardTerminal = "tty1"

// takeBoardTerminal takes the board's terminal out of those that get lines and shells, and says whether there is one.
// With all messages on the console there is none: the board would hide them.
func takeBoardTerminal(cmdline boot.Cmdline, terminals []string) (rest []string, taken bool) {
	if cmdline.Has(boot.KeyDebug) || !slices.Contains(terminals, boardTerminal) {
		return terminals, false
	}
	return slices.DeleteFunc(slices.Clone(terminals), func(name string) bool { return name == boardTerminal }), true
}

// startBoard shows the status board on its terminal, until endBoard is called.
func (d *dom0) startBoard() {
	d.watch(context.Background(), boardService, endless(d.showBoard))
	d.endBoard = func() { d.orderService("stop", boardService) }
}

// boardService is the status board among the services.
const boardService = "board"

// takeConsole keeps lines from a terminal until give is called.
func takeConsole(terminal *os.File) (give func()) { return console.Take(boot.ConsolesDir, terminal) }

// takeOver gives lines and a shell the terminal that the board had, the lines that have been written to others first.
func (d *dom0) takeOver(ctx context.Context) {
	text, err := initLines()
	if err = errors.Join(err, console.Restore(boardTerminal), writeTerminal(boardTerminal, text)); err != nil {
		d.log.Warn("status board", "err", err)
	}
	d.ttys.AddDevice(boardTerminal)
	go func() {
		select {
		case <-d.shells:
			d.keepShell(ctx, boardTerminal, d.consoleText)
		case <-ctx.Done():
		}
	}()
}

func writeTerminal(name, text string) error {
	tty, err := os.OpenFile("/dev/"+name, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	_, err = tty.WriteString(text)
	return errors.Join(err, tty.Close())
}

// showBoard shows the status board on its terminal until ctx ends.
func (d *dom0) showBoard(ctx context.Context) {
	changed := make(chan struct{}, 1)
	go func() {
		for range d.state.Subscribe(ctx) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	err := board.Run(ctx, board.Config{
		Terminal: board.NewTerminal("/dev/"+boardTerminal, takeConsole),
		Snapshot: d.state.Snapshot, Changed: changed, Uptime: uptime,
		Order: d.orderOnBoard, End: d.endOnBoard, Meter: d.meter,
		LogIn: func(s *host.Snapshot) []string { return logInLines(s, d.guard.Open()) },
		Run: func(argv ...string) error {
			_, err := console.Run(boardTerminal, "", argv...)
			return err
		},
		Guard: d.guard, TTY: boardTerminal,
		Shell: []string{shellProgram}, Console: []string{"guest", "console"},
		GuestLog: d.guestLog,
		Log:      initLines,
	})
	if err != nil {
		d.log.Warn("status board", "err", err, "remedy", "use the serial console, or zerodisc.debug")
	}
}

// guestLog is what a guest has written to its console.
func (d *dom0) guestLog(g *host.Guest) (string, error) {
	o, err := d.awake()
	if err != nil {
		return "", err
	}
	text, _ := o.consoles.Log(g.UUID)
	return string(text), nil
}

// awake returns the owners, which take orders once Xen's daemons run.
func (d *dom0) awake() (*owners, error) {
	select {
	case <-d.owned:
		return d.owners, nil
	default:
		return nil, errors.New("Xen's daemons do not run: nothing can be ordered yet")
	}
}

// boardStop is how long a guest has to shut down when the board asks for it. It is not destroyed after that.
const boardStop = time.Minute

// boardOrders are the board's orders about guests, by what it calls them.
var boardOrders = map[string]func(c *control.Controller, ctx context.Context, name string) error{
	board.Start: (*control.Controller).StartGuest,
	board.Stop: func(c *control.Controller, ctx context.Context, name string) error {
		return c.Stop(ctx, name, boardStop, false)
	},
	board.Restart: func(c *control.Controller, ctx context.Context, name string) error {
		return c.Restart(ctx, name, boardStop, false)
	},
	board.Pause:   (*control.Controller).Pause,
	board.Resume:  (*control.Controller).Unpause,
	board.Destroy: (*control.Controller).Destroy,
}

// orderOnBoard gives an order of the board's.
func (d *dom0) orderOnBoard(ctx context.Context, order, name string) error {
	o, err := d.awake()
	if err != nil {
		return err
	}
	return boardOrders[order](o.controller, ctx, name)
}

// endOnBoard asks for the end of the machine.
func (d *dom0) endOnBoard(action string) error {
	a, ok := actionOf(action)
	if !ok {
		return fmt.Errorf("%q is no way to end", action)
	}
	d.requests <- a
	return nil
}

// logInLines is how to log in to this host. The one-time password is for whoever stands at the machine, if
// the consoles are open.
func logInLines(s *host.Snapshot, open bool) []string {
	ssh := s.Host.SSH
	if ssh.Port == 0 {
		return []string{"press ! for a root shell"}
	}
	password := ""
	if open {
		password = sshd.OneTimePassword(boot.SSHDir)
	}
	return append(commandLines(report.Login(s.Host), password), "host key "+strings.Join(ssh.Fingerprints, ", "))
}

// logInColumns is the room that the smallest board has for how to log in.
const logInColumns = 70

// commandLines are the command that logs in, and the one-time password, if there is one: on a line of its own where
// the address is a long IPv6 one, because it would be cut off.
func commandLines(command, password string) []string {
	if password == "" {
		return []string{command}
	}
	password = "password for one login: " + password
	if both := command + "   " + password; len(both) <= logInColumns {
		return []string{both}
	}
	return []string{command, password}
}
