package stateadm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// device is a disk, a partition or something that was made of some.
type device struct {
	name     string // "sdb1": below /dev
	disk     string // that it is a partition of; "" of what is none
	model    string // of a disk; may be empty
	number   string // "8:17"
	bytes    int64
	start    int64 // bytes; of a partition
	readOnly bool
	content  blkid.Content
	problem  error    // it cannot be read
	holders  []string // what is made of it: "dm-0", "md0"
	mounts   []mount
	parts    []device
}

func (d device) path() string { return "/dev/" + d.name }

// all are the device and its partitions.
func (d device) all() []device { return append([]device{d}, d.parts...) }

// isDisk says whether the device is a whole disk, which gets a partition table.
func (d device) isDisk() bool {
	return d.disk == "" && !strings.HasPrefix(d.name, "dm-") && !strings.HasPrefix(d.name, "md")
}

// examine finds out what a device is and holds.
func (t *tool) examine(path string) (device, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return device{}, fmt.Errorf("there is no %s; ls -l /dev/disk/by-id shows the disks", path)
	}
	if err != nil {
		return device{}, err
	}
	name, isDevice := strings.CutPrefix(real, t.dev+"/")
	if _, err := os.Stat(filepath.Join(t.sys, "class/block", name)); !isDevice || err != nil {
		return device{}, fmt.Errorf("%s is no block device; name a disk or a partition", path)
	}
	mounts, err := t.mounts()
	if err != nil {
		return device{}, err
	}
	return t.read(name, mounts)
}

// read reads what sysfs says of a device and its partitions, and what they hold.
func (t *tool) read(name string, mounts []mount) (device, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(t.sys, "class/block", name))
	if err != nil {
		return device{}, err
	}
	text := func(file string) string {
		b, _ := os.ReadFile(filepath.Join(dir, file))
		return strings.TrimSpace(string(b))
	}
	sectors := func(file string) int64 { // of 512 bytes, whatever the disk's own are
		n, err := strconv.ParseInt(text(file), 10, 54)
		if err != nil {
			return 0
		}
		return n * 512
	}
	d := device{
		name: name, number: text("dev"), bytes: sectors("size"), start: sectors("start"), readOnly: text("ro") == "1",
		model: model(text("device/vendor"), text("device/model")),
	}
	if text("partition") != "" {
		d.disk = filepath.Base(filepath.Dir(dir))
	}
	holders, _ := os.ReadDir(filepath.Join(dir, "holders"))
	for _, h := range holders {
		d.holders = append(d.holders, h.Name())
	}
	d.content, d.problem = t.identify(name)
	for _, m := range mounts {
		if m.number == d.number || m.backing == d.path() {
			d.mounts = append(d.mounts, m)
		}
	}
	parts, _ := filepath.Glob(filepath.Join(dir, "*/partition"))
	for _, p := range parts {
		part, err := t.read(filepath.Base(filepath.Dir(p)), mounts)
		if err != nil {
			return device{}, err
		}
		d.parts = append(d.parts, part)
	}
	slices.SortFunc(d.parts, func(a, b device) int { return int((a.start - b.start) >> 9) })
	return d, nil
}

// model names a disk. In place of a vendor's name PCI devices have its number.
func model(vendor, name string) string {
	if strings.HasPrefix(vendor, "0x") {
		vendor = ""
	}
	return printable.Line(strings.TrimSpace(vendor + " " + name))
}

func (t *tool) identify(name string) (blkid.Content, error) {
	f, err := os.OpenFile(filepath.Join(t.dev, name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return blkid.Content{}, err
	}
	defer f.Close()
	return blkid.IdentifyFile(f)
}

// describe says what is on a device, a line for it and one for each partition.
func (d device) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", strings.Join(slices.DeleteFunc([]string{
		d.path(), d.model, bytesize.Text(d.bytes), d.holds(),
	}, func(s string) bool { return s == "" }), "  "))
	for _, p := range d.parts {
		fmt.Fprintf(&b, "  %-14s %10s  %s\n", p.path(), bytesize.Text(p.bytes), p.holds())
	}
	return b.String()
}

// count is so many things in words.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// holds says what a device holds.
func (d device) holds() string {
	var words []string
	switch {
	case len(d.parts) > 0:
		words = append(words, count(len(d.parts), "partition"))
	case d.content.Type == "" && d.problem != nil:
		words = append(words, "cannot be read: "+d.problem.Error())
	case d.content.Type == "":
		words = append(words, "nothing that is known")
	default:
		words = append(words, d.content.Type)
	}
	if d.content.Label != "" {
		words = append(words, strconv.Quote(d.content.Label))
	}
	for _, m := range d.mounts {
		words = append(words, "at "+printable.Line(m.dir))
	}
	return strings.Join(words, " ")
}

// mount is a mounted file system.
type mount struct {
	number   string // of its device
	backing  string // where that is a loop device: the device that it is over
	dir      string
	readOnly bool
}

// mounts lists the mounted file systems.
func (t *tool) mounts() ([]mount, error) {
	text, err := os.ReadFile(filepath.Join(t.proc, "self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	mounts := parseMounts(string(text))
	for i := range mounts {
		m := &mounts[i]
		backing, err := os.ReadFile(filepath.Join(t.sys, "dev/block", m.number, "loop/backing_file"))
		if err == nil {
			m.backing = strings.TrimSuffix(string(backing), "\n")
		}
	}
	return mounts, nil
}

// parseMounts reads the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
func parseMounts(text string) []mount {
	octal := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []mount
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 5 {
			mounts = append(mounts, mount{
				number: f[2], dir: octal.Replace(f[4]), readOnly: slices.Contains(strings.Split(f[5], ","), "ro"),
			})
		}
	}
	return mounts
}

// allocated is how many bytes the files in a directory take.
func allocated(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var stat unix.Stat_t
		if err == nil && unix.Lstat(path, &stat) == nil {
			sum += stat.Blocks * 512
		}
		return nil
	})
	return sum
}
