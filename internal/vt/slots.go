package vt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/host"
)

// The screens of guests are tty2 to tty11, and Alt-F2 to Alt-F11 switch to them; the log's is tty12.
const (
	first     = 2
	count     = 10
	logScreen = first + count
)

// LogDevice is the terminal below /dev that shows the log.
var LogDevice = fmt.Sprintf("tty%d", logScreen)

// slots are the UUIDs of the guests on the screens, "" where there is none.
type slots [count]string

// next gives screens to guests that have none: to those that run, and in the order of the list to those that will, so
// that whoever starts them side by side finds each in its place. A guest keeps its screen through its restarts, and
// after its end until another guest needs it: its last words are to be seen.
func (s slots) next(now *host.Snapshot) slots {
	for i, uuid := range s {
		if now.ByUUID(uuid) == nil {
			s[i] = "" // the host has forgotten it
		}
	}
	for _, g := range now.Guests {
		if g.UUID != "" && (g.Domid != 0 || g.Phase.Live()) && !slices.Contains(s[:], g.UUID) {
			if at := s.room(now); at >= 0 {
				s[at] = g.UUID
			}
		}
	}
	return s
}

// room is the first screen without a guest, or else the one of the guest that ended first; -1 where all guests live.
func (s slots) room(now *host.Snapshot) int {
	if at := slices.Index(s[:], ""); at >= 0 {
		return at
	}
	oldest := -1
	for i, uuid := range s {
		g := now.ByUUID(uuid)
		if g.Domid != 0 || g.Phase.Live() {
			continue
		}
		if oldest < 0 || g.Since.Before(now.ByUUID(s[oldest]).Since) {
			oldest = i
		}
	}
	return oldest
}

// view is what a screen is to show.
type view struct {
	uuid   string // "" for a screen without a guest
	title  string
	notice string // of a screen without a guest
}

// views says what the screens are to show.
func (s slots) views(now *host.Snapshot) [count]view {
	var all [count]view
	for i, uuid := range s {
		key := fmt.Sprintf("Alt-F%d", first+i)
		if g := now.ByUUID(uuid); uuid != "" && g != nil {
			all[i] = view{uuid: uuid, title: fmt.Sprintf("-- %s: guest %s --", key, told(g))}
			continue
		}
		all[i] = view{
			title:  fmt.Sprintf("-- %s: no guest --", key),
			notice: "The next guest that starts comes here.\n\n" + s.directory(now),
		}
	}
	return all
}

// directory says which keys lead where.
func (s slots) directory(now *host.Snapshot) string {
	var b strings.Builder
	b.WriteString("Alt-F1   host\n")
	for i, uuid := range s {
		if g := now.ByUUID(uuid); uuid != "" && g != nil {
			fmt.Fprintf(&b, "Alt-F%-2d  guest %s\n", first+i, told(g))
		}
	}
	fmt.Fprintf(&b, "Alt-F%d  log\n", logScreen)
	return b.String()
}

// told is what a screen says of a guest.
func told(g *host.Guest) string {
	if g.Phase.Live() {
		return g.Name
	}
	return g.Name + ", " + string(g.Phase)
}
