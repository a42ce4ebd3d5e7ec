package report

import (
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/host"
)

func TestRefusedTrafficLine(t *testing.T) {
	var out strings.Builder
	event := host.GuestRefusedTraffic{
		Name: "web", Reason: "dhcp", What: "it answers as a DHCP server", Packets: 12,
		Remedy: "trust it with that: guests.NAME.network.trust, dhcp",
	}
	NewLines(console.Logger(&out, nil)).write(host.Update{Snapshot: new(host.Snapshot), Events: []host.Event{event}})
	want := "level=WARN msg=\"guest traffic refused\" guest=web reason=dhcp packets=12 " +
		"err=\"it answers as a DHCP server\" remedy=\"trust it with that: guests.web.network.trust, dhcp\"\n"
	if out.String() != want {
		t.Errorf("%swant:\n%s", out.String(), want)
	}
}
