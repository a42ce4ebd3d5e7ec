package report

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
)

// maxAddresses is how many addresses of one domain are written to the console: what a guest says of itself
// costs everybody's attention. The state has the newest all the same.
const maxAddresses = 20

// floodPause is how long it takes until the same is said again of a domain that floods.
const floodPause = 10 * time.Minute

// addressFlood says once that a domain has had more addresses than are written.
func (l *Lines) addressFlood(e host.GuestAddressed) (level slog.Level, message string, attrs []any) {
	if l.addresses[e.Domid] > maxAddresses+1 {
		return 0, "", nil
	}
	return floodLine(host.GuestFloods{
		Name: e.Name, Domid: e.Domid, What: host.FloodAddress,
		Problem: fmt.Sprintf("it had %d addresses; no more of them are shown here", maxAddresses),
	})
}

// isNews says whether a flood was not said lately. A guest has the say how often xenstored complains of it.
func (l *Lines) isNews(e host.GuestFloods, now time.Time) bool {
	said := l.floods[e.Domid]
	if said == nil {
		said = map[string]time.Time{}
		l.floods[e.Domid] = said
	}
	if last, ok := said[e.Problem]; ok && now.Sub(last) < floodPause {
		return false
	}
	said[e.Problem] = now
	return true
}

// floodRemedies are what one can do about a guest that floods something.
var floodRemedies = map[host.Flooded]string{
	host.FloodConsole:  "dom0 takes no more than it can bear, and keeps the newest; guest console NAME shows it",
	host.FloodXenstore: "others are not held up; look at what it does, or end it with guest destroy NAME",
	host.FloodAddress:  "guest list has the newest; fixing its address with guests.NAME.network.address ends it",
}

func floodLine(e host.GuestFloods) (level slog.Level, message string, attrs []any) {
	return slog.LevelWarn, boot.MsgGuestFlood, []any{
		"guest", e.Name, "what", string(e.What), "err", e.Problem,
		"remedy", strings.ReplaceAll(floodRemedies[e.What], "NAME", e.Name),
	}
}
