package guests

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// A configuration is root in dom0: it can name programs, scripts and devices. That of a guest from a store which
// nobody vouches for is held to the settings below, and to values that cannot leave the guest.

// confined are the settings of Xen 4.20's xl that reach nothing but the guest. Those that name files, disks and
// network interfaces have checks of their values besides.
var confined = []string{
	"name", "type", "builder", "kernel", "ramdisk", "cmdline", "root", "extra", "disk", "vif",
	"memory", "maxmem", "vcpus", "maxvcpus", "shadow_memory", "cap", "videoram", "mmio_hole",
	"on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset",
	"pvshim", "pvshim_path", "pvshim_cmdline", "pvshim_extra",
	"tsc_mode", "timer_mode", "rtc_timeoffset", "localtime", "nomigrate", "xend_suspend_evtchn_compat",
	"hap", "oos", "cpuid", "acpi", "apic", "pae", "nx", "hpet", "acpi_s3", "acpi_s4", "acpi_laptop_slate", "vpt_align",
	"viridian", "ms_vm_genid", "mca_caps", "smbios", "bios", "boot", "hdtype", "vga", "stdvga", "nographic",
	"usb", "usbversion", "vkb_device", "xen_platform_pci", "vendor_device",
	"firmware", "firmware_override", "bios_path_override", "acpi_firmware", "smbios_firmware",
	"vncviewer", "vif2", "device_model", // which xl skips with a warning
}

// Why a setting is refused, to be read after its name.
const (
	runsProgram    = "names a program that runs in dom0, or tells it what to do"
	namesDevice    = "gives the guest a device of the host"
	needsBackend   = "gives the guest a device that another domain or a program in dom0 serves"
	opensDisplay   = "opens a display or a network port in dom0"
	takesCPU       = "takes processors or their time from dom0 and the other guests"
	takesXenMemory = "takes memory of Xen's that no guest is charged with"
	weakensXen     = "switches on what Xen's developers give no security support for"
	isLabel        = "chooses what Xen's security policy allows the guest"
	isARM          = "is for ARM machines"
)

// reach is what a setting reaches beyond the guest.
type reach struct {
	why       string
	isBoolean bool // 0 switches it off, and is taken
}

// reaching are the settings of Xen 4.20's xl that are refused. What is neither here nor in confined is refused too.
var reaching = map[string]reach{
	"bootloader": {why: runsProgram}, "bootloader_args": {why: runsProgram}, "bootloader_user": {why: runsProgram},
	"bootloader_restrict": {why: runsProgram}, "device_model_override": {why: runsProgram},
	"device_model_version": {why: runsProgram}, "device_model_args": {why: runsProgram},
	"device_model_args_pv": {why: runsProgram}, "device_model_args_hvm": {why: runsProgram},
	"device_model_user": {why: runsProgram}, "device_model_stubdomain_override": {runsProgram, true},
	"dm_restrict": {runsProgram, true}, "stubdomain_kernel": {why: runsProgram}, "stubdomain_ramdisk": {why: runsProgram},
	"stubdomain_cmdline": {why: runsProgram}, "stubdomain_memory": {why: runsProgram}, "keymap": {why: runsProgram},
	"serial": {why: runsProgram},

	"pci": {why: namesDevice}, "pci_permissive": {namesDevice, true}, "pci_msitranslate": {namesDevice, true},
	"pci_power_mgmt": {namesDevice, true}, "pci_seize": {namesDevice, true}, "rdm": {why: namesDevice},
	"rdm_mem_boundary": {why: namesDevice}, "gfx_passthru": {namesDevice, true}, "passthrough": {why: namesDevice},
	"dtdev": {why: namesDevice}, "ioports": {why: namesDevice}, "iomem": {why: namesDevice}, "irqs": {why: namesDevice},
	"hvm_pirq": {namesDevice, true}, "e820_host": {namesDevice, true}, "usbctrl": {why: namesDevice},
	"usbdev": {why: namesDevice}, "usbdevice": {why: namesDevice}, "soundhw": {why: namesDevice},

	"p9": {why: needsBackend}, "channel": {why: needsBackend}, "vtpm": {why: needsBackend}, "pvcalls": {why: needsBackend},
	"vdispl": {why: needsBackend}, "vsnd": {why: needsBackend}, "vkb": {why: needsBackend}, "virtio": {why: needsBackend},
	"driver_domain": {"makes the guest a domain that serves devices to others", true},

	"vfb": {why: opensDisplay}, "vnc": {opensDisplay, true}, "vnclisten": {why: opensDisplay},
	"vncpasswd": {why: opensDisplay}, "vncdisplay": {why: opensDisplay}, "vncunused": {opensDisplay, true},
	"sdl": {opensDisplay, true}, "opengl": {opensDisplay, true}, "display": {why: opensDisplay},
	"xauthority": {why: opensDisplay}, "spice": {opensDisplay, true}, "spiceport": {why: opensDisplay},
	"spicetls_port": {why: opensDisplay}, "spicehost": {why: opensDisplay}, "spicepasswd": {why: opensDisplay},
	"spicedisable_ticketing": {opensDisplay, true}, "spiceagent_mouse": {opensDisplay, true},
	"spicevdagent": {opensDisplay, true}, "spice_clipboard_sharing": {opensDisplay, true},
	"spiceusbredirection": {opensDisplay, true}, "spice_image_compression": {why: opensDisplay},
	"spice_streaming_video": {why: opensDisplay},

	"pool": {why: takesCPU}, "cpus": {why: takesCPU}, "cpus_soft": {why: takesCPU}, "vnuma": {why: takesCPU},
	"llc_colors": {why: takesCPU}, "cpu_weight": {why: takesCPU}, "period": {why: takesCPU}, "slice": {why: takesCPU},
	"latency": {why: takesCPU}, "extratime": {why: takesCPU},

	"max_grant_frames": {why: takesXenMemory}, "max_maptrack_frames": {why: takesXenMemory},
	"max_grant_version": {why: takesXenMemory}, "max_event_channels": {why: takesXenMemory},
	"vmtrace_buf_kb": {takesXenMemory, true},

	"nestedhvm": {weakensXen, true}, "altp2m": {weakensXen, true}, "altp2mhvm": {weakensXen, true},
	"vpmu": {weakensXen, true}, "msr_relaxed": {weakensXen, true},

	"seclabel": {why: isLabel}, "init_seclabel": {why: isLabel}, "device_model_stubdomain_seclabel": {why: isLabel},
	"uuid": {why: "could be that of another guest, whose entries in xenstore it would share"},

	"device_tree": {why: isARM}, "vuart": {why: isARM}, "gic_version": {why: isARM}, "tee": {why: isARM},
	"sve": {why: isARM}, "nr_spis": {why: isARM},
}

