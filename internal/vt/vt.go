// Package vt shows guests on the screen of the machine: Alt-F2 to Alt-F11 are the consoles of the guests, in the order
// in which they started, and Alt-F12 is the log.
//
// What a guest says is on its screen from the first byte on, whether anybody looks or not, and what is typed there goes
// to the guest. Filter keeps it from doing anything beyond that screen.
package vt

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/guestconsole"
	"github.com/zerodisc/zerodisc/internal/host"
)

// Run shows the guests that state knows, until ctx ends. What is typed reaches them where mayType says so. On a machine
// without a screen it does nothing.
func Run(
	ctx context.Context, state *host.State, consoles *guestconsole.Hub, mayType func() bool, log *slog.Logger,
) {
	var screens []*screen
	for i := range count {
		s, err := openScreen(consoles, mayType, fmt.Sprintf("/dev/tty%d", first+i))
		if err != nil {
			log.Debug("screens", "err", err)
			break
		}
		guarded.Go(ctx, func() { s.run(ctx) })
		screens = append(screens, s)
	}
	follow(ctx, state, screens)
}

// follow tells screens what they are to show.
func follow(ctx context.Context, state *host.State, screens []*screen) {
	var now slots
	var shown [count]view
	updates := state.Subscribe(ctx)
	for {
		select {
		case update := <-updates:
			now = now.next(update.Snapshot)
			views := now.views(update.Snapshot)
			for i, s := range screens {
				if views[i] != shown[i] {
					s.show(views[i])
				}
			}
			shown = views
		case <-ctx.Done():
			return
		}
	}
}

// KeepQuiet keeps what is typed on the log's screen from being shown between the lines, and from stopping them.
func KeepQuiet() error {
	fd, err := unix.Open("/dev/"+LogDevice, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the log's screen: %w", err)
	}
	defer unix.Close(fd)
	if _, err := term.MakeRaw(fd); err != nil {
		return fmt.Errorf("set the log's screen: %w", err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("set the log's screen: %w", err)
	}
	t.Oflag |= unix.OPOST | unix.ONLCR // lines end with a line feed only
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("set the log's screen: %w", err)
	}
	return nil
}
