package udevadm

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/zerodisc/zerodisc/internal/printable"
)

const infoUsage = `usage: udevadm info [OPTIONS] [DEVPATH|FILE]...
Shows what is known of devices. DEVPATH is a path in /sys, FILE one in /dev.
  -q, --query=TYPE       name, symlink, path, property or all (the default)
      --property=NAMES   with -q property: only these, separated by commas
      --value            with -q property: only the values
  -p, --path=DEVPATH     a device by its path in sysfs
  -n, --name=NAME        a device by its node or a link to it
  -r, --root             paths of nodes and links with /dev/
  -a, --attribute-walk   all attributes of a device and of those above it
  -x, --export           properties as KEY='VALUE'
  -P, --export-prefix=P  the same, with P before each key
  -e, --export-db        all that is known of all devices
`

// infoOptions are the options of info.
type infoOptions struct {
	query, only, prefix        string
	devices                    []string // paths in /dev and /sys
	root, walk, export, values bool
	database                   bool
}

func (o *infoOptions) options() []option {
	below := func(dir string) func(string) error {
		return func(v string) error {
			if !strings.HasPrefix(v, dir) {
				v = dir + strings.TrimPrefix(v, "/")
			}
			o.devices = append(o.devices, v)
			return nil
		}
	}
	return []option{
		choice('q', "query", &o.query, "name", "symlink", "path", "property", "env", "all"),
		text(0, "property", &o.only), flag(0, "value", &o.values),
		{'p', "path", below("/sys/"), false}, {'n', "name", below("/dev/"), false},
		flag('r', "root", &o.root), flag('a', "attribute-walk", &o.walk), flag('x', "export", &o.export),
		text('P', "export-prefix", &o.prefix), flag('e', "export-db", &o.database),
		flag(0, "no-pager", new(bool)),
	}
}

// info is the command.
func (t *tool) info(args []string) error {
	o := infoOptions{query: "all"}
	rest, err := parse(args, o.options())
	o.devices = append(o.devices, rest...)
	o.export = o.export || o.prefix != ""
	switch {
	case err != nil:
		return err
	case o.database:
		return t.exportDatabase()
	case len(o.devices) == 0:
		return fmt.Errorf("a device name or path is required: %w", errUsage)
	case o.walk && len(o.devices) > 1:
		return fmt.Errorf("only one device may be given with -a: %w", errUsage)
	case o.export && o.values:
		return fmt.Errorf("-x and --value exclude each other: %w", errUsage)
	}
	var errs []error
	for _, name := range o.devices {
		errs = append(errs, t.show(name, o))
	}
	return errors.Join(errs...)
}

// show shows one device.
func (t *tool) show(name string, o infoOptions) error {
	at, err := t.resolve(name)
	if err != nil {
		return err
	}
	if o.walk {
		return t.walk(at)
	}
	d, err := t.load(at)
	if err != nil {
		return err
	}
	switch o.query {
	case "name":
		if d.node() == "" {
			return fmt.Errorf("%s has no device node", d.path)
		}
		t.line(o.shorten(d.node()))
	case "symlink":
		links := d.links()
		for i := range links {
			links[i] = o.shorten(links[i])
		}
		t.line(strings.Join(links, " "))
	case "path":
		t.line(d.path)
	case "property", "env":
		t.showProperties(d, o)
	default:
		t.record(d)
	}
	return nil
}

// line prints a line. What comes from devices must not move a terminal's cursor.
func (t *tool) line(text string) { fmt.Fprintln(t.stdout, printable.Line(text)) }

func (o infoOptions) shorten(file string) string {
	if o.root {
		return file
	}
	return strings.TrimPrefix(file, "/dev/")
}

func (t *tool) showProperties(d device, o infoOptions) {
	only := strings.Split(o.only, ",")
	for _, pair := range d.properties() {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case o.only != "" && !slices.Contains(only, key):
		case o.export:
			t.line(o.prefix + key + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'")
		case o.values:
			t.line(value)
		default:
			t.line(pair)
		}
	}
}