// vouch is the second half of every remedy here.
const vouch = ", or pin the list of the store, if you trust who wrote it, with " + boot.KeyGuestsSum

// untrusted makes the error for what a guest from a store that is not trusted may not do.
func (r *resolver) untrusted(pos Pos, remedy, format string, args ...any) error {
	return r.config().errorf(pos, remedy+vouch, format+", and its store is not trusted", args...)
}

// trust holds a guest from a store that is not trusted to settings that cannot leave it. Paths are looked at where
// they are made absolute.
func (r *resolver) trust() error {
	if r.guest.Trusted {
		return nil
	}
	for _, setting := range r.config().Settings {
		if slices.Contains(confined, setting.Name) {
			continue
		}
		far, known := reaching[setting.Name]
		switch {
		case !known:
			return r.untrusted(setting.Value.Pos, "remove it", "%s is not a setting that this version knows", setting.Name)
		case far.isBoolean && isOff(setting.Value), setting.Value.Kind == List && len(setting.Value.List) == 0:
		default:
			return r.untrusted(setting.Value.Pos, "remove it", "%s %s", setting.Name, far.why)
		}
	}
	for _, event := range []string{"on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"} {
		if value, ok, _ := r.config().Text(event); ok && strings.HasPrefix(value.Text, "coredump") {
			return r.untrusted(value.Pos, "write destroy or restart",
				"%s = %q writes the guest's memory into dom0's", event, value.Text)
		}
	}
	return nil
}

// isOff says whether a value is 0.
func isOff(value Value) bool {
	n, err := parseInt(value.Text)
	return value.Kind != List && err == nil && n == 0
}

// trustPath holds a file that a guest from a store that is not trusted names to the guest's directory, symbolic
// links included. path is absolute.
func (r *resolver) trustPath(what string, pos Pos, path string) error {
	if r.guest.Trusted {
		return nil
	}
	store, err := filepath.EvalSymlinks(filepath.Dir(r.guest.Dir))
	if err != nil {
		return err
	}
	dir := filepath.Join(store, filepath.Base(r.guest.Dir)) // a link in place of a directory would lead out, too
	// What is not there is for the caller to say.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	inside, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(inside) {
		return r.untrusted(pos, "put the file into the guest's directory",
			"%s is outside of the guest's directory: %s", what, path)
	}
	return nil
}

// trustDisk refuses what a disk of a guest from a store that is not trusted reaches besides its target.
func (r *resolver) trustDisk(d *disk, pos Pos) error {
	for _, parameter := range []struct{ key, value string }{
		{"script", d.script}, {"backend", d.backend}, {"specification", d.specification},
	} {
		if parameter.value != "" && !r.guest.Trusted {
			return r.untrusted(pos, "remove it", "disk %s: %s=%s is not for a guest alone", d.vdev, parameter.key, parameter.value)
		}
	}
	return nil
}

// confinedVif are the parameters of a network interface that reach nothing but the guest and its bridge.
var confinedVif = []string{"type", "ip", "model", "rate", "devid", "mtu", "accel", "trusted", "untrusted"}

// trustVif refuses what a network interface of a guest from a store that is not trusted reaches besides the
// host's bridge.
func (r *resolver) trustVif(v *vif, pos Pos) error {
	if r.guest.Trusted {
		return nil
	}
	for _, word := range v.words {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case slices.Contains(confinedVif, key), key == "bridge" && (value == "" || value == r.bridge()):
		case key == "script" && (value == "vif-bridge" || value == scriptDir+"vif-bridge"):
		default:
			return r.untrusted(pos, "remove it", "vif: %s is not for a guest alone", word)
		}
	}
	return nil
}
