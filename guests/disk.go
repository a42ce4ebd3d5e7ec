package guests

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Disk is a disk that dom0 serves.
type Disk struct {
	Vdev     string // the guest's name for it: "xvda"
	Target   string // absolute path of an image or block device in dom0
	Format   string // "raw", "qcow2", "vhd" or "vmdk"
	Writable bool
	Pos      Pos // where the configuration says so
}

// disk is one element of disk (xl-disk-configuration(5)). Empty strings are parameters that are not given.
type disk struct {
	target        string
	format        string // "" is raw
	vdev          string
	access        string // "" is rw
	devtype       string // "cdrom" or "disk"
	script        string // program that makes a block device of the target, "" for Xen's own, block
	backend       string // domain that serves the disk, "" for dom0
	backendType   string
	specification string
	flags         []string // as written: they say how the disk is served, and nothing here
	prefix        string   // the first deprecated prefix, "phy" for phy:
	given         map[string]bool
}

// fault is what is wrong with a value, for the caller to put a position to.
type fault struct{ problem, remedy string }

func (f *fault) Error() string { return f.problem }

func faultf(remedy, format string, args ...any) error {
	return &fault{fmt.Sprintf(format, args...), remedy}
}

// diskForm is the remedy that fits most mistakes.
const diskForm = "write TARGET,FORMAT,VDEV,ACCESS, for example disk.img,raw,xvda,rw"

// diskFlags are the words without a value that mean nothing here.
var diskFlags = []string{
	"direct-io-safe", "discard", "no-discard", "no-colo", "trusted", "untrusted", "grant_usage=0", "grant_usage=1",
}

// diskValues are the values of those parameters that have a fixed choice of them. The format vmdk is ours: xl, which
// has QEMU read images, does not know it.
var diskValues = map[string][]string{
	"format":        {"", "raw", "qcow", "qcow2", "vhd", "vmdk", "qed", "empty"},
	"access":        {"", "r", "ro", "rw", "w"},
	"devtype":       {"disk", "cdrom"},
	"backendtype":   {"phy", "tap", "qdisk", "standalone"},
	"specification": {"xen", "virtio"},
	"grant_usage":   {"0", "1"},
}

// coloKeys are parameters of COLO, which replicates a guest on a second host.
var coloKeys = []string{"colo-host", "colo-port", "colo-export", "active-disk", "hidden-disk"}

// field returns where the parameter called key is kept, nil where there is no such parameter.
func (d *disk) field(key string) *string {
	switch key {
	case "target":
		return &d.target
	case "format":
		return &d.format
	case "vdev":
		return &d.vdev
	case "access":
		return &d.access
	case "devtype":
		return &d.devtype
	case "script":
		return &d.script
	case "backend":
		return &d.backend
	case "backendtype":
		return &d.backendType
	case "specification":
		return &d.specification
	}
	return nil
}

// Of most parameters a second one is a mistake. Of these the last one counts, or they may be repeated.
var (
	overwritable = []string{"access", "devtype"}
	repeatable   = []string{"format", "backendtype", "specification"}
)

// set gives the parameter called key a value.
func (d *disk) set(key, value string) error {
	if allowed, ok := diskValues[key]; ok && !slices.Contains(allowed, value) {
		return faultf("write "+strings.TrimPrefix(strings.Join(allowed, ", "), ", "),
			"%q is not a value of %s", value, key)
	}
	if key == "format" && value == "" {
		value = "raw"
	}
	at := d.field(key)
	same := *at == value && slices.Contains(repeatable, key)
	if *at != "" && !same && !slices.Contains(overwritable, key) {
		return faultf("give it once", "%s is given twice: %q and %q", key, *at, value)
	}
	*at, d.given[key] = value, true
	return nil
}

// diskPrefixes are the deprecated prefixes, each with the parameter that it sets, if any.
var diskPrefixes = map[string]struct{ key, value string }{
	"raw": {"format", "raw"}, "qcow": {"format", "qcow"}, "qcow2": {"format", "qcow2"}, "vhd": {"format", "vhd"},
	"iscsi": {"script", "block-iscsi"}, "nbd": {"script", "block-nbd"},
	"enbd": {"script", "block-enbd"}, "drbd": {"script", "block-drbd"},
	"tapdisk": {}, "tap": {}, "tap2": {}, "aio": {}, "ioemu": {}, "file": {}, "phy": {},
}

