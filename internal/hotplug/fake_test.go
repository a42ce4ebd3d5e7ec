package hotplug

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/zerodisc/zerodisc/internal/vifrules"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

// host is a fake kernel that records what is done to it.
type host struct {
	media   map[string]Medium
	loops   map[string]string // device -> file
	mounts  []Mount
	family  map[Number]Relatives
	claimed map[string]bool // block devices that the kernel uses
	calls   []string
	failing string // the call that fails
}

func newHost() *host {
	return &host{
		media: map[string]Medium{
			"/dev/sda":  {Path: "/dev/sda", Block: true, Number: Number{8, 0}},
			"/dev/sda1": {Path: "/dev/sda1", Block: true, Number: Number{8, 1}},
			"/img/disk": {Path: "/img/disk", Device: 5, Inode: 77},
		},
		loops:  map[string]string{},
		family: map[Number]Relatives{{8, 0}: {Above: []Number{{8, 1}}}, {8, 1}: {Below: []Number{{8, 0}}}},
	}
}

func (h *host) call(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	h.calls = append(h.calls, call)
	if call == h.failing {
		return errors.New("no luck")
	}
	return nil
}

func (h *host) system() System {
	return System{
		Links: h, Disks: h, Rules: h,
		AttachPort: func(bridge, ifname string, joined func() error) error {
			err := h.call("port %s %s", bridge, ifname)
			if err == nil {
				err = joined()
			}
			if err == nil {
				err = h.call("up %s", ifname)
			}
			return err
		},
		Lock: func(context.Context) (func(), error) { return func() {}, nil },
	}
}

func (h *host) Wait(_ context.Context, name string) error { return h.call("wait %s", name) }
func (h *host) Rename(name, to string) error              { return h.call("rename %s %s", name, to) }
func (h *host) MTU(name string) (int, error)              { return 1500, h.call("mtu %s", name) }
func (h *host) SetMTU(name string, mtu int) error         { return h.call("set mtu %s %d", name, mtu) }

func (h *host) Plug(v vifrules.Vif) error {
	return h.call("rules %s %s %s %s %s %d", v.Name, v.Bridge, v.MAC, v.UUID, v.Guest, v.Domid)
}
func (h *host) Joined(name string) error { return h.call("joined %s", name) }
func (h *host) Unplug(name string) error { return h.call("unplug %s", name) }

func (h *host) Identify(path string) (Medium, error) {
	m, ok := h.media[path]
	if !ok {
		return m, errors.New("disk: no such file " + path)
	}
	return m, nil
}

func (h *host) Loops() ([]Loop, error) {
	var loops []Loop
	for device, path := range h.loops {
		loops = append(loops, Loop{h.media[device].Number, h.media[path]})
	}
	return loops, nil
}

func (h *host) Relatives(n Number) (Relatives, error) { return h.family[n], nil }
func (h *host) Mounts() ([]Mount, error)              { return h.mounts, nil }
func (h *host) Claimed(device Medium) (bool, error)   { return h.claimed[device.Path], nil }

// loop backs the loop device with that minor number by a path.
func (h *host) loop(minor uint32, path string) {
	device := fmt.Sprintf("/dev/loop%d", minor)
	h.loops[device] = path
	h.media[device] = Medium{Path: device, Block: true, Number: Number{7, minor}}
}

func (h *host) Attach(path string, readOnly bool) (string, error) {
	minor := uint32(10)
	for h.loops[fmt.Sprintf("/dev/loop%d", minor)] != "" {
		minor++
	}
	h.loop(minor, path)
	return fmt.Sprintf("/dev/loop%d", minor), h.call("attach %s readonly=%v", path, readOnly)
}

func (h *host) Detach(device string) error {
	delete(h.loops, device)
	return h.call("detach %s", device)
}

// run calls an applet the way libxl does.
func run(t *testing.T, server *xenstoretest.Server, h *host, script, backend string, args ...string) error {
	t.Helper()
	env := map[string]string{"XENBUS_PATH": backend, "vif": "vif1.0", "INTERFACE": "vif1.0-emu"}
	return Run(t.Context(), server.Client(t), h.system(), script, args, func(key string) string { return env[key] })
}

// value reads a key of the fake store, "-" where it is missing.
func value(server *xenstoretest.Server, key string) string {
	value, ok := server.Get(key)
	if !ok {
		return "-"
	}
	return value
}
