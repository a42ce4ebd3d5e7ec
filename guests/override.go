package guests

import (
	"fmt"
	"strconv"
	"time"
)

// Restart says when a guest is made anew, whatever its configuration says.
type Restart string

// The restart policies. "" is AsConfigured.
const (
	AsConfigured Restart = "as-configured" // on_poweroff, on_reboot, on_watchdog and on_crash say so
	Always       Restart = "always"        // however it has ended
	OnFailure    Restart = "on-failure"    // when it has crashed, or reboots
	Never        Restart = "never"         // not even when it reboots
)

// Override is what the host's owner wants of a guest in place of what its configuration says. Zero values leave
// that as it is.
type Override struct {
	Autostart *bool         // whether it starts by itself
	Order     int           // guests with a lower one start first
	Delay     time.Duration // how long to wait before it is started, after the one before it
	MemoryMiB int64
	VCPUs     int64
	Restart   Restart
	Bridge    string // that its first network interface is attached to
	MAC       string // of its first network interface, as parseMAC takes it
}

// override writes memory and vCPUs into the configuration. What the guest may grow to grows with them.
func (r *resolver) override() error {
	o := r.guest.Override
	for _, setting := range []struct {
		name, limit string
		value, most int64
	}{
		{"memory", "maxmem", o.MemoryMiB, mostMiB},
		{"vcpus", "maxvcpus", o.VCPUs, mostVCPUs},
	} {
		if setting.value == 0 {
			continue
		}
		if setting.value < 0 || setting.value > setting.most {
			return r.config().errorf(Pos{}, fmt.Sprintf("give it from 1 to %d", setting.most),
				"%s = %d, which the host's configuration wants for it, is out of bounds", setting.name, setting.value)
		}
		limit, err := r.config().Int(setting.limit, 0, 0, setting.most)
		if err != nil {
			return err
		}
		text := strconv.FormatInt(setting.value, 10)
		r.config().set(setting.name, text)
		if limit != 0 && limit < setting.value {
			r.config().set(setting.limit, text)
		}
	}
	return nil
}

// overrideVif puts the bridge and the MAC that the host's owner wants in place of the first network interface's own.
func (o Override) overrideVif(v *vif) error {
	if o.Bridge != "" {
		v.replace("bridge", o.Bridge)
	}
	if o.MAC == "" {
		return nil
	}
	mac, err := parseMAC(o.MAC)
	if err == nil && mac == "" {
		err = faultf("give another one", "mac=%s, which the host's configuration wants for it, is none", o.MAC)
	}
	v.mac = mac
	return err
}
