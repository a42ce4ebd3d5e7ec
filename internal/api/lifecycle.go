package api

import (
	"reflect"
	"strings"

	"github.com/zerodisc/zerodisc/internal/host"
)

// guestActions are what happens to guests, by the type of the event, which has the guest's Name.
var guestActions = map[reflect.Type]string{
	reflect.TypeFor[host.GuestRan]():            "started",
	reflect.TypeFor[host.GuestAddressed]():      "addressed",
	reflect.TypeFor[host.GuestNotStarted]():     "refused",
	reflect.TypeFor[host.GuestWaits]():          "waiting",
	reflect.TypeFor[host.GuestDisk]():           "disk",
	reflect.TypeFor[host.GuestDisksFull]():      "disks-full",
	reflect.TypeFor[host.GuestRefusedTraffic](): "traffic-refused",
	reflect.TypeFor[host.GuestEnded]():          "stopped",
	reflect.TypeFor[host.GuestFloods]():         "floods",
	reflect.TypeFor[host.GuestRestarts]():       "restarted",
}

// lifecycleOf is an event of the host's state as the API shows it. What happens to the host itself is called by the
// name of its fact: "host-stage", "host-network".
func lifecycleOf(e host.Event) Lifecycle {
	v := reflect.ValueOf(e)
	if action, ok := guestActions[v.Type()]; ok {
		name := v.FieldByName("Name").String()
		return Lifecycle{Action: "guest-" + action, Source: guestPath(name), Name: name, Context: e}
	}
	return Lifecycle{Action: "host-" + strings.ToLower(v.Type().Name()), Source: Version + "/host", Context: e}
}
