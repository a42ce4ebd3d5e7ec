package guests

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Type is how Xen runs a guest.
type Type string

const (
	PV  Type = "pv"  // paravirtualised: on every 64-bit PC
	PVH Type = "pvh" // hardware virtualisation without emulated devices
	HVM Type = "hvm" // hardware virtualisation with an emulated PC
)

// Machine is what Resolve has to know about the host.
type Machine struct {
	HVM         bool   // Xen has hardware virtualisation (hvm among xen_caps)
	Kernel      string // absolute path of dom0's kernel, which kernel = "dom0" stands for
	Bridge      string // for network interfaces that name none; boot.DefaultBridge when empty
	DeviceModel string // path of QEMU for Xen, empty when the disc has none
	Seed        string // same at every boot of this machine, another on every other machine
	// Elsewhere says that this is not the machine but where a disc is made for it: absolute paths of a
	// configuration are not looked for, and what lies outside of the guest's directory is left behind.
	Elsewhere bool
}

// Resolved is a guest made ready for one machine.
type Resolved struct {
	*Guest
	Type     Type
	UUID     string   // as written in the configuration or made here; it stays the same over boots of one machine
	MACs     []string // one for each element of vif, as written in the configuration or made here
	Memory   Memory
	Disks    []Disk   // in their order; without those that another domain or a script serves, and empty drives
	Complete *Config  // what xl create gets, once WithDevices has said where image formats are
	Files    []string // in the guest's own directory: what the configuration names there
}

// Bytes is the file to hand to xl create.
func (d *Resolved) Bytes() []byte {
	note := fmt.Sprintf("# What zerodisc made of %q: change that file, not this one.\n", d.File)
	return append([]byte(note), d.Complete.Render()...)
}

// Resolve completes the guest's configuration for a machine and refuses what cannot run there.
// Settings it does not know stay as they are, in their order. An error is an *Error.
func (g *Guest) Resolve(machine Machine) (*Resolved, error) {
	r := &resolver{
		guest:   g,
		machine: machine,
		domain:  &Resolved{Guest: g, Complete: g.Config.clone()},
	}
	steps := []func() error{
		r.trust, r.override, r.name, r.uuid, r.paths, r.chooseType, r.values, r.bootSource, r.disks, r.vifs,
		r.missingDevices, r.memory,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, asError(err, g.Name, g.File)
		}
	}
	return r.domain, nil
}

// resolver carries the state of one Resolve through its steps.
type resolver struct {
	guest   *Guest
	machine Machine
	domain  *Resolved
}

func (r *resolver) config() *Config { return r.domain.Complete }

// name adds the directory's name where the file has none.
func (r *resolver) name() error {
	r.config().set("name", r.guest.Name)
	return nil
}

// uuid gives the guest an identity where the file has none. It is known before xl makes the domain, so that
// even a domain that is half made can be told from others.
func (r *resolver) uuid() error {
	value, ok, err := r.config().Text("uuid")
	if err != nil {
		return err
	}
	r.domain.UUID = strings.ToLower(value.Text)
	if !ok {
		r.domain.UUID = UUID(r.machine.Seed, r.guest.Name)
		r.config().set("uuid", r.domain.UUID)
	}
	return nil
}

// pvOnly lists settings that only PV guests have in Xen 4.20. A file with one of them and
// without a type was written for xl's own default, pv.
var pvOnly = []string{"pci", "e820_host", "firmware"}

// isPVOnly says whether a file without a type is for a PV guest.
func isPVOnly(c *Config) bool {
	isSet := func(name string) bool { return c.Lookup(name) != nil }
	return slices.ContainsFunc(pvOnly, isSet) || isOn(c, "vnc") // which makes no framebuffer for PVH
}

// chooseType finds the guest's type and refuses one that the machine cannot run.
func (r *resolver) chooseType() error {
	chosen, at, err := r.givenType()
	if err != nil {
		return err
	}
	if chosen == "" {
		chosen = PV
		if r.machine.HVM && !isPVOnly(r.config()) && !r.kernelIsPVOnly() {
			chosen = PVH
		}
		r.config().set("type", string(chosen))
	}
	r.domain.Type = chosen
	switch {
	case chosen == HVM && r.machine.DeviceModel == "":
		return r.config().errorf(at.Pos,
			"name a kernel and a ramdisk and remove this line to run it as PVH or PV",
			"HVM guests need an emulated PC (QEMU), which is not on this disc")
	case chosen != PV && !r.machine.HVM:
		return r.config().errorf(at.Pos,
			"switch on VT-x or AMD-V in the firmware setup, or remove this line to run it as PV",
			"%s guests need hardware virtualisation, which this machine does not offer",
			strings.ToUpper(string(chosen)))
	case chosen == PVH && at.Text != "" && r.kernelIsPVOnly():
		return r.config().errorf(at.Pos, `write type = "pv", or take a kernel with CONFIG_PVH`,
			"the kernel cannot run as PVH: it has no entry point for it among its Xen notes")
	}
	return nil
}

// types are the values of type and builder that xl takes.
var types = map[string]map[string]Type{
	"type":    {"pv": PV, "pvh": PVH, "hvm": HVM},
	"builder": {"generic": PV, "hvm": HVM},
}

