package udevadm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/udev"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

const triggerUsage = `usage: udevadm trigger [OPTIONS] [DEVPATH|FILE]...
Has the kernel report devices again: those given and all below them, or all.
  -v, --verbose                     print the devices
  -n, --dry-run                     do nothing else
  -q, --quiet                       do not say which devices could not be reported
  -t, --type=TYPE                   devices (the default), subsystems or all
  -c, --action=ACTION               change (the default), add, remove, move, online, offline,
                                    bind or unbind
  -s, --subsystem-match=PATTERN     only those of a subsystem
  -S, --subsystem-nomatch=PATTERN   none of a subsystem
  -a, --attr-match=FILE[=PATTERN]   only those with an attribute
  -A, --attr-nomatch=FILE[=PATTERN] none with an attribute
  -p, --property-match=KEY=PATTERN  only those with a property
  -y, --sysname-match=PATTERN       only those with a name in sysfs
      --name-match=FILE             only the device of a node, and those below it
  -b, --parent-match=DEVPATH        only a device and those below it
  -w, --settle                      wait until these have been worked on
      --uuid                        print the UUID of each event
-s, -S, -a, -A, -p, -y, -b and --name-match may be given several times.
`

// triggerOptions are the options of trigger.
type triggerOptions struct {
	verbose, dry, quiet, settle, uuid        bool
	kind, action                             string
	subsystems, notSubsystems                []string
	attributes, notAttributes                []string
	propertyMatches, names, nodes, ancestors []string
}

func (o *triggerOptions) options() []option {
	return []option{
		flag('v', "verbose", &o.verbose), flag('n', "dry-run", &o.dry), flag('q', "quiet", &o.quiet),
		choice('t', "type", &o.kind, "devices", "subsystems", "all"),
		choice('c', "action", &o.action, "add", "remove", "change", "move", "online", "offline", "bind", "unbind"),
		list('s', "subsystem-match", &o.subsystems), list('S', "subsystem-nomatch", &o.notSubsystems),
		list('a', "attr-match", &o.attributes), list('A', "attr-nomatch", &o.notAttributes),
		list('p', "property-match", &o.propertyMatches), list('y', "sysname-match", &o.names),
		list(0, "name-match", &o.nodes), list('b', "parent-match", &o.ancestors),
		flag('w', "settle", &o.settle), flag(0, "uuid", &o.uuid),
	}
}

// trigger is the command.
func (t *tool) trigger(args []string) error {
	o := triggerOptions{kind: "devices", action: "change"}
	rest, err := parse(args, o.options())
	if err != nil {
		return err
	}
	if o.ancestors, err = t.resolveAll(rest, o); err != nil {
		return err
	}
	paths, err := t.candidates(o.kind)
	if err != nil {
		return err
	}
	return t.report(slices.DeleteFunc(paths, func(at string) bool { return !t.selected(at, o) }), o)
}

// resolveAll finds the devices that arguments and options name.
func (t *tool) resolveAll(arguments []string, o triggerOptions) ([]string, error) {
	for _, list := range []struct {
		names []string
		dir   string
	}{{o.nodes, "/dev/"}, {o.ancestors, "/sys/"}} {
		for _, name := range list.names {
			if !strings.HasPrefix(name, list.dir) {
				name = list.dir + strings.TrimPrefix(name, "/")
			}
			arguments = append(arguments, name)
		}
	}
	var paths []string
	for _, name := range arguments {
		at, err := t.resolve(name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, at)
	}
	return paths, nil
}

// candidates lists what may be triggered, by type.
func (t *tool) candidates(kind string) ([]string, error) {
	var paths []string
	if kind != "devices" {
		paths = t.subsystems()
	}
	if kind == "subsystems" {
		return paths, nil
	}
	devices, err := t.all()
	return append(paths, devices...), err
}

