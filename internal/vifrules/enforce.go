package vifrules

import (
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
)

// outcome is what failed when rules were put in force.
type outcome struct {
	base error            // what all vifs need
	gone error            // the end of rules
	vifs map[string]error // by name
}

func (o outcome) all() error {
	errs := []error{o.base, o.gone}
	for _, name := range slices.Sorted(maps.Keys(o.vifs)) {
		errs = append(errs, o.vifs[name])
	}
	return errors.Join(errs...)
}

// enforce saves the files and makes the kernel's rules of them. What cannot be made keeps nothing else from being made,
// and is tried again at the next change.
func (t *tables) enforce(before, now *files) (outcome, error) {
	number, err := generation()
	if err != nil {
		return outcome{}, err
	}
	exists, err := t.exists()
	if err != nil {
		return outcome{}, err
	}
	if before.stale || !exists { // somebody has flushed the kernel's rules, or they are not known
		before = nil
	}
	if err := now.save(); err != nil {
		return outcome{}, err
	}
	o := outcome{vifs: map[string]error{}}
	if before == nil || !reflect.DeepEqual(before.base(), now.base()) {
		o.base = errors.Join(t.setBase(now), t.setHost(now.config.Host))
	}
	for _, v := range now.vifs {
		if before != nil && before.has(v.Name) && reflect.DeepEqual(before.inputs(v.Name), now.inputs(v.Name)) {
			continue
		}
		if err := errors.Join(t.setVif(&now.config, v), now.tag(v)); err != nil {
			o.vifs[v.Name] = err
		}
	}
	if o.base == nil {
		o.gone = t.sweep(now)
		_ = t.prune(now) // a counter that is left over harms nobody
	}
	if o.all() != nil {
		return o, nil
	}
	if before == nil || before.generation == number {
		if number, err = generation(); err == nil {
			err = now.noteGeneration(number)
		}
	} // else somebody has changed rules, and the guard looks which
	return o, errors.Join(err, now.enforced())
}

// base is all that the rules are made of that all vifs go through.
type base struct {
	host  Host
	owned []netip.Addr
}

func (f *files) base() base { return base{f.config.Host, f.config.owned(f.vifs)} }

// inputs are all that a vif's rules are made of.
type inputs struct {
	vif       Vif
	guest     Guest
	belonging []netip.Addr
	fenced    netip.Prefix
	temporary bool
}

func (f *files) inputs(name string) inputs {
	v := f.vif(name)
	p, _ := f.config.private(v.Bridge)
	return inputs{v, f.config.Guests[v.UUID], f.config.belonging(v), f.config.fenced(v), p.Temporary}
}
