package vifrules

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	return r.locked(func(f *files, t *tables) error {
		before, err := r.read()
		if err != nil {
			return err
		}
		change(&f.config)
		if err := f.config.check(); err != nil {
			return err
		}
		if exists, err := t.exists(); err != nil {
			return err
		} else if !exists {
			before = &files{} // all rules have to be made
		}
		f.forgetGone()
		f.config.assign(f.vifs)
		if err := f.save(); err != nil {
			return err
		}
		_ = t.prune(f)
		return errors.Join(t.setBase(f.config.Host), t.setHost(f.config.Host), t.setVifs(before, f))
	})
}

// SetGuest configures a guest, unless it is configured so already.
func (r Rules) SetGuest(uuid string, guest Guest) error {
	uuid = strings.ToLower(uuid)
	f, err := r.read()
	if err != nil {
		return err
	}
	if before, known := f.config.Guests[uuid]; known && reflect.DeepEqual(before, guest) {
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
	return r.locked(func(f *files, t *tables) error {
		f.forgetGone()
		return errors.Join(t.setBase(f.config.Host), t.setHost(f.config.Host), t.setVifs(&files{}, f))
	})
}

func (c *Config) check() error {
	for uuid, guest := range c.Guests {
		if err := guest.Check(); err != nil {
			return fmt.Errorf("guest %s: %w", cmp.Or(guest.Name, uuid), err)
		}
	}
	return nil
}

// setVifs makes the rules of all vifs that have changed. One that fails does not keep the others from theirs.
func (t *tables) setVifs(before, now *files) error {
	var errs []error
	for _, v := range now.gone {
		errs = append(errs, t.removeVif(v.Name))
	}
	for _, v := range now.vifs {
		if !reflect.DeepEqual(before.inputs(v.Name), now.inputs(v.Name)) {
			errs = append(errs, t.setVif(&now.config, v), tag(now.config.Guests[v.UUID].VLAN, v))
		}
	}
	return errors.Join(errs...)
}

// inputs are all that a vif's rules are made of.
type inputs struct {
	vif     Vif
	guest   Guest
	allowed []netip.Addr
	fenced  netip.Prefix
}

func (f *files) inputs(name string) inputs {
	v := f.vif(name)
	return inputs{v, f.config.Guests[v.UUID], f.config.allowed(v), f.config.fenced(v)}
}

// Plug puts a vif's rules in force. Its interface is there, and not yet a port of the bridge.
func (r Rules) Plug(v Vif) error {
	mac, err := net.ParseMAC(v.MAC)
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("rules of %s: MAC %.20q is none", v.Name, v.MAC)
	}
	v.MAC, v.UUID = mac.String(), strings.ToLower(v.UUID)
	return r.locked(func(f *files, t *tables) error {
		exists, err := t.exists()
		if err != nil {
			return err
		}
		f.forgetGone()
		f.add(v)
		f.config.assign(f.vifs)
		if err := f.save(); err != nil {
			return err
		}
		if !exists { // the first vif, or somebody has flushed the kernel's rules
			return errors.Join(t.setBase(f.config.Host), t.setHost(f.config.Host), t.setVifs(&files{}, f))
		}
		for _, old := range f.gone {
			if err := t.removeVif(old.Name); err != nil {
				return err
			}
		}
		_ = t.prune(f) // a counter that is left over costs no guest its network
		return t.setVif(&f.config, f.vif(v.Name))
	})
}

// Joined has to be called when the vif is a port of its bridge: that is when it can get its VLAN.
func (r Rules) Joined(name string) error {
	return r.locked(func(f *files, _ *tables) error {
		v := f.vif(name)
		return tag(f.config.Guests[v.UUID].VLAN, v)
	})
}

// Unplug ends a vif's rules. What a guest has sent and got remains known as long as the guest is configured.
func (r Rules) Unplug(name string) error {
	return r.locked(func(f *files, t *tables) error {
		f.remove(name)
		// In this order: a record without rules is mended, rules without a record are not.
		return errors.Join(t.removeVif(name), f.save())
	})
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