// parseDisk reads one element of disk. An error is a *fault.
func parseDisk(spec string) (*disk, error) {
	if strings.ContainsFunc(spec, isControl) {
		return nil, faultf("remove it", "there is a line break or another control character in it")
	}
	d := &disk{given: map[string]bool{}}
	for rest := spec; ; {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return d, d.check()
		}
		if target, ok := strings.CutPrefix(rest, "target="); ok {
			if err := d.set("target", strings.TrimSuffix(target, ",")); err != nil {
				return nil, err
			}
			return d, d.check()
		}
		length, err := d.prefixed(rest)
		if err != nil {
			return nil, err
		}
		if length == 0 {
			word, _, _ := strings.Cut(rest, ",")
			if err := d.word(word); err != nil {
				return nil, err
			}
			length = min(len(word)+1, len(rest))
		}
		rest = rest[length:]
	}
}

// isControl finds what xl's scanner and the scripts in dom0 could take for an end. Tabs separate parameters.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// prefixed handles a deprecated prefix at the start of rest and returns its length, 0 for none.
func (d *disk) prefixed(rest string) (int, error) {
	length := span(rest, func(c byte) bool { return isLower(c) || isDigit(c) })
	if length == 0 || !isLower(rest[0]) || !strings.HasPrefix(rest[length:], ":") {
		return 0, nil
	}
	prefix, after := rest[:length], rest[length+1:]
	sets, known := diskPrefixes[prefix]
	if !known {
		if after != "" && (isLower(after[0]) || isDigit(after[0])) {
			return 0, nil // a colon inside a word, as in hdc:cdrom
		}
		return 0, faultf(diskForm, "%q is not a disk prefix that xl knows", prefix+":")
	}
	if d.prefix == "" {
		d.prefix = prefix
	}
	if sets.key != "" {
		if err := d.set(sets.key, sets.value); err != nil {
			return 0, err
		}
	}
	return length + 1, nil
}

// word handles a flag, a KEY=VALUE or a positional parameter.
func (d *disk) word(word string) error {
	key, value, isPair := strings.Cut(word, "=")
	switch {
	case slices.Contains(diskFlags, word):
		d.flags = append(d.flags, word)
		return nil
	case word == "cdrom":
		return d.set("devtype", word)
	case word == "colo", isPair && slices.Contains(coloKeys, key):
		return faultf("remove its parameters",
			"COLO, which replicates a guest on a second host, is not on this disc: %s", key)
	case !isPair:
		return d.positional(word)
	case d.field(key) == nil && diskValues[key] == nil:
		return faultf("put a path that holds = or , last and write target=PATH",
			"%q is not a disk parameter that xl knows", key)
	case d.field(key) == nil:
		return faultf("write "+key+"="+strings.Join(diskValues[key], " or "), "%q is not a value of %s", value, key)
	}
	return d.set(key, value)
}

// positional gives word to the first of target, format, vdev and access that has no value yet.
func (d *disk) positional(word string) error {
	switch {
	case !d.given["target"]:
		return d.set("target", word)
	case d.prefix == "" && !d.given["format"] && d.target == "" && strings.Contains(word, ":"):
		// ,hdc:cdrom,r is xend's way to write an empty drive.
		d.format, d.given["format"] = "empty", true
		return d.setVdev(word)
	case d.prefix == "" && !d.given["format"]:
		return d.set("format", word)
	case !d.given["vdev"]:
		return d.setVdev(word)
	case !d.given["position 4"]:
		d.given["position 4"] = true
		return d.set("access", word)
	}
	return faultf(diskForm, "the disk has too many parameters: %q", word)
}

// setVdev sets the device name from word. Before its last colon, if there is one, is the name, and behind it
// the type of disk, a deprecated form.
func (d *disk) setVdev(word string) error {
	colon := strings.LastIndexByte(word, ':')
	if colon < 0 {
		return d.set("vdev", word)
	}
	if err := d.set("vdev", word[:colon]); err != nil {
		return err
	}
	return d.set("devtype", word[colon+1:])
}

