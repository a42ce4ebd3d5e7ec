package control

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// action is what is done with a guest whose domain has shut down (xl.cfg(5), "Event Actions").
type action string

const (
	destroy  action = "destroy"
	restart  action = "restart"
	preserve action = "preserve"
)

// policy has the action for each reason.
type policy map[host.Reason]action

// onSettings are the settings that make a policy, with xl's defaults.
var onSettings = []struct {
	name    string
	reason  host.Reason
	missing action
}{
	{"on_poweroff", host.PowerOff, destroy},
	{"on_reboot", host.Reboot, restart},
	{"on_watchdog", host.Watchdog, destroy},
	{"on_crash", host.Crash, destroy},
}

// readPolicy reads a guest's policy. Errors are *guests.Error.
func readPolicy(spec *guests.Resolved) (policy, error) {
	p := policy{host.SoftReset: restart} // one that would keep memory
	for _, on := range onSettings {
		p[on.reason] = on.missing
		value, ok, err := spec.Complete.Text(on.name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		// dom0 has no disk for a core: it would fill its memory.
		wanted := action(strings.TrimPrefix(value.Text, "coredump-"))
		switch wanted {
		case destroy, restart, preserve:
			p[on.reason] = wanted
		default:
			return nil, &guests.Error{
				Guest: spec.Name, File: spec.File, Pos: value.Pos,
				Problem: fmt.Sprintf("%s = %q is not done here", on.name, value.Text),
				Remedy:  fmt.Sprintf("write %s = \"destroy\", \"restart\" or \"preserve\"", on.name),
			}
		}
	}
	return p, p.override(spec)
}

// overrides are the policies that the host's owner may want in place of a guest's own.
var overrides = map[guests.Restart]policy{
	guests.AsConfigured: {},
	guests.Always:       {host.PowerOff: restart, host.Reboot: restart, host.Watchdog: restart, host.Crash: restart},
	guests.OnFailure:    {host.PowerOff: destroy, host.Reboot: restart, host.Watchdog: restart, host.Crash: restart},
	guests.Never:        {host.PowerOff: destroy, host.Reboot: destroy, host.Watchdog: destroy, host.Crash: destroy},
}

// override puts what the host's owner wants in place of what the guest's configuration asks for.
func (p policy) override(spec *guests.Resolved) error {
	wanted, known := overrides[cmp.Or(spec.Override.Restart, guests.AsConfigured)]
	if !known {
		return spec.Problem(guests.Pos{}, "write as-configured, always, on-failure or never",
			fmt.Errorf("there is no restart policy %q", spec.Override.Restart))
	}
	maps.Copy(p, wanted)
	return nil
}
