package kmod

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Host is where Modprobe finds things.
type Host struct {
	Roots   []string // directories of modules; the first that has a module wins
	Cmdline string   // the kernel command line's file
	Config  []string // directories of settings, modprobe.d(5)
}

// ThisHost describes the running system. modulesDir has a directory for each kernel release; early has the
// modules that are needed before modulesDir is mounted, next to their index.
func ThisHost(modulesDir, early string) (Host, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return Host{}, fmt.Errorf("kernel release: %w", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	return Host{
		Roots:   []string{filepath.Join(modulesDir, release), early},
		Cmdline: "/proc/cmdline",
		Config:  configDirs,
	}, nil
}

// Open returns a loader for the modules below root, with the host's module parameters.
func (h Host) Open(root string) (*Loader, error) {
	index, err := OpenIndex(root)
	if err != nil {
		return nil, err
	}
	cmdline, err := os.ReadFile(h.Cmdline)
	if err != nil {
		return nil, fmt.Errorf("module parameters: %w", err)
	}
	params := ParseParams(string(cmdline))
	problems, err := h.configure(&params)
	if err != nil {
		return nil, err
	}
	loader := NewLoader(root, index, params)
	loader.Problems = problems
	return loader, nil
}

// modprobeUsage is the applet's manual.
const modprobeUsage = `usage: modprobe [-q] NAME [PARAMETER=VALUE...]
       modprobe -a [-q] NAME...
Loads the module NAME, or the modules with the alias NAME, and what they need.
`

// Modprobe is the applet /sbin/modprobe. The kernel starts it as "modprobe -q -- NAME" when it needs a
// module (fs-ext4, net-pf-10, char-major-10-200); users start it as on any system. It returns the
// exit status: 0 done, 1 failed, 2 usage.
func (h Host) Modprobe(args []string, stderr io.Writer) int {
	request, err := parseModprobe(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "modprobe:", err)
		return 2
	}
	failed := 0
	for _, name := range request.names {
		err := h.load(name, request.options)
		if err == nil {
			continue
		}
		failed = 1
		if !request.quiet || !errors.Is(err, ErrNotFound) {
			fmt.Fprintln(stderr, "modprobe:", err)
		}
	}
	return failed
}

// load asks the host's directories of modules in turn for name.
func (h Host) load(name string, options []string) error {
	err := fmt.Errorf("load module %s: %w", name, ErrNotFound)
	for _, root := range h.Roots {
		loader, openErr := h.Open(root)
		if errors.Is(openErr, os.ErrNotExist) { // not mounted yet, or not this kind of system
			continue
		}
		if openErr != nil {
			return openErr
		}
		err = loader.Load(context.Background(), name, options...)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return err
}

// modprobeRequest is a parsed command line of modprobe.
type modprobeRequest struct {
	quiet   bool
	names   []string
	options []string // of the one name
}

func parseModprobe(args []string, stderr io.Writer) (modprobeRequest, error) {
	var request modprobeRequest
	var all, remove bool
	flags := flag.NewFlagSet("modprobe", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"q", "quiet"} {
		flags.BoolVar(&request.quiet, name, false, "")
	}
	for _, name := range []string{"a", "all"} {
		flags.BoolVar(&all, name, false, "")
	}
	for _, name := range []string{"r", "remove"} {
		flags.BoolVar(&remove, name, false, "")
	}
	if err := flags.Parse(args); err != nil {
		fmt.Fprint(stderr, modprobeUsage)
		return request, err
	}
	switch names := flags.Args(); {
	case remove:
		return request, errors.New("-r: modules are never removed; reboot instead")
	case len(names) == 0:
		return request, errors.New("no module named; modprobe -h says how")
	case all:
		request.names = names
	default:
		request.names, request.options = names[:1], names[1:]
	}
	return request, nil
}
