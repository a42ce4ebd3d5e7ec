package report

import (
	"log/slog"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
)

// A guest that restarts again and again would fill the log: once a minute, with three lines each time.
const (
	maxRestarts = 10               // that are written one by one; then each tenth is
	calmTime    = 10 * time.Minute // without a restart: then they are counted anew
)

// restarts are those of one guest.
type restarts struct {
	count int
	last  time.Time
}

// note counts a restart, and says whether it is one to write about.
func (r *restarts) note(now time.Time) bool {
	if now.Sub(r.last) >= calmTime {
		r.count = 0
	}
	r.count, r.last = r.count+1, now
	return !r.isQuiet()
}

// isQuiet says whether nothing is written about the latest restart.
func (r *restarts) isQuiet() bool { return r.count > maxRestarts && r.count%maxRestarts != 0 }

// isQuiet says whether a guest's restarts have become too many to write about each.
func (l *Lines) isQuiet(guest string) bool {
	r := l.restarts[guest]
	return r != nil && r.isQuiet()
}

// restartLine is the line of a restart; none for one that the guest wanted.
func (l *Lines) restartLine(e host.GuestRestarts, now time.Time) (level slog.Level, message string, attrs []any) {
	r := l.restarts[e.Name]
	if r == nil {
		if len(l.restarts) >= maxRestarting {
			clear(l.restarts)
		}
		r = &restarts{}
		l.restarts[e.Name] = r
	}
	if !r.note(now) || e.Problem == "" && r.count != maxRestarts {
		return 0, "", nil
	}
	remedy := "guest logs NAME shows its last words; guest destroy NAME ends it"
	if r.count >= maxRestarts {
		remedy += "; from now on each tenth restart is shown"
	}
	problem := e.Problem
	if problem == "" {
		problem = "it reboots again and again"
	}
	return slog.LevelWarn, boot.MsgGuestRestarts, []any{
		"guest", e.Name, "err", problem, "remedy", strings.ReplaceAll(remedy, "NAME", e.Name),
	}
}

// maxRestarting bounds the guests whose restarts are counted: names come and go.
const maxRestarting = 1000
