package hotplug

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// dom0 is where libxl's relative XENBUS_PATH begins: xenstored takes relative paths of its
// socket's clients from there, and being explicit also works over the kernel's device.
const dom0 = "/local/domain/0"

// action is what libxl asks for; "online" and "offline" of a vif are attach and detach too.
type action int

const (
	attach action = iota
	detach
)

// actions are the first arguments that libxl passes (libxl_linux.c: libxl__hotplug_nic and
// libxl__hotplug_disk).
var actions = map[string]action{"online": attach, "add": attach, "offline": detach, "remove": detach}

// request is one call by libxl.
type request struct {
	action  action
	backend string // absolute path of the device's backend directory in xenstore
	domid   int    // of the guest
	tap     bool   // the emulated half of an HVM guest's NIC
	device  string // network interface; empty for a disk
}

// parseRequest reads arguments and environment: "online type_if=vif" with vif in the environment,
// "add type_if=tap" with INTERFACE, "add" or "remove" for a disk; XENBUS_PATH always.
func parseRequest(script string, args []string, getenv func(string) string) (request, error) {
	var r request
	if len(args) == 0 {
		return r, fmt.Errorf("%s: no action given; want online, offline, add or remove", script)
	}
	var ok bool
	if r.action, ok = actions[args[0]]; !ok {
		return r, fmt.Errorf("%s: unknown action %q; want online, offline, add or remove", script, args[0])
	}
	for _, arg := range args[1:] {
		switch arg {
		case "type_if=vif":
		case "type_if=tap":
			r.tap = true
		default:
			return r, fmt.Errorf("%s: unknown argument %q", script, arg)
		}
	}
	if script == vifScript {
		variable := "vif"
		if r.tap {
			variable = "INTERFACE"
		}
		if r.device = getenv(variable); r.device == "" {
			return r, fmt.Errorf("%s: %s is not set; this program is called by xl", script, variable)
		}
	}
	return r, r.locate(script, getenv("XENBUS_PATH"))
}

// locate fills in the backend directory, ".../backend/TYPE/DOMID/DEVID".
func (r *request) locate(script, backend string) error {
	if backend == "" {
		return fmt.Errorf("%s: XENBUS_PATH is not set; this program is called by xl", script)
	}
	if !strings.HasPrefix(backend, "/") {
		backend = path.Join(dom0, backend)
	}
	domid, err := strconv.Atoi(path.Base(path.Dir(backend)))
	if err != nil {
		return fmt.Errorf("%s: XENBUS_PATH %q is not .../TYPE/DOMID/DEVICE", script, backend)
	}
	r.backend, r.domid = backend, domid
	return nil
}