// check refuses what xl, or libxl at the guest's creation, would refuse.
func (d *disk) check() error {
	_, named := vdevNumber(d.vdev)
	switch {
	case d.vdev == "":
		return faultf(diskForm, "the disk has no device name for the guest (vdev)")
	case !named:
		return faultf("write xvda, xvdb and so on, with a number for a partition: xvda1",
			"%q is not a device name that Xen knows (vdev)", d.vdev)
	case d.target == "" && !d.isCDROM():
		return faultf(diskForm, "the disk has no target")
	case d.format == "empty" && !d.isCDROM():
		return faultf("add cdrom, or write raw", "the format is empty, but the disk is no CD drive")
	case d.format == "empty" && d.target != "":
		return faultf("write raw", "the format is empty, but there is a target")
	}
	return nil
}

func (d *disk) isCDROM() bool { return d.devtype == "cdrom" }

// isWritable says whether the guest may write to the disk. It cannot write to a CD, whatever access says.
func (d *disk) isWritable() bool {
	return !d.isCDROM() && (d.access == "" || d.access == "w" || d.access == "rw")
}

// served are the formats of which dom0 makes block devices.
var served = []string{"", "raw", "qcow2", "vhd", "vmdk", "empty"}

// needsDeviceModel says why dom0 cannot serve the disk without a device model, "" when it can. Whether a
// file asks for xl's backend phy, qdisk or tap makes no difference: dom0 serves what they do.
func (d *disk) needsDeviceModel() string {
	switch {
	case !slices.Contains(served, d.format):
		return "the disk format " + d.format
	case d.backendType == "standalone":
		return "the disk backend " + d.backendType
	case d.specification == "virtio":
		return "a virtio disk"
	}
	return ""
}

// isPath says whether the target is a path in dom0, and not the business of a script or another domain.
func (d *disk) isPath() bool { return d.script == "" && d.backend == "" && d.target != "" }

// String writes the disk in the one form that this package hands to xl: every parameter with its name, the
// target last, since it may hold anything. Whatever was written to get there, xl cannot read it otherwise.
func (d *disk) String() string {
	words := []string{"vdev=" + d.vdev}
	add := func(key, value string) {
		if value != "" {
			words = append(words, key+"="+value)
		}
	}
	add("format", d.format)
	add("access", d.access)
	add("devtype", d.devtype)
	add("backend", d.backend)
	add("backendtype", d.backendType)
	add("specification", d.specification)
	add("script", d.script)
	words = append(words, d.flags...)
	target := d.target
	if strings.HasSuffix(target, ",") {
		target += "," // xl takes one comma off the end
	}
	if d.given["target"] {
		words = append(words, "target="+target) // empty, too: a drive without a CD
	}
	return strings.Join(words, ",")
}

// vdevKinds are the names of block devices that Xen knows, xen-vbd-interface(7): letters number the disks, digits
// behind them the partitions.
var vdevKinds = []struct {
	prefix            string
	disks, partitions int
	number            func(disk, partition int) int
}{
	{"xvd", 1 << 20, 256, xvdNumber},
	{"hd", 4, 64, func(disk, partition int) int { return []int{3, 3, 22, 22}[disk]<<8 | disk&1<<6 | partition }},
	{"sd", 16, 16, func(disk, partition int) int { return 8<<8 | disk<<4 | partition }},
}

func xvdNumber(disk, partition int) int {
	if disk < 16 && partition < 16 {
		return 202<<8 | disk<<4 | partition
	}
	return 1<<28 | disk<<8 | partition
}

