package api

import (
	"fmt"
	"strings"

	"github.com/zerodisc/zerodisc/internal/host"
)

// lifecycleOf is an event of the host's state as the API shows it. What happens to the host itself is called by the
// name of its fact: "host-stage", "host-network".
func lifecycleOf(e host.Event) Lifecycle {
	guest := func(action, name string) Lifecycle {
		return Lifecycle{Action: "guest-" + action, Source: guestPath(name), Name: name, Context: e}
	}
	switch e := e.(type) {
	case host.GuestRan:
		return guest("started", e.Name)
	case host.GuestAddressed:
		return guest("addressed", e.Name)
	case host.GuestNotStarted:
		return guest("refused", e.Name)
	case host.GuestWaits:
		return guest("waiting", e.Name)
	case host.GuestDisk:
		return guest("disk", e.Name)
	case host.GuestDisksFull:
		return guest("disks-full", e.Name)
	case host.GuestRefusedTraffic:
		return guest("traffic-refused", e.Name)
	case host.GuestEnded:
		return guest("stopped", e.Name)
	case host.GuestFloods:
		return guest("floods", e.Name)
	case host.GuestRestarts:
		return guest("restarted", e.Name)
	}
	kind := strings.TrimPrefix(fmt.Sprintf("%T", e), "host.")
	return Lifecycle{Action: "host-" + strings.ToLower(kind), Source: Version + "/host", Context: e}
}
