package guests

import (
	"fmt"
	"slices"
	"strings"
)

// disk is one element of disk as far as this package needs it (xl-disk-configuration(5)).
type disk struct {
	spec        string // as written
	start, end  int    // spec[start:end] is the target
	byName      bool   // written as target=, which takes the rest of the element
	hasTarget   bool
	prefix      string // the first deprecated prefix, "phy" for phy:
	hasFormat   bool
	format      string // "" is raw
	hasVdev     bool
	vdev        string
	hasAccess   bool   // by position
	access      string // "" is rw
	backendType string
	indirect    bool // a script or another domain makes sense of the target
	cdrom       bool
}

// diskFault is what is wrong with a disk, for the caller to put a position to.
type diskFault struct{ problem, remedy string }

func (f *diskFault) Error() string { return f.problem }

func faultf(remedy, format string, args ...any) error {
	return &diskFault{fmt.Sprintf(format, args...), remedy}
}

// diskForm is the remedy that fits most mistakes.
const diskForm = "write TARGET,FORMAT,VDEV,ACCESS, for example disk.img,raw,xvda,rw"

// diskFlags are the words that are no positional parameter.
var diskFlags = []string{
	"cdrom", "direct-io-safe", "discard", "no-discard", "colo", "no-colo", "trusted", "untrusted",
}

// diskKeys are the KEY=VALUE parameters; those with nil mean nothing here.
var diskKeys = map[string]func(d *disk, value string){
	"format":        (*disk).setFormat,
	"vdev":          func(d *disk, value string) { d.hasVdev, d.vdev = true, value },
	"access":        func(d *disk, value string) { d.access = value },
	"devtype":       func(d *disk, value string) { d.cdrom = value == "cdrom" },
	"backend":       func(d *disk, _ string) { d.indirect = true },
	"backendtype":   func(d *disk, value string) { d.backendType = value },
	"script":        func(d *disk, _ string) { d.indirect = true },
	"specification": nil,
	"grant_usage":   nil,
	"colo-host":     nil,
	"colo-port":     nil,
	"colo-export":   nil,
	"active-disk":   nil,
	"hidden-disk":   nil,
}

// diskPrefixes are the deprecated prefixes and what each stands for.
var diskPrefixes = map[string]func(d *disk){
	"raw": func(d *disk) { d.setFormat("raw") }, "qcow": func(d *disk) { d.setFormat("qcow") },
	"qcow2": func(d *disk) { d.setFormat("qcow2") }, "vhd": func(d *disk) { d.setFormat("vhd") },
	"iscsi": (*disk).setIndirect, "nbd": (*disk).setIndirect,
	"enbd": (*disk).setIndirect, "drbd": (*disk).setIndirect,
	"tapdisk": nil, "tap": nil, "tap2": nil, "aio": nil, "ioemu": nil, "file": nil, "phy": nil,
}

func (d *disk) setFormat(format string) { d.hasFormat, d.format = true, format }
func (d *disk) setIndirect()            { d.indirect = true }

// parseDisk reads one element of disk. An error is a *diskFault.
func parseDisk(spec string) (*disk, error) {
	d := &disk{spec: spec}
	for at := 0; ; {
		at += span(spec[at:], isSpace)
		rest := spec[at:]
		if rest == "" {
			return d, d.check()
		}
		if strings.HasPrefix(rest, "target=") {
			if d.hasTarget && d.start < d.end {
				return nil, faultf("name it once", "the disk has two targets")
			}
			d.hasTarget, d.byName = true, true
			d.start, d.end = at+len("target="), len(strings.TrimSuffix(spec, ","))
			return d, d.check()
		}
		length, err := d.prefixed(rest)
		if err != nil {
			return nil, err
		}
		if length == 0 {
			word, _, _ := strings.Cut(rest, ",")
			if err := d.word(word, at); err != nil {
				return nil, err
			}
			length = min(len(word)+1, len(rest))
		}
		at += length
	}
}

// prefixed handles a deprecated prefix at the start of rest and returns its length, 0 for none.
func (d *disk) prefixed(rest string) (int, error) {
	length := span(rest, func(c byte) bool { return isLower(c) || isDigit(c) })
	if length == 0 || !isLower(rest[0]) || !strings.HasPrefix(rest[length:], ":") {
		return 0, nil
	}
	prefix, after := rest[:length], rest[length+1:]
	apply, known := diskPrefixes[prefix]
	if !known {
		if after != "" && (isLower(after[0]) || isDigit(after[0])) {
			return 0, nil // a colon inside a word, as in hdc:cdrom
		}
		return 0, faultf(diskForm, "%q is not a disk prefix that xl knows", prefix+":")
	}
	if apply != nil {
		apply(d)
	}
	if d.prefix == "" {
		d.prefix = prefix
	}
	return length + 1, nil
}