// givenType reads type and its deprecated form builder; "" when neither is there.
func (r *resolver) givenType() (chosen Type, at Value, err error) {
	for _, name := range []string{"type", "builder"} {
		value, ok, err := r.config().Text(name)
		if err != nil {
			return "", value, err
		}
		if !ok {
			continue
		}
		this, known := types[name][value.Text]
		switch {
		case !known:
			return "", value, r.config().errorf(value.Pos, `write type = "pv", "pvh" or "hvm", or remove the line`,
				"%s = %q is not a type of guest", name, value.Text)
		case chosen != "" && chosen != this:
			return "", value, r.config().errorf(value.Pos, "remove builder",
				"builder = %q contradicts type = %q", value.Text, chosen)
		}
		chosen, at = this, value
	}
	return chosen, at, nil
}

// bootSource refuses a PV or PVH guest with nothing to boot, and boot loaders that dom0 lacks.
func (r *resolver) bootSource() error {
	if r.domain.Type == HVM {
		return nil
	}
	loader, ok, err := r.config().Text("bootloader")
	switch {
	case err != nil:
		return err
	case ok && !isAbsolute(loader.Text):
		// pygrub is what files say here, and it is a Python program.
		return r.config().errorf(loader.Pos,
			"copy the kernel and the initrd out of the guest's disk and name them as kernel and ramdisk",
			"the boot loader %q is not on this disc", loader.Text)
	case ok:
		return r.mustExist("bootloader", loader.Pos, loader.Text)
	}
	if firmware := r.config().Lookup("firmware"); firmware != nil {
		return r.config().errorf(firmware.Value.Pos, "name a kernel and a ramdisk in place of it",
			"the boot loader %q is not on this disc", firmware.Value.Text)
	}
	if r.config().Lookup("kernel") == nil {
		return r.config().errorf(Pos{}, `write kernel = "FILE", or kernel = "dom0" for dom0's own kernel`,
			"there is no kernel")
	}
	return nil
}

// pathSettings lists the settings of xl.cfg(5) that name one file.
var pathSettings = []string{
	"kernel", "ramdisk", "pvshim_path", "device_tree",
	"firmware_override", "bios_path_override", "acpi_firmware", "smbios_firmware",
	"device_model_override", "stubdomain_kernel", "stubdomain_ramdisk",
}

// kernelOfDom0 is the value of kernel that stands for Machine.Kernel. A file of that name in
// the guest's directory is "./dom0".
const kernelOfDom0 = "dom0"

// paths makes the files' names absolute and refuses those that are missing.
func (r *resolver) paths() error {
	for _, name := range pathSettings {
		value, ok, err := r.config().Text(name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		path, err := r.pathOf(name, value)
		if err != nil {
			return err
		}
		r.config().set(name, path)
	}
	return nil
}

func (r *resolver) pathOf(name string, value Value) (string, error) {
	if name != "kernel" || value.Text != kernelOfDom0 {
		return r.absolute(name, value.Pos, value.Text)
	}
	if r.machine.Kernel == "" {
		return "", r.config().errorf(value.Pos, "give the guest a kernel of its own",
			"dom0's kernel is not available to guests on this host")
	}
	return r.machine.Kernel, r.mustExist(name, value.Pos, r.machine.Kernel)
}

// isAbsolute says whether a configuration's path is one of dom0's; what system the configuration is read on
// does not matter.
func isAbsolute(path string) bool { return strings.HasPrefix(path, "/") }

// absolute returns path seen from the guest's directory, and an error when nothing is there.
func (r *resolver) absolute(what string, pos Pos, path string) (string, error) {
	if path == "" {
		return "", r.config().errorf(pos, "name a file, or remove it", "%s names no file", what)
	}
	if isAbsolute(path) {
		if err := r.trustPath(what, pos, path); err != nil {
			return "", err
		}
		return path, r.mustExist(what, pos, path)
	}
	if r.machine.Elsewhere && !filepath.IsLocal(path) {
		return "", r.config().errorf(pos, "put the file into the guest's directory",
			"%s lies outside of the guest's directory, which is all that goes onto the disc: %s", what, path)
	}
	path = filepath.Join(r.guest.Dir, path)
	if err := r.trustPath(what, pos, path); err != nil {
		return "", err
	}
	if err := r.within(what, pos, path); err != nil {
		return "", err
	}
	r.domain.Files = append(r.domain.Files, path)
	return path, r.mustBeThere(what, pos, path)
}

// mustExist refuses an absolute path of the machine's at which there is nothing to read. Devices
// are left to Xen: they may yet appear.
func (r *resolver) mustExist(what string, pos Pos, path string) error {
	if r.machine.Elsewhere || strings.HasPrefix(path, "/dev/") {
		return nil
	}
	return r.mustBeThere(what, pos, path)
}

func (r *resolver) mustBeThere(what string, pos Pos, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fault := r.config().errorf(pos, "put the file there or correct the name",
			"%s is missing: there is no file %s", what, path)
		fault.Err = err
		return fault
	case err != nil:
		fault := r.config().errorf(pos, "check the medium it is on", "%s cannot be used: %v", what, err)
		fault.Err = err
		return fault
	case info.IsDir():
		return r.config().errorf(pos, "name a file", "%s names a directory: %s", what, path)
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeDevice: // to open a pipe might never end
		return r.config().errorf(pos, "name a file", "%s names neither a file nor a disk: %s", what, path)
	}
	return nil
}

// memory reads what the guest needs.
func (r *resolver) memory() (err error) {
	r.domain.Memory, err = readMemory(r.config())
	return err
}
