package udev

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// access is who may use a node, where it is not root alone.
type access struct {
	pattern string // of the node's path below /dev, as path.Match reads it
	group   string // of boot.Groups; "" is root
	mode    fs.FileMode
}

// accesses are those of udev's default rules (50-udev-default.rules), the first that matches. What is not listed stays
// as devtmpfs has made it: the kernel itself makes those 0666 that are for all. Nothing on this host runs as another
// user, unless its owner makes it so.
var accesses = []access{
	{"sr[0-9]*", "cdrom", 0o660},
	{"pktcdvd*", "cdrom", 0o660},
	{"sch[0-9]*", "cdrom", 0o660},
	{"ptmx", "tty", 0o666},
	{"tty", "tty", 0o666},
	{"tty[0-9]*", "tty", 0o620},
	{"vcs*", "tty", 0o660},
	{"tty[A-Z]*[0-9]", "dialout", 0o660},
	{"mem", "kmem", 0o640},
	{"kmem", "kmem", 0o640},
	{"port", "kmem", 0o640},
	{"input/js[0-9]*", "input", 0o664},
	{"input/*", "input", 0o660},
	{"fb[0-9]*", "video", 0o660},
	{"video[0-9]*", "video", 0o660},
	{"dri/renderD*", "render", 0o660},
	{"dri/card*", "video", 0o660},
	{"snd/*", "audio", 0o660},
	{"lp[0-9]*", "lp", 0o660},
	{"usb/lp[0-9]*", "lp", 0o660},
	{"bus/usb/*/*", "", 0o664},
	{"st[0-9]*", "tape", 0o660},
	{"nst[0-9]*", "tape", 0o660},
	{"sg[0-9]*", "disk", 0o660},
	{"loop-control", "disk", 0o660},
	{"btrfs-control", "disk", 0o660},
	{"rfkill", "", 0o664},
	{"net/tun", "", 0o666},
	{"fuse", "", 0o666},
	{"vfio/vfio", "", 0o666},
	{"vsock", "", 0o666},
	{"kvm", "kvm", 0o660},
	{"vhost-net", "kvm", 0o660},
	{"vhost-vsock", "kvm", 0o660},
	{"udmabuf", "kvm", 0o660},
}

// blockAccess is that of all other block devices.
var blockAccess = access{"", "disk", 0o660}

// accessOf finds who may use a node.
func accessOf(node string, block bool) (access, bool) {
	for _, a := range accesses {
		if ok, _ := path.Match(a.pattern, node); ok {
			return a, true
		}
	}
	return blockAccess, block
}

// grant gives a node its owner and mode.
func grant(dev, node string, a access) error {
	at := filepath.Join(dev, node)
	if a.group != "" {
		if err := os.Lchown(at, 0, boot.Groups[a.group]); err != nil {
			return err
		}
	}
	return os.Chmod(at, a.mode)
}

// grantNew does that for the node of a device that has come.
func grantNew(dev string, e uevent.Event) error {
	if e.Action != "add" || e.DevName == "" || strings.Contains(e.DevName, "..") {
		return nil
	}
	a, ok := accessOf(e.DevName, e.Subsystem == "block")
	if !ok {
		return nil
	}
	err := grant(dev, e.DevName, a)
	if errors.Is(err, fs.ErrNotExist) { // gone again
		return nil
	}
	return err
}

// GrantAll gives the nodes that are there their owners and modes. Most of their devices are in classes that coldplug
// leaves out.
func GrantAll(dev string) error {
	var errs []error
	err := fs.WalkDir(os.DirFS(dev), ".", func(node string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // gone
		case d.IsDir() && (node == "pts" || node == "shm" || node == "disk" || strings.Count(node, "/") > 2):
			return fs.SkipDir
		case d.Type()&fs.ModeDevice == 0:
			return nil
		}
		if a, ok := accessOf(node, d.Type()&fs.ModeCharDevice == 0); ok {
			if err := grant(dev, node, a); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
