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

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/udev"
)

// device is a device as sysfs and the database have it.
type device struct {
	path      string // in sysfs: /devices/...
	subsystem string
	driver    string
	kernel    udev.Properties // of the uevent file
	entry     *udev.Entry     // nil: the device manager has none
}

// load reads a device by its path in sysfs, any link resolved.
func (t *tool) load(devpath string) (device, error) {
	name := strings.TrimPrefix(devpath, "/")
	d := device{path: devpath, subsystem: subsystemOf(name)}
	text, err := t.sys.ReadFile(path.Join(name, "uevent"))
	if err != nil && d.subsystem == "" {
		return device{}, fmt.Errorf("%s is no device: %w", devpath, errors.Unwrap(err))
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			d.kernel.Set(key, value)
		}
	}
	if link, err := t.sys.ReadLink(path.Join(name, "subsystem")); err == nil {
		d.subsystem = path.Base(link)
	}
	if link, err := t.sys.ReadLink(path.Join(name, "driver")); err == nil {
		d.driver = path.Base(link)
	}
	if text, err := os.ReadFile(filepath.Join(t.run, "data", d.id())); err == nil {
		entry := udev.ParseEntry(string(text))
		d.entry = &entry
	}
	return d, nil
}

// subsystemOf is the subsystem that udev gives to what is no device itself.
func subsystemOf(name string) string {
	switch parts := strings.Split(name, "/"); {
	case parts[0] == "module":
		return "module"
	case parts[0] == "bus" && len(parts) == 4:
		return "drivers"
	case parts[0] == "bus":
		return "subsystem"
	}
	return ""
}

// id is the name of the device's entry in the database.
func (d device) id() string {
	return udev.DeviceID(d.path, d.subsystem, d.kernel.Get)
}

// name is the device's own, in which the kernel writes "!" for "/".
func (d device) name() string { return strings.ReplaceAll(path.Base(d.path), "!", "/") }

// number is the number at the end of the name, "" where there is none, or nothing else.
func (d device) number() string {
	name := d.name()
	rest := strings.TrimRight(name, "0123456789")
	if rest == "" {
		return ""
	}
	return name[len(rest):]
}

// node is the path of the device's node, "" for none.
func (d device) node() string {
	if name := d.kernel.Get("DEVNAME"); name != "" {
		return "/dev/" + name
	}
	return ""
}

// links are the paths of the links to it, sorted.
func (d device) links() []string {
	if d.entry == nil {
		return nil
	}
	links := make([]string, len(d.entry.Links))
	for i, link := range d.entry.Links {
		links[i] = "/dev/" + link
	}
	slices.Sort(links)
	return links
}

// properties are all properties, the kernel's and the device manager's.
func (d device) properties() udev.Properties {
	p := udev.Properties{"DEVPATH=" + d.path}
	for _, pair := range d.kernel {
		key, value, _ := strings.Cut(pair, "=")
		p.Set(key, value)
	}
	p.Set("DEVNAME", d.node())
	p.Set("SUBSYSTEM", d.subsystem)
	if d.entry == nil {
		return p
	}
	p.Set("USEC_INITIALIZED", fmt.Sprint(d.entry.Initialized))
	for _, pair := range d.entry.Properties {
		key, value, _ := strings.Cut(pair, "=")
		p.Set(key, value)
	}
	p.Set("DEVLINKS", strings.Join(d.links(), " "))
	return p
}

// resolve finds the path in sysfs of what a person calls a device: a path in /sys or /dev.
func (t *tool) resolve(name string) (string, error) {
	switch {
	case strings.HasPrefix(name, "/dev/"):
		return t.byNode(filepath.Join(t.dev, strings.TrimPrefix(name, "/dev/")), name)
	case strings.HasPrefix(name, "/sys/"):
		return t.byPath(strings.TrimPrefix(name, "/sys/"))
	}
	return "", fmt.Errorf("%q is no device: give a path that begins with /dev/ or /sys/", name)
}

// byNode finds the device of a node, by its number. Links to the node are followed.
func (t *tool) byNode(file, name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", fmt.Errorf("device %s: %w", name, err)
	}
	kind := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		kind = "block"
	case unix.S_IFCHR:
		kind = "char"
	default:
		return "", fmt.Errorf("%s is no device node", name)
	}
	return t.byPath(fmt.Sprintf("dev/%s/%d:%d", kind, unix.Major(st.Rdev), unix.Minor(st.Rdev)))
}

// byPath resolves the links in a path below /sys.
func (t *tool) byPath(name string) (string, error) {
	root, err := filepath.EvalSymlinks(string(t.sys))
	if err != nil {
		return "", err
	}
	full, err := filepath.EvalSymlinks(filepath.Join(root, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no device /sys/%s", name)
	case err != nil:
		return "", err
	}
	inside, ok := strings.CutPrefix(full, root+"/")
	if !ok {
		return "", fmt.Errorf("/sys/%s is no device", name)
	}
	return "/" + inside, nil
}

// all lists the paths of all devices on buses and in classes, sorted, so that parents come before their children.
func (t *tool) all() ([]string, error) {
	found := map[string]bool{}
	collect := func(dir string) {
		entries, _ := t.sys.ReadDir(dir)
		for _, e := range entries {
			target, err := t.sys.ReadLink(path.Join(dir, e.Name()))
			if err == nil {
				found[path.Join("/", dir, target)] = true
			}
		}
	}
	buses, err := t.sys.ReadDir("bus")
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, bus := range buses {
		collect(path.Join("bus", bus.Name(), "devices"))
	}
	classes, err := t.sys.ReadDir("class")
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, class := range classes {
		collect(path.Join("class", class.Name()))
	}
	paths := make([]string, 0, len(found))
	for p := range found {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths, nil
}

// subsystems lists buses, drivers and modules, most of which have uevent files as well.
func (t *tool) subsystems() []string {
	var paths []string
	for _, pattern := range []string{"bus/*", "bus/*/drivers/*", "module/*"} {
		matches, _ := fs.Glob(t.sys, pattern)
		for _, m := range matches {
			paths = append(paths, "/"+m)
		}
	}
	return paths
}
