package guests

import (
	"fmt"
	"slices"
	"strings"
)

// missing lists devices for which libxl takes the configuration and then starts a program in dom0, or waits
// for one, that is not on the disc. Where another domain serves the device (backend=) that is not asked of dom0.
var missing = []struct {
	setting string
	program string
	remedy  string
}{
	{"vfb", "a device model (QEMU)", "remove vfb; xl console reaches the guest's console"},
	{"channel", "a device model (QEMU)", "remove channel; xl console reaches the guest's console"},
	{"vkb", "a device model (QEMU)", "remove vkb"},
	{"usbctrl", "a device model (QEMU)", "remove usbctrl"},
	{"usbdev", "a device model (QEMU)", "remove usbdev"},
	{"p9", "a device model (QEMU) or xen-9pfsd", "remove p9; give the guest a disk"},
	{"vdispl", "a display backend (displ_be)", "remove vdispl"},
	{"vsnd", "a sound backend (snd_be)", "remove vsnd"},
	{"virtio", "a virtio backend", "remove virtio"},
}

// missingDevices refuses devices that nothing in dom0 serves.
func (r *resolver) missingDevices() error {
	for _, device := range missing {
		setting := r.config().Lookup(device.setting)
		if setting == nil || r.machine.DeviceModel != "" && strings.Contains(device.program, "QEMU") {
			continue
		}
		for _, element := range setting.Value.List {
			if !servedElsewhere(element) {
				return r.config().errorf(element.Pos, device.remedy,
					"%s needs %s, which is not on this disc", device.setting, device.program)
			}
		}
	}
	if err := r.framebuffer(); err != nil {
		return err
	}
	return r.pvshim()
}

// servedElsewhere says whether a device is given a domain that serves it. A list is one device, as in vsnd.
func servedElsewhere(device Value) bool {
	if device.Kind == List {
		return slices.ContainsFunc(device.List, servedElsewhere)
	}
	return slices.ContainsFunc(strings.Split(device.Text, ","), func(word string) bool {
		domain, ok := strings.CutPrefix(strings.TrimSpace(word), "backend=")
		return ok && !slices.Contains([]string{"", "0", "Domain-0"}, strings.TrimSpace(domain))
	})
}

// framebuffer refuses vnc=1 where it would come to nothing: xl gives a PV guest a framebuffer, which QEMU
// serves, and a PVH guest none.
func (r *resolver) framebuffer() error {
	if r.domain.Type == HVM || !isOn(r.config(), "vnc") {
		return nil
	}
	at := r.config().Lookup("vnc").Value.Pos
	switch {
	case r.domain.Type == PVH:
		return r.config().errorf(at, `remove vnc, or write type = "pv"`,
			"PVH guests have no framebuffer, which vnc is for")
	case r.machine.DeviceModel == "":
		return r.config().errorf(at, "remove vnc; xl console reaches the guest's console",
			"vnc needs a device model (QEMU), which is not on this disc")
	}
	return nil
}

// pvshim refuses to run a PV guest in a Xen of its own where there is none. The disc has no xen-shim.
func (r *resolver) pvshim() error {
	if r.domain.Type != PVH || !isOn(r.config(), "pvshim") || r.config().Lookup("pvshim_path") != nil {
		return nil
	}
	return r.config().errorf(r.config().Lookup("pvshim").Value.Pos,
		fmt.Sprintf("write type = %q in place of it, or name a file with pvshim_path", PV),
		"pvshim needs xen-shim, which is not on this disc")
}

// isOn says whether a setting is a number other than 0, which is how xl reads a boolean.
func isOn(c *Config, name string) bool {
	value, ok, err := c.Text(name)
	if err != nil || !ok {
		return false
	}
	n, err := parseInt(value.Text)
	return err == nil && n != 0
}
