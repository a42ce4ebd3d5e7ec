package initramfs

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
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
	"e2fsprogs",         // mke2fs, for zerodisc-state
	"console-data",      // keyboard layouts
	"kbd",               // build tool: what reads those
	"squashfs-tools",    // build tool: the images that the initrd is made of
	"zstd",              // build tool: the initrd's first stage
}

// xenBin is where Debian keeps the programs of the one Xen version it ships.
const xenBin = "/usr/lib/xen-*/bin/"

// programFiles are dom0's C programs. Wherever Debian has one, on the disc it stands beside xl, under the
// last part of its line. The pattern must match one file; only its directory may have wildcards.
var programFiles = []string{
	xenBin + "xenstored",         // the store: every domain's configuration and state
	xenBin + "xenconsoled",       // moves guests' console output
	xenBin + "xen-init-dom0",     // tells the store about dom0
	xenBin + "libxl-save-helper", // started by xl for save, restore and migration
	consoleProgram,
	xlProgram,
	xenBin + "xentop", // "xl top"
	xenBin + "xenpm",  // power management, the one way to see CPU frequencies under Xen
	xenBin + "xenstore-control",
	"/usr/bin/xenstore", // see xenstoreNames
	"/usr/sbin/mke2fs",  // started by zerodisc-state
}

// xlProgram says where all of them go: where init's PATH leads and libxl looks for its helpers.
const xlProgram = xenBin + "xl"

// consoleProgram is what xl starts for "xl console". In its place stands init, which has it run as boot.DebianConsole.
const consoleProgram = xenBin + "xenconsole"

// xenstoreNames are those that xenstore-utils' one program, xenstore, is called by: xenstore-NAME.
var xenstoreNames = []string{"chmod", "exists", "list", "ls", "read", "rm", "watch", "write"}

// dlopened are libraries that no program links against but that are opened at run time.
var dlopened = []string{
	// glibc opens it for pthread_cancel; without it xl aborts.
	"/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
}

// terminals that xentop may run on: the screen, the serial line and what a person sits at behind it.
var terminals = []string{"l/linux", "v/vt102", "v/vt100", "x/xterm", "x/xterm-256color"}

// xlConf is xl.conf(5): dom0 gives memory to guests only as init decides, and a script waits for
// no lock that a dead xl left behind on a RAM disk.
const xlConf = `# Settings of xl for the whole host, xl.conf(5).
autoballoon="off"
vif.default.bridge="xenbr0"
vif.default.script="vif-bridge"
lockfile="/run/lock/xl"
`

// modprobeConf is modprobe.d(5). By itself the kernel waits a second before it asks a USB disk anything, for bridges
// that start slowly. They are waited for all the same: the SCSI layer asks three times, and lets a disk spin up.
// The bonding driver makes a bond by itself, which nobody has asked for.
const modprobeConf = "options usb-storage delay_use=300ms\noptions bonding max_bonds=0\n"

// xenFiles gathers what is mounted at boot.Dom0Mount, but for the modules: everything in dom0 that
// comes from Debian's packages, and which packages that is.
type xenFiles struct {
	archive  *Archive
	tree     *payload.Tree
	packages map[string]payload.Package
}

// libPath turns a path of dom0 below boot.Dom0Mount into the name in the image that is mounted there.
// No other path can be in that image.
func libPath(name string) (string, error) {
	inside, ok := strings.CutPrefix(path.Clean(name), boot.Dom0Mount+"/")
	if !ok {
		return "", fmt.Errorf("%s is not below %s, where dom0's files are mounted", name, boot.Dom0Mount)
	}
	return inside, nil
}

func (x *xenFiles) addAll() error {
	programs, err := x.addPrograms()
	if err != nil {
		return err
	}
	for _, name := range terminals {
		// Where ncurses looks too, as /lib/terminfo.
		if err := x.add("terminfo/"+name, "/usr/share/terminfo/"+name, 0o644); err != nil {
			return err
		}
	}
	return x.addLibraries(append(programs, dlopened...))
}

// addPrograms adds programFiles and returns their paths in the tree.
func (x *xenFiles) addPrograms() (paths []string, err error) {
	xl, err := one(x.tree, xlProgram)
	if err != nil {
		return nil, err
	}
	for _, pattern := range programFiles {
		e, err := one(x.tree, pattern)
		if err != nil {
			return nil, err
		}
		name, err := programName(xl.Path, pattern)
		if err != nil {
			return nil, err
		}
		if pattern == consoleProgram {
			x.archive.Link(name, boot.InitProgram)
			name = path.Join(path.Dir(name), boot.DebianConsole)
		}
		if err := x.add(name, e.Path, 0o755); err != nil {
			return nil, err
		}
		paths = append(paths, e.Path)
	}
	for _, command := range xenstoreNames {
		name, err := programName(xl.Path, "xenstore-"+command)
		if err != nil {
			return nil, err
		}
		x.archive.Link(name, "xenstore")
	}
	return paths, nil
}

// programName is the name in the image of the program that is called as the last part of pattern: in
// the directory of xl, whose path in the tree is given.
func programName(xl, pattern string) (string, error) {
	return libPath(path.Join(path.Dir(xl), path.Base(pattern)))
}

// add adds the payload's file from as name.
func (x *xenFiles) add(name, from string, perm fs.FileMode) error {
	e, err := x.tree.Lookup(from)
	if err != nil {
		return err
	}
	return x.addEntry(name, e, perm)
}

func (x *xenFiles) addEntry(name string, e payload.Entry, perm fs.FileMode) error {
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
	for _, name := range dlopened {
		libraries = append(libraries, elfdeps.Library{Link: name, Path: name})
	}
	for _, l := range libraries {
		if err := x.addLibrary(l.Path); err != nil {
			return err
		}
		if l.Link == l.Path {
			continue
		}
		link, err := libPath(l.Link)
		if err != nil {
			return err
		}
		x.archive.Link(link, l.Path)
	}
	if i := closure.Interpreter; i != nil {
		// /lib64 leads to /usr/lib in dom0.
		x.archive.Link(path.Base(i.Link), i.Path)
		return x.addLibrary(i.Path)
	}
	return nil
}

// addLibrary adds a library where programs look for it: at its own path.
func (x *xenFiles) addLibrary(from string) error {
	name, err := libPath(from)
	if err != nil {
		return err
	}
	return x.add(name, from, 0o755)
}

// one returns the one file that matches pattern.
func one(tree *payload.Tree, pattern string) (payload.Entry, error) {
	found, err := tree.Glob(pattern)
	if err != nil {
		return payload.Entry{}, err
	}
	if len(found) != 1 {
		return payload.Entry{}, fmt.Errorf("%s: %d files of the packages match, want one: "+
			"does package initramfs still name the right ones?", pattern, len(found))
	}
	return tree.Lookup(found[0].Path)
}