// word handles a flag, a KEY=VALUE or a positional parameter that starts at offset at.
func (d *disk) word(word string, at int) error {
	if slices.Contains(diskFlags, word) {
		d.cdrom = d.cdrom || word == "cdrom"
		return nil
	}
	key, value, isPair := strings.Cut(word, "=")
	if !isPair {
		return d.positional(word, at)
	}
	set, known := diskKeys[key]
	if !known {
		return faultf("put a path that holds = or , last and write target=PATH",
			"%q is not a disk parameter that xl knows", key)
	}
	if set != nil {
		set(d, value)
	}
	return nil
}

// positional gives word to the first of target, format, vdev and access that has no value yet.
func (d *disk) positional(word string, at int) error {
	colon := strings.LastIndexByte(word, ':')
	switch {
	case !d.hasTarget:
		d.hasTarget, d.start, d.end = true, at, at+len(word)
	case d.prefix == "" && !d.hasFormat && d.start == d.end && colon >= 0:
		// ,hdc:cdrom,r is xend's way to write an empty drive.
		d.setFormat("empty")
		return d.setVdev(word, colon)
	case d.prefix == "" && !d.hasFormat:
		d.setFormat(word)
	case !d.hasVdev:
		return d.setVdev(word, colon)
	case !d.hasAccess:
		d.hasAccess, d.access = true, word
	default:
		return faultf(diskForm, "the disk has too many parameters: %q", word)
	}
	return nil
}

// setVdev sets the device name from word. Up to its colon, unless that is -1, word is the name,
// and what follows is the type of disk, a deprecated form.
func (d *disk) setVdev(word string, colon int) error {
	d.hasVdev, d.vdev = true, word
	if colon < 0 {
		return nil
	}
	d.vdev = word[:colon]
	switch devtype := word[colon+1:]; devtype {
	case "disk":
	case "cdrom":
		d.cdrom = true
	default:
		return faultf(diskForm, "%q is not a type of disk", devtype)
	}
	return nil
}

// check refuses what xl would refuse for lack of a parameter or for an unknown value.
func (d *disk) check() error {
	formats := []string{"", "raw", "qcow", "qcow2", "vhd", "qed", "empty"}
	accesses := []string{"", "r", "ro", "rw", "w"}
	switch {
	case !slices.Contains(formats, d.format):
		return faultf(diskForm, "%q is not a disk format", d.format)
	case !slices.Contains(accesses, d.access):
		return faultf(diskForm, "%q is not a way to access a disk", d.access)
	case d.vdev == "":
		return faultf(diskForm, "the disk has no device name for the guest (vdev)")
	case d.target() == "" && !d.cdrom:
		return faultf(diskForm, "the disk has no target")
	}
	return nil
}

// needsDeviceModel says why the disk cannot be served by dom0's kernel alone, "" when it can.
func (d *disk) needsDeviceModel() string {
	switch d.format {
	case "", "raw", "empty":
	default:
		return "the disk format " + d.format
	}
	if d.backendType != "" && d.backendType != "phy" {
		return "the disk backend " + d.backendType
	}
	return ""
}

func (d *disk) target() string { return d.spec[d.start:d.end] }

// isPath says whether the target is a path in dom0.
func (d *disk) isPath() bool { return !d.indirect && d.target() != "" }

// withTarget returns the element with another target, everything else as it was written.
func (d *disk) withTarget(path string) string {
	if strings.HasSuffix(path, ",") {
		path += "," // xl takes one comma off the end of target=
	}
	switch {
	case d.byName:
		return d.spec[:d.start] + path
	case strings.ContainsAny(path, ",="):
		// A positional target cannot hold these. It is left empty and given by name.
		return d.spec[:d.start] + strings.TrimSuffix(d.spec[d.end:], ",") + ",target=" + path
	default:
		return d.spec[:d.start] + path + d.spec[d.end:]
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// disks makes the targets absolute and refuses what dom0 cannot serve.
func (r *resolver) disks() error {
	list, err := r.config().List("disk")
	if err != nil {
		return err
	}
	for i := range list {
		if err := r.disk(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) disk(value *Value) error {
	d, err := parseDisk(value.Text)
	if err != nil {
		fault := err.(*diskFault)
		return r.config().errorf(value.Pos, fault.remedy, "disk %q: %s", value.Text, fault.problem)
	}
	if what := d.needsDeviceModel(); what != "" && r.machine.DeviceModel == "" {
		return r.config().errorf(value.Pos,
			"convert the image once with qemu-img convert -O raw OLD NEW.img and write NEW.img,raw,VDEV",
			"%s needs a device model (QEMU), which is not on this disc", what)
	}
	if !d.isPath() {
		return nil
	}
	target := d.target()
	if d.prefix == "phy" && !isAbsolute(target) {
		target = "/dev/" + target // what Xen's block script makes of phy:vg/volume
	}
	path, err := r.absolute("disk "+d.vdev, value.Pos, target)
	if err != nil {
		return err
	}
	value.Text, value.Kind = d.withTarget(path), String
	return nil
}
