// Package xen is dom0's side of Xen: what its daemons need before they start, the daemons'
// command lines, the host's memory and abilities, and the domains, which xl creates and ends.
package xen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// directory is one that Xen's programs expect.
type directory struct {
	path string
	mode fs.FileMode
}

// directories were found in the strings and sources of Debian's Xen 4.20 (m4/paths.m4 names the
// macros). xenstored and libxl make single directories below these, but no parents. /var/run must
// be a link to /run, which is the initramfs's business.
var directories = []directory{
	{"/run/xen", 0o700},              // XEN_RUN_DIR: libxl's history of domids with its lock, QMP sockets
	{"/run/xenstored", 0o755},        // XEN_RUN_STORED: xenstored's socket
	{"/var/lib/xen", 0o755},          // XEN_LIB_DIR: libxl's userdata-*, each domain's configuration
	{"/var/lib/xen/dump", 0o700},     // XEN_DUMP_DIR: on_crash = "coredump-..."
	{"/var/lib/xen/xenstore", 0o755}, // XENSTORE_LIB_DIR
	{"/var/log/xen", 0o755},          // XEN_LOG_DIR: xl-NAME.log of the xl that watches each domain
	{"/var/log/xen/console", 0o755},  // xenconsoled, if it is ever told to log
	{"/var/log/xen/guests", 0o755},   // named in xl
	{"/run/lock", 0o1777},            // where /var/lock points on Debian
	{"/var/lock", 0o1777},            // XEN_LOCK_DIR: xl's lock while it creates a domain
}

// nodes are the files that must exist before xenstored starts, with the module that provides each.
var nodes = []struct{ path, module string }{
	{"/dev/xen/evtchn", "xen-evtchn"},
	{"/dev/xen/gntdev", "xen-gntdev"},
	{"/dev/xen/privcmd", "xen-privcmd"},
	{"/proc/xen/xsd_kva", "xenfs"},
	{"/proc/xen/xsd_port", "xenfs"},
}

const (
	xenfs        = "/proc/xen"
	capabilities = xenfs + "/capabilities"
)

// ErrNotDom0 reports that this machine does not run as Xen's control domain.
var ErrNotDom0 = errors.New("not Xen's control domain (boot the disc's Xen entry, not the kernel alone)")

// Setup mounts xenfs, checks that this is dom0 with the device nodes of Xen's drivers, and makes the
// directories that Xen's programs expect. It may be called again.
func Setup() error {
	if err := mountXenfs(); err != nil {
		return err
	}
	text, err := os.ReadFile(capabilities)
	if err != nil {
		return fmt.Errorf("read Xen capabilities: %w", err)
	}
	if err := checkControl(string(text)); err != nil {
		return err
	}
	if err := checkNodes("/"); err != nil {
		return err
	}
	return makeDirectories("/")
}

func mountXenfs() error {
	if _, err := os.Stat(capabilities); err == nil {
		return nil
	}
	if _, err := os.Stat(xenfs); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist: %w", xenfs, ErrNotDom0) // the kernel makes it under Xen
	}
	err := unix.Mount("xenfs", xenfs, "xenfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("mount xenfs: the module xenfs could not be loaded: %w", err)
	}
	if err != nil {
		return fmt.Errorf("mount xenfs: %w", err)
	}
	return nil
}

// checkControl looks for "control_d" in the text of /proc/xen/capabilities.
func checkControl(text string) error {
	for _, word := range strings.Fields(text) {
		if word == "control_d" {
			return nil
		}
	}
	return fmt.Errorf("%s says %q: %w", capabilities, strings.TrimSpace(text), ErrNotDom0)
}

// checkNodes names every missing node of Xen's drivers at once.
func checkNodes(root string) error {
	var missing []error
	for _, node := range nodes {
		if _, err := os.Stat(filepath.Join(root, node.path)); err != nil {
			missing = append(missing, fmt.Errorf("%w (is the module %s loaded?)", err, node.module))
		}
	}
	return errors.Join(missing...)
}

func makeDirectories(root string) error {
	for _, dir := range directories {
		path := filepath.Join(root, dir.path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("make Xen's directories: %w", err)
		}
		if err := os.Chmod(path, chmodMode(dir.mode)); err != nil {
			return fmt.Errorf("make Xen's directories: %w", err)
		}
	}
	return nil
}

// chmodMode turns the sticky bit of the table's Unix modes into Go's.
func chmodMode(mode fs.FileMode) fs.FileMode {
	if mode&0o1000 != 0 {
		return mode.Perm() | fs.ModeSticky
	}
	return mode
}
