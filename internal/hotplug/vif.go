package hotplug

import (
	"context"
	"fmt"
	"path"
	"strconv"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// Links is what vif does to network interfaces besides enslaving them.
type Links interface {
	Wait(ctx context.Context, name string) error // until the interface exists
	Rename(name, to string) error
	MTU(name string) (int, error)
	SetMTU(name string, mtu int) error
}

// minMTU and maxMTU are IPv4's least and netback's most (drivers/net/xen-netback/interface.c).
const minMTU, maxMTU = 68, 65535 - 18

// Rules are the packet filter's; vifrules.Rules are them.
type Rules interface {
	Plug(vifrules.Vif) error  // before the interface is a port
	Joined(name string) error // when it is one, and not up yet
	Unplug(name string) error // when it is none any more
}

// vif makes a guest's interface a port of the bridge that the backend directory names, once its rules are in force.
// When it goes, the backend driver removes the interface, and the bridge with it the port.
func vif(ctx context.Context, store Store, system System, r request) error {
	if r.action == detach {
		return unplug(ctx, store, system.Rules, r)
	}
	// netback switches to InitWait, which is what libxl waited for, just before it creates the
	// interface.
	if err := system.Links.Wait(ctx, r.device); err != nil {
		return err
	}
	name, err := rename(ctx, store, system.Links, r)
	if err != nil {
		return err
	}
	bridge, err := readOr(ctx, store, r.backend+"/bridge", boot.DefaultBridge)
	if err != nil {
		return err
	}
	if err := plug(ctx, store, system.Rules, r, bridge, name); err != nil {
		return err
	}
	joined := func() error { return system.Rules.Joined(name) }
	if err := system.AttachPort(bridge, name, joined); err != nil {
		return err // names interface, bridge and remedy
	}
	// After AttachPort, which gives the port the bridge's MTU.
	if err := setMTU(ctx, store, system.Links, r, bridge, name); err != nil {
		return err
	}
	if r.tap {
		return nil // the vif of the same NIC completes the hotplug
	}
	return write(ctx, store, r.backend, []node{connected})
}

// plug puts the interface's rules in force. Everything they are made of was written by libxl, where the guest cannot
// write (libxl_create.c, libxl_nic.c).
func plug(ctx context.Context, store Store, rules Rules, r request, bridge, name string) error {
	domain := fmt.Sprintf("/local/domain/%d", r.domid)
	v := vifrules.Vif{Name: name, Bridge: bridge, Domid: r.domid}
	var vm string
	for _, key := range []struct {
		path string
		to   *string
	}{{r.backend + "/mac", &v.MAC}, {domain + "/name", &v.Guest}, {domain + "/vm", &vm}} {
		var err error
		if *key.to, err = store.Read(ctx, key.path); err != nil {
			return fmt.Errorf("rules of %s: %w", name, err)
		}
	}
	v.UUID = path.Base(vm)
	return rules.Plug(v)
}

// unplug ends the interface's rules. Its name is the one that rename gave it.
func unplug(ctx context.Context, store Store, rules Rules, r request) error {
	name, err := readOr(ctx, store, r.backend+"/vifname", r.device)
	if err != nil {
		return err
	}
	if r.tap && name != r.device {
		name += "-emu"
	}
	return rules.Unplug(name)
}

// rename gives the interface the name asked for in the guest's configuration (vifname=), if any,
// and returns the name it has now.
func rename(ctx context.Context, store Store, links Links, r request) (string, error) {
	name, err := readOr(ctx, store, r.backend+"/vifname", "")
	if err != nil || name == "" {
		return r.device, err
	}
	if r.tap {
		name += "-emu"
	}
	if name == r.device {
		return name, nil
	}
	if err := links.Rename(r.device, name); err != nil {
		return "", fmt.Errorf(
			"rename %s as vifname=%s asks (is the name taken, or longer than 15 characters?): %w",
			r.device, name, err)
	}
	return name, nil
}

// setMTU sets the MTU of the guest's configuration (mtu=), else that of the bridge. The guest's
// driver reads it from the frontend directory.
func setMTU(ctx context.Context, store Store, links Links, r request, bridge, name string) error {
	mtu, err := wantedMTU(ctx, store, links, r, bridge)
	if err != nil {
		return err
	}
	if err := links.SetMTU(name, mtu); err != nil {
		return fmt.Errorf("set MTU %d of %s: %w", mtu, name, err)
	}
	if r.tap {
		return nil
	}
	frontend, err := store.Read(ctx, r.backend+"/frontend")
	if err != nil {
		return err
	}
	return store.Write(ctx, frontend+"/mtu", strconv.Itoa(mtu))
}

func wantedMTU(ctx context.Context, store Store, links Links, r request, bridge string) (int, error) {
	text, err := readOr(ctx, store, r.backend+"/mtu", "")
	if err != nil {
		return 0, err
	}
	if text == "" {
		mtu, err := links.MTU(bridge)
		if err != nil {
			return 0, fmt.Errorf("MTU of bridge %s: %w", bridge, err)
		}
		return mtu, nil
	}
	mtu, err := strconv.Atoi(text)
	if err != nil || mtu < minMTU || mtu > maxMTU {
		return 0, fmt.Errorf("mtu=%.20q in the guest's vif: want a number from %d to %d", text, minMTU, maxMTU)
	}
	return mtu, nil
}
