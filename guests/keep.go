package guests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// Kept is a guest as it can be started from another directory.
type Kept struct {
	Config []byte     // of the configuration, NAME.cfg
	Files  []KeptFile // to be copied as they are
}

// KeptFile is a file of a guest's.
type KeptFile struct {
	From string // absolute
	To   string // below the directory
}

// ImageName is the name that Keep gives to the raw image of a disk.
func ImageName(vdev string) string { return vdev + ".img" }

// stays are the directories of what is the host's own, or is kept already. A guest goes on using that by its path.
var stays = []string{"/dev/", "/usr/", "/lib/", "/etc/", "/boot/", boot.StateMount + "/"}

// keeper carries the state of one Keep.
type keeper struct {
	guest *Guest
	kept  Kept
}

// Keep makes the guest independent of where it is: the files that its configuration names are copied, and the disks
// whose vdevs are in images become raw images with the name ImageName. dom0's kernel, and devices, stay what they are.
// Settings that it does not know stay, comments do not. An error is an *Error.
func (g *Guest) Keep(images []string) (*Kept, error) {
	k := &keeper{guest: g}
	config := g.Config.clone()
	config.set("name", g.Name)
	for _, name := range pathSettings {
		value, ok, err := config.Text(name)
		if err != nil {
			return nil, asError(err, g.Name, g.File)
		}
		if ok && (name != "kernel" || value.Text != kernelOfDom0) {
			config.set(name, k.file(value.Text))
		}
	}
	list, err := config.List("disk")
	if err != nil {
		return nil, asError(err, g.Name, g.File)
	}
	for i := range list {
		d, err := parseDisk(list[i].Text)
		if err != nil {
			return nil, asError(config.faultAt(list[i].Pos, "", err), g.Name, g.File)
		}
		if slices.Contains(images, d.vdev) {
			d.target, d.format = ImageName(d.vdev), "raw"
		} else if d.isPath() && d.prefix != "phy" {
			d.target = k.file(d.target)
		} else if d.isPath() && !isAbsolute(d.target) {
			d.target = "/dev/" + d.target
		}
		list[i] = Value{Kind: String, Text: d.String(), Pos: list[i].Pos}
	}
	note := fmt.Sprintf("# What guest disk save made of %q.\n", g.File)
	k.kept.Config = append([]byte(note), config.Render()...)
	return &k.kept, nil
}

// file notes a file to be copied and returns its path in the configuration.
func (k *keeper) file(path string) string {
	if own, ok := strings.CutPrefix(path, k.guest.Dir+"/"); ok {
		path = own
	}
	if slices.ContainsFunc(stays, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
		return path
	}
	from, to := path, filepath.Base(path)
	if !isAbsolute(path) {
		from = filepath.Join(k.guest.Dir, path)
		if filepath.IsLocal(path) {
			to = filepath.Clean(path)
		}
	}
	for n := 2; ; n++ {
		at := slices.IndexFunc(k.kept.Files, func(f KeptFile) bool { return f.To == to })
		if at < 0 {
			k.kept.Files = append(k.kept.Files, KeptFile{From: from, To: to})
			return inConfig(to)
		}
		if k.kept.Files[at].From == from {
			return inConfig(to)
		}
		to = fmt.Sprintf("%d-%s", n, filepath.Base(path))
	}
}

// inConfig keeps a file called "dom0" from being taken for dom0's kernel.
func inConfig(name string) string {
	if name == kernelOfDom0 {
		return "./" + name
	}
	return name
}