// vdevNumber returns the number by which Xen knows a device name: xvda1, hda1, sda1, d0p1 or a number itself.
func vdevNumber(name string) (number int, ok bool) {
	var disk, partition int
	if n, err := fmt.Sscanf(name, "d%dp%d", &disk, &partition); n == 2 && err == nil &&
		name == fmt.Sprintf("d%dp%d", disk, partition) && disk < 1<<20 && partition < 256 {
		return xvdNumber(disk, partition), true
	}
	if n, err := parseInt(name); err == nil && n >= 0 && n <= 1<<31-1 {
		return int(n), true
	}
	for _, kind := range vdevKinds {
		letters, ok := strings.CutPrefix(name, kind.prefix)
		if !ok {
			continue
		}
		digits := strings.TrimLeft(letters, "abcdefghijklmnopqrstuvwxyz")
		disk := diskIndex(letters[:len(letters)-len(digits)])
		partition, ok := partitionIndex(digits)
		if ok && disk >= 0 && disk < kind.disks && partition < kind.partitions {
			return kind.number(disk, partition), true
		}
	}
	return 0, false
}

// diskIndex counts a, b ... z, aa, ab and so on from 0; -1 for no letters, or for more than any disk has.
func diskIndex(letters string) int {
	if len(letters) > 5 {
		return -1
	}
	index := -1
	for _, c := range letters {
		index = (index+1)*26 + int(c-'a')
	}
	return index
}

// partitionIndex reads a partition's number, 0 for the whole disk.
func partitionIndex(digits string) (int, bool) {
	if digits == "" {
		return 0, true
	}
	n, err := parseInt(digits)
	return int(n), err == nil && digits[0] >= '1' && digits[0] <= '9' && n < 1<<20
}

// disks makes the targets absolute and refuses what dom0 cannot serve.
func (r *resolver) disks() error {
	list, err := r.config().List("disk")
	if err != nil {
		return err
	}
	taken := map[int]string{}
	for i := range list {
		value := &list[i]
		d, err := parseDisk(value.Text)
		if err != nil {
			return r.config().faultAt(value.Pos, fmt.Sprintf("disk %q: ", value.Text), err)
		}
		number, _ := vdevNumber(d.vdev)
		if other, ok := taken[number]; ok {
			return r.config().errorf(value.Pos, "give each disk a device name of its own",
				"disk %q: %s is the device name of another disk, %q", value.Text, d.vdev, other)
		}
		taken[number] = value.Text
		if err := r.disk(d, value.Pos); err != nil {
			return err
		}
		*value = Value{Kind: String, Text: d.String(), Pos: value.Pos}
	}
	return nil
}

func (r *resolver) disk(d *disk, pos Pos) error {
	if what := d.needsDeviceModel(); what != "" && r.machine.DeviceModel == "" {
		return r.config().errorf(pos,
			"convert the image once with qemu-img convert -O qcow2 OLD NEW.qcow2 and write NEW.qcow2,qcow2,VDEV",
			"%s needs a device model (QEMU), which is not on this disc", what)
	}
	script, err := r.script("disk "+d.vdev, "block", d.script, pos)
	if err != nil {
		return err
	}
	d.script = script
	if d.backendType == "qdisk" || d.backendType == "tap" {
		d.backendType = ""
	}
	if err := r.trustDisk(d, pos); err != nil {
		return err
	}
	if !d.isPath() {
		return nil
	}
	if d.prefix == "phy" && !isAbsolute(d.target) {
		d.target = "/dev/" + d.target // what Xen's block script makes of phy:vg/volume
	}
	if d.target, err = r.absolute("disk "+d.vdev, pos, d.target); err != nil {
		return err
	}
	r.domain.Disks = append(r.domain.Disks, Disk{
		Vdev: d.vdev, Target: d.target, Format: cmp.Or(d.format, "raw"), Writable: d.isWritable(), Pos: pos,
	})
	return nil
}

// isInside says whether a path lies below the guest's directory.
func (r *resolver) isInside(path string) bool {
	return strings.HasPrefix(path, r.guest.Dir+string(filepath.Separator))
}

// scriptDir is where Xen looks for scripts.
const scriptDir = "/etc/xen/scripts/"

// script returns the script of a device, "" for own, the one that is on the disc and xl's default too.
func (r *resolver) script(what, own, script string, pos Pos) (string, error) {
	switch {
	case script == "", script == own, script == scriptDir+own:
		return "", nil
	case !isAbsolute(script):
		return "", r.config().errorf(pos, "remove it; the only script here is "+own,
			"%s needs the script %s, which is not on this disc", what, script)
	}
	return script, r.mustExist("the script of "+what, pos, script)
}
