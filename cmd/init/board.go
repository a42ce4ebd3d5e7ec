package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/board"
	"github.com/zerodisc/zerodisc/internal/pid1"
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

// showBoard shows the status board on its terminal for as long as the machine runs.
func (d *dom0) showBoard() {
	changed := make(chan struct{}, 1)
	go func() {
		for range d.state.Subscribe(context.Background()) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	err := board.Run(context.Background(), board.Config{
		Terminal: board.NewTerminal("/dev/" + boardTerminal),
		Snapshot: d.state.Snapshot, Changed: changed, Uptime: uptime,
		Orders: boardOrders{d}, Traffic: vifTraffic,
		Run: func(argv ...string) error {
			_, err := runOn(boardTerminal, argv, "")
			return err
		},
		Shell: []string{shell}, Console: []string{"guest", "console"},
		GuestLog: d.guestLog,
		Log: func() (string, error) {
			text, err := os.ReadFile(logFile)
			return string(text), err
		},
	})
	if err != nil {
		d.log.Warn("status board", "err", err, "remedy", "use the serial console, or zerodisc.debug for lines on the screen")
	}
}

// boardOrders are the orders of the board in this process.
type boardOrders struct{ *dom0 }

// End asks for the end of the machine.
func (o boardOrders) End(action string) error {
	for _, a := range pid1.Signals {
		if a.String() == action {
			o.requests <- a
			return nil
		}
	}
	return fmt.Errorf("%q is no way to end", action)
}

// vifTraffic is how many bytes a domain's network interfaces have carried, both ways.
func vifTraffic(domid int) (bytes uint64) {
	dirs, _ := filepath.Glob("/sys/class/net/vif" + strconv.Itoa(domid) + ".*/statistics")
	for _, dir := range dirs {
		for _, name := range []string{"rx_bytes", "tx_bytes"} {
			n, _ := strconv.ParseUint(readLine(filepath.Join(dir, name)), 10, 64)
			bytes += n
		}
	}
	return bytes
}