// selected says whether the options ask for a device. Of the same option any counts, except for attributes; of
// different options all do.
func (t *tool) selected(at string, o triggerOptions) bool {
	d, err := t.load(at)
	switch {
	case err != nil:
		return false
	case len(o.ancestors) > 0 && !slices.ContainsFunc(o.ancestors, func(above string) bool {
		return at == above || strings.HasPrefix(at, above+"/")
	}):
		return false
	case len(o.subsystems) > 0 && !matchesAny(o.subsystems, d.subsystem), matchesAny(o.notSubsystems, d.subsystem):
		return false
	case len(o.names) > 0 && !matchesAny(o.names, d.name()):
		return false
	}
	attribute := func(spec string) bool { return t.hasAttribute(at, spec) }
	property := func(spec string) bool {
		key, pattern, _ := strings.Cut(spec, "=")
		value := d.properties().Get(key)
		return value != "" && kmod.Match(pattern, value)
	}
	return !slices.ContainsFunc(o.attributes, func(spec string) bool { return !attribute(spec) }) &&
		!slices.ContainsFunc(o.notAttributes, attribute) &&
		(len(o.propertyMatches) == 0 || slices.ContainsFunc(o.propertyMatches, property))
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return kmod.Match(p, name) })
}

// hasAttribute says whether a device has an attribute, FILE, or one with a value, FILE=PATTERN.
func (t *tool) hasAttribute(at, spec string) bool {
	name, pattern, hasPattern := strings.Cut(spec, "=")
	file := path.Join(strings.TrimPrefix(at, "/"), name)
	if !fs.ValidPath(file) || !strings.HasPrefix(file, strings.TrimPrefix(at, "/")+"/") {
		return false
	}
	if !hasPattern {
		_, err := t.sys.Lstat(file)
		return err == nil
	}
	data, err := t.sys.ReadFile(file)
	return err == nil && kmod.Match(pattern, strings.TrimRight(string(data), "\n"))
}

// report has the kernel report devices, and waits for them if asked.
func (t *tool) report(paths []string, o triggerOptions) error {
	var wait *waiter
	if o.settle && !o.dry {
		w, err := newWaiter()
		if err != nil {
			return err
		}
		defer w.listener.Close()
		wait = w
	}
	var errs []error
	for _, at := range paths {
		if o.verbose {
			t.line("/sys" + at)
		}
		if o.dry {
			continue
		}
		word := o.action
		if o.settle || o.uuid {
			id := uuid.New().String()
			word += " " + id
			if wait != nil {
				wait.ids[id] = true
			}
			if o.uuid {
				t.line(id)
			}
		}
		err := t.poke(at, word)
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV): // gone, or a driver that does not care
			wait.forget(word)
		default:
			wait.forget(word)
			errs = append(errs, fmt.Errorf("report /sys%s: %w", at, err))
		}
	}
	if wait != nil {
		errs = append(errs, wait.wait(settleTimeout))
	}
	if o.quiet {
		return nil
	}
	return errors.Join(errs...)
}

// poke writes into the uevent file of a device.
func (t *tool) poke(at, word string) error {
	file, err := os.OpenFile(filepath.Join(string(t.sys), at, "uevent"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(word)
	return errors.Join(err, file.Close())
}

// waiter waits for the announcements of events.
type waiter struct {
	listener *udev.Listener
	ids      map[string]bool // of the events that have not been announced
}

// newWaiter listens from now on.
func newWaiter() (*waiter, error) {
	listener, err := udev.Listen()
	if err != nil {
		return nil, err
	}
	return &waiter{listener, map[string]bool{}}, nil
}

// forget does not wait for the event that word asked for.
func (w *waiter) forget(word string) {
	if w != nil {
		_, id, _ := strings.Cut(word, " ")
		delete(w.ids, id)
	}
}

// wait waits until all have been announced.
func (w *waiter) wait(limit time.Duration) error {
	timer := time.AfterFunc(limit, func() { w.listener.Close() })
	defer timer.Stop()
	for len(w.ids) > 0 {
		p, err := w.listener.Receive()
		switch {
		case errors.Is(err, uevent.ErrOverflow):
			return errors.New("wait for devices: their announcements came too fast; udevadm settle waits for all")
		case err != nil:
			return errTimeout
		}
		delete(w.ids, p.Get("SYNTH_UUID"))
	}
	return nil
}
