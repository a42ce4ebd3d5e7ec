package vifrules

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// Dir is where a running host has what its rules are made of.
const Dir = boot.RunDir + "/network"

// Rules are the rules of this machine, or network namespace. They are made of the files in Dir, which belong to
// whoever has the lock; several processes may use them.
type Rules struct{ Dir string }

// Configure changes the configuration and makes the rules that follow from it. Those of vifs that it does not concern
// are left alone. The change must not keep what it was given. A guest that is wrong (see [Guest.Check]) is an error,
// and nothing is changed.
func (r Rules) Configure(change func(*Config)) error {
	return r.change(func(f *files) error {
		change(&f.config)
		return f.config.check()
	}, outcome.all)
}

// change changes the files and makes the kernel's rules of them. which says what of the outcome is the caller's.
func (r Rules) change(change func(*files) error, which func(outcome) error) error {
	return r.locked(func(now *files, t *tables) error {
		before, err := r.read()
		if err != nil {
			return err
		}
		now.forgetGone()
		if err := change(now); err != nil {
			return err
		}
		if now.config.Host.Own, err = ownAddresses(now.config.Host.Private); err != nil {
			return err
		}
		now.config.assign(now.vifs)
		o, err := t.enforce(before, now)
		return errors.Join(err, which(o))
	})
}

// SetGuest configures a guest, unless it is configured so already.
func (r Rules) SetGuest(uuid string, guest Guest) error {
	uuid = strings.ToLower(uuid)
	f, err := r.read()
	if err != nil {
		return err
	}
	if before, known := f.config.Guests[uuid]; known && !f.stale && reflect.DeepEqual(before, guest) {
		return nil
	}
	return r.Configure(func(c *Config) {
		if c.Guests == nil {
			c.Guests = map[string]Guest{}
		}
		c.Guests[uuid] = guest
	})
}

// Restore makes all rules anew, for example after somebody has flushed the kernel's.
func (r Rules) Restore() error {
	return r.locked(func(f *files, t *tables) error { return restore(f, t) })
}

func restore(f *files, t *tables) error {
	f.forgetGone()
	o, err := t.enforce(&files{stale: true}, f)
	return errors.Join(err, o.all())
}

func (c *Config) check() error {
	for uuid, guest := range c.Guests {
		if err := guest.Check(); err != nil {
			return fmt.Errorf("guest %s: %w", cmp.Or(guest.Name, uuid), err)
		}
	}
	return nil
}

// Plug puts a vif's rules in force. Its interface is there, and not yet a port of the bridge. A MAC that is somebody
// else's is an error.
func (r Rules) Plug(v Vif) error {
	mac, err := net.ParseMAC(v.MAC)
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("rules of %s: MAC %.20q is none", v.Name, v.MAC)
	}
	v.MAC, v.UUID = mac.String(), strings.ToLower(v.UUID)
	return r.change(func(f *files) error {
		if err := f.claim(v.MAC, v.UUID); err != nil {
			return fmt.Errorf("MAC address %s: %w; choose another one, or none", v.MAC, err)
		}
		f.add(v)
		return nil
	}, func(o outcome) error { return errors.Join(o.base, o.vifs[v.Name]) }) // what is wrong with others is theirs
}

// Joined has to be called when the vif is a port of its bridge: that is when it can get its VLAN.
func (r Rules) Joined(name string) error {
	return r.locked(func(f *files, _ *tables) error {
		return f.tag(f.vif(name))
	})
}

// Unplug ends a vif's rules. What a guest has sent and got remains known as long as the guest is configured.
func (r Rules) Unplug(name string) error {
	return r.change(func(f *files) error { f.remove(name); return nil },
		func(o outcome) error { return errors.Join(o.base, o.gone) })
}

// Vifs lists the vifs that have rules, by name.
func (r Rules) Vifs() ([]Vif, error) {
	f, err := r.read()
	if err != nil {
		return nil, err
	}
	for i := range f.vifs { // a guest may have been renamed
		f.vifs[i].Guest = cmp.Or(f.config.Guests[f.vifs[i].UUID].Name, f.vifs[i].Guest)
	}
	return f.vifs, nil
}

// Private lists the private networks that there are.
func (r Rules) Private() ([]Private, error) {
	f, err := r.read()
	if err != nil {
		return nil, err
	}
	return f.config.Host.Private, nil
}

// Traffic returns what was counted, by name and UUID of the guests.
func (r Rules) Traffic() ([]Traffic, HostDrops, error) {
	f, err := r.read()
	if err != nil {
		return nil, HostDrops{}, err
	}
	t, err := openTables()
	if err != nil {
		return nil, HostDrops{}, err
	}
	defer t.close()
	bridge, err := t.counts(t.bridge)
	if err != nil {
		return nil, HostDrops{}, err
	}
	host, err := t.counts(t.host)
	if err != nil {
		return nil, HostDrops{}, err
	}
	return trafficOf(bridge, f.names()), HostDrops{
		FromGuests: host[counterInputGuest], FromOutside: host[counterInputOutside], Forwarded: host[counterForward],
		Fenced: bridge[counterFence], Unknown: bridge[string(FromNowhere)],
	}, nil
}
