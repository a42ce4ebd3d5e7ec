package initramfs

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/zerodisc/zerodisc/internal/elfdeps"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// Packages are the Debian packages whose files dom0 is made of.
var Packages = []string{
	"linux-image-amd64", // the kernel and its modules
	"xen-system-amd64",  // the hypervisor, its daemons and xl
	"xenstore-utils",    // xenstore-ls and its kin
	"libgcc-s1",         // see dlopened
	"ncurses-base",      // terminal descriptions for xentop
	"squashfs-tools",    // build tool: the image of kernel modules
	"zstd",              // build tool: the initrd's compression
}

// xenBin is where Debian keeps the programs of the one Xen version it ships.
const xenBin = "/usr/lib/xen-*/bin/"

// programs are dom0's C programs: Xen's own, and nothing else. The pattern must match one file.
var programs = []struct{ pattern, link string }{
	{xenBin + "xenstored", ""},         // the store: every domain's configuration and state
	{xenBin + "xenconsoled", ""},       // moves guests' console output
	{xenBin + "xen-init-dom0", ""},     // tells the store about dom0
	{xenBin + "libxl-save-helper", ""}, // started by xl for save, restore and migration
	{xenBin + "xenconsole", ""},        // started by xl for "xl console"
	{xenBin + "xl", "/usr/sbin/xl"},
	{xenBin + "xentop", "/usr/sbin/xentop"}, // "xl top"
	{xenBin + "xenpm", "/usr/sbin/xenpm"},   // power management, the one way to see CPU frequencies under Xen
	{xenBin + "xenstore-control", "/usr/sbin/xenstore-control"},
	{"/usr/bin/xenstore", ""}, // one program under the names below
}

// xenstoreNames are the names of xenstore-utils' one program.
var xenstoreNames = []string{"chmod", "exists", "list", "ls", "read", "rm", "watch", "write"}

// dlopened are libraries that no program links against but that are opened at run time.
var dlopened = []string{
	// glibc opens it for pthread_cancel; without it xl aborts.
	"/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
}

// data are files that programs read.
var data = []string{
	// Terminals that xentop may run on: the screen and the serial line.
	"/usr/share/terminfo/l/linux", "/usr/share/terminfo/v/vt102", "/usr/share/terminfo/v/vt100",
	"/usr/share/terminfo/x/xterm", "/usr/share/terminfo/x/xterm-256color",
}

// xlConf is xl.conf(5): dom0 gives memory to guests only as init decides, and a script waits for
// no lock that a dead xl left behind on a RAM disk.
const xlConf = `# Settings of xl for the whole host, xl.conf(5).
autoballoon="off"
vif.default.bridge="xenbr0"
vif.default.script="vif-bridge"
lockfile="/run/lock/xl"
`

// xenFiles gathers everything in dom0 that comes from Debian's packages, but for kernel and
// modules, and which packages that is.
type xenFiles struct {
	archive  *Archive
	tree     *payload.Tree
	packages map[string]payload.Package
}

func (x *xenFiles) addAll() error {
	paths := slices.Clone(dlopened)
	for _, p := range programs {
		e, err := one(x.tree, p.pattern)
		if err != nil {
			return err
		}
		if err := x.add(e.Path, e.Path, 0o755); err != nil {
			return err
		}
		if p.link != "" {
			x.archive.Link(p.link, e.Path)
		}
		paths = append(paths, e.Path)
	}
	for _, name := range xenstoreNames {
		x.archive.Link("/usr/bin/xenstore-"+name, "xenstore")
	}
	for _, name := range data {
		if err := x.add(name, name, 0o644); err != nil {
			return err
		}
	}
	x.archive.Text("/etc/xen/xl.conf", xlConf, 0o644)
	return x.addLibraries(paths)
}

// add adds the payload's file from as name.
func (x *xenFiles) add(name, from string, perm fs.FileMode) error {
	e, err := x.tree.Lookup(from)
	if err != nil {
		return err
	}
	x.packages[e.Package.Name] = *e.Package
	return x.archive.File(name, e.Host, perm)
}

// addLibraries adds what the programs at paths are linked against, and what is opened at run time.
func (x *xenFiles) addLibraries(paths []string) error {
	closure, err := elfdeps.Closure(x.tree, paths...)
	if err != nil {
		return err
	}
	libraries := closure.Libraries
	if closure.Interpreter != nil {
		libraries = append(libraries, *closure.Interpreter)
	}
	for _, name := range dlopened {
		libraries = append(libraries, elfdeps.Library{Link: name, Path: name})
	}
	for _, l := range libraries {
		if err := x.add(l.Path, l.Path, 0o755); err != nil {
			return err
		}
		if l.Link != l.Path {
			x.archive.Link(l.Link, l.Path)
		}
	}
	return nil
}

// one returns the one file that matches pattern.
func one(tree *payload.Tree, pattern string) (payload.Entry, error) {
	found, err := tree.Glob(pattern)
	if err != nil {
		return payload.Entry{}, err
	}
	if len(found) != 1 {
		return payload.Entry{}, fmt.Errorf("%s: %d files of the packages match, want one: does package initramfs still name the right ones?", pattern, len(found))
	}
	return tree.Lookup(found[0].Path)
}