// record prints all of a device, a letter for each kind of fact.
func (t *tool) record(d device) {
	p := d.properties()
	priority := ""
	if d.node() != "" {
		priority = "0"
		if d.entry != nil {
			priority = fmt.Sprint(d.entry.Priority)
		}
	}
	number := p.Get("MAJOR") + ":" + p.Get("MINOR")
	switch {
	case number == ":":
		number = ""
	case d.subsystem == "block":
		number = "b " + number
	default:
		number = "c " + number
	}
	for _, fact := range [][2]string{
		{"P", d.path}, {"M", d.name()}, {"R", d.number()}, {"U", d.subsystem}, {"T", p.Get("DEVTYPE")}, {"D", number},
		{"I", p.Get("IFINDEX")}, {"N", strings.TrimPrefix(d.node(), "/dev/")}, {"L", priority},
	} {
		t.fact(fact[0], fact[1])
	}
	for _, link := range d.links() {
		t.fact("S", strings.TrimPrefix(link, "/dev/"))
	}
	t.fact("Q", p.Get("DISKSEQ"))
	t.fact("V", d.driver)
	for _, pair := range p {
		t.fact("E", pair)
	}
	t.line("")
}

func (t *tool) fact(letter, text string) {
	if text != "" {
		t.line(letter + ": " + text)
	}
}

// exportDatabase prints all devices.
func (t *tool) exportDatabase() error {
	paths, err := t.all()
	if err != nil {
		return err
	}
	for _, at := range paths {
		if d, err := t.load(at); err == nil { // it may have gone
			t.record(d)
		}
	}
	return nil
}

const walkHead = `
Udevadm info starts with the device specified by the devpath and then
walks up the chain of parent devices. It prints for every device
found, all possible attributes in the udev rules key format.
A rule to match, can be composed by the attributes of the device
and the attributes from one single parent device.

`

// walk prints the attributes of a device and of all above it.
func (t *tool) walk(at string) error {
	d, err := t.load(at)
	if err != nil {
		return err
	}
	fmt.Fprint(t.stdout, walkHead)
	t.attributes(d, "", "")
	for at = path.Dir(at); at != "/" && at != "/devices"; at = path.Dir(at) {
		if d, err := t.load(at); err == nil { // else a directory that is no device
			t.attributes(d, "parent ", "S")
		}
	}
	return nil
}

// attributes prints one device of a walk. Parent and plural tell those above from the first.
func (t *tool) attributes(d device, parent, plural string) {
	t.line("  looking at " + parent + "device '" + d.path + "':")
	t.line("    KERNEL" + plural + `=="` + d.name() + `"`)
	t.line("    SUBSYSTEM" + plural + `=="` + d.subsystem + `"`)
	t.line("    DRIVER" + plural + `=="` + d.driver + `"`)
	values := map[string]string{}
	t.collect(d.path, "", values)
	for _, attr := range slices.Sorted(maps.Keys(values)) {
		t.line("    ATTR" + plural + "{" + attr + `}=="` + values[attr] + `"`)
	}
	t.line("")
}

// notShown are attributes that are shown elsewhere, or are no text.
var notShown = []string{"uevent", "dev", "modalias", "resource", "driver", "subsystem", "module"}

// collect gathers a device's attributes, also those in directories that are no devices themselves.
func (t *tool) collect(at, dir string, values map[string]string) {
	const maxDepth = 4
	name := path.Join(strings.TrimPrefix(at, "/"), dir)
	entries, err := t.sys.ReadDir(name)
	if err != nil || strings.Count(dir, "/") >= maxDepth {
		return
	}
	if dir != "" {
		if _, err := t.sys.Lstat(path.Join(name, "uevent")); err == nil {
			return
		}
	}
	for _, e := range entries {
		attr := path.Join(dir, e.Name())
		info, err := e.Info()
		switch {
		case e.IsDir():
			t.collect(at, attr, values)
		case err != nil, !info.Mode().IsRegular(), slices.Contains(notShown, attr):
		case info.Mode()&0o444 == 0:
			values[attr] = "(not readable)"
		default:
			if value, ok := t.attribute(path.Join(name, e.Name())); ok {
				values[attr] = value
			}
		}
	}
}

// attribute reads an attribute that is a line of text.
func (t *tool) attribute(name string) (string, bool) {
	data, err := t.sys.ReadFile(name)
	value := strings.TrimRight(string(data), "\n")
	if err != nil || strings.HasPrefix(value, "/") {
		return "", false
	}
	odd := func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }
	return value, !strings.ContainsFunc(value, odd)
}
