// Package hotplug is what Xen's scripts vif-bridge and block are elsewhere: the programs that libxl
// runs when a guest's network interface or disk comes or goes.
//
// libxl (4.20: libxl_linux.c, libxl_device.c) waits until the backend driver is in state InitWait,
// runs the script named in the backend directory, waits up to 40 s for its exit status, and
// on failure reports the directory's hotplug-error. The backend driver waits for hotplug-status
// "connected". docs/misc/block-scripts.txt and xl-network-configuration(5) of the Xen sources say
// what the scripts read and write.
package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/zerodisc/zerodisc/internal/vifrules"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// The scripts by the base names that guests' configurations use.
const (
	vifScript   = "vif-bridge"
	blockScript = "block"
)

// Scripts lists the names that Main answers to.
var Scripts = []string{vifScript, blockScript}

// timeout is below the 40 s after which libxl kills the script (LIBXL_HOTPLUG_TIMEOUT), so that
// the reason still reaches xenstore.
const timeout = 30 * time.Second

// afterwards is how long cleaning up and telling of a failure may take.
const afterwards = 5 * time.Second

// Store is the part of a xenstore client used here; *xenstore.Client is one.
type Store interface {
	Read(ctx context.Context, path string) (string, error)
	Write(ctx context.Context, path, value string) error
	Rm(ctx context.Context, path string) error
	Directory(ctx context.Context, path string) ([]string, error)
}

// System is what the applets do to the kernel.
type System struct {
	Links Links
	Disks Disks
	Rules Rules
	// AttachPort makes ifname a port of bridge, calls joined and sets it up (netcfg.AttachPort).
	AttachPort func(bridge, ifname string, joined func() error) error
	// Lock serialises the sharing check with what follows it, among all applets.
	Lock func(context.Context) (unlock func(), err error)
}

// Main runs the applet for script ("vif-bridge" or "block") with the arguments and environment
// that libxl gave, and returns the exit status. attachPort is netcfg.AttachPort. An error goes to
// xenstore, from where xl prints it, or to stderr if that fails.
func Main(
	script string, args []string, getenv func(string) string,
	attachPort func(bridge, ifname string, joined func() error) error, stderr io.Writer,
) int {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	store, err := xenstore.Open(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", script, err)
		return 1
	}
	defer store.Close()
	system := System{
		Links: kernelLinks{}, Disks: kernelDisks{}, Rules: vifrules.Rules{Dir: vifrules.Dir}, AttachPort: attachPort,
		Lock: func(ctx context.Context) (func(), error) { return lockFile(ctx, lockPath) },
	}
	if err := Run(ctx, store, system, script, args, getenv); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", script, err)
		return 1
	}
	return 0
}

// Run is Main with store and system given. A failure of the device itself is written to the backend
// directory as hotplug-error and hotplug-status before it is returned.
func Run(
	ctx context.Context, store Store, system System, script string, args []string, getenv func(string) string,
) error {
	r, err := parseRequest(script, args, getenv)
	if err != nil {
		return err
	}
	switch script {
	case vifScript:
		err = vif(ctx, store, system, r)
	case blockScript:
		err = block(ctx, store, system, r)
	default:
		return fmt.Errorf("unknown hotplug script %q; want one of %q", script, Scripts)
	}
	if err != nil && r.action == attach {
		err = errors.Join(err, publish(store, r, err))
	}
	return err
}

// errBusy marks a refusal to share, which has a hotplug-status of its own.
var errBusy = errors.New("in use")

// publish writes a failure where libxl and people look for it. Nothing is written when the
// directory is gone, since writing would create it anew. It has its own deadline: the failure
// may be that the other one passed.
func publish(store Store, r request, failure error) error {
	ctx, cancel := context.WithTimeout(context.Background(), afterwards)
	defer cancel()
	if _, err := store.Read(ctx, r.backend); err != nil {
		return fmt.Errorf("report failure: %w", err)
	}
	status := "error"
	if errors.Is(failure, errBusy) {
		status = "busy"
	}
	return write(ctx, store, r.backend, []node{{"hotplug-error", failure.Error()}, {"hotplug-status", status}})
}

// node is a key below the backend directory with its value.
type node struct{ key, value string }

// write stores nodes in their order: the last one is what others wait for.
func write(ctx context.Context, store Store, backend string, nodes []node) error {
	for _, n := range nodes {
		if err := store.Write(ctx, backend+"/"+n.key, n.value); err != nil {
			return err
		}
	}
	return nil
}

// readOr reads a value that may be missing.
func readOr(ctx context.Context, store Store, path, missing string) (string, error) {
	value, err := store.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	}
	return value, err
}

// connected completes the hotplug of a device.
var connected = node{"hotplug-status", "connected"}
