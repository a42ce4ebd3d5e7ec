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

// reaching are the settings of Xen 4.20's xl that are refused, with the reason to be read after their names. What is
// neither here nor in confined is refused too.
var reaching = []struct {
	why      string
	settings []string
	switches []string // settings that 0 switches off: then they are taken
}{
	{"names a program that runs in dom0, or tells it what to do", []string{
		"bootloader", "bootloader_args", "bootloader_user", "bootloader_restrict",
		"device_model_override", "device_model_version", "device_model_args", "device_model_args_pv",
		"device_model_args_hvm", "device_model_user",
		"stubdomain_kernel", "stubdomain_ramdisk", "stubdomain_cmdline", "stubdomain_memory", "keymap", "serial",
	}, []string{"device_model_stubdomain_override", "dm_restrict"}},
	{"gives the guest a device of the host", []string{
		"pci", "rdm", "rdm_mem_boundary", "passthrough", "dtdev", "ioports", "iomem", "irqs",
		"usbctrl", "usbdev", "usbdevice", "soundhw",
	}, []string{
		"pci_permissive", "pci_msitranslate", "pci_power_mgmt", "pci_seize", "gfx_passthru", "hvm_pirq", "e820_host",
	}},
	{"gives the guest a device that another domain or a program in dom0 serves", []string{
		"p9", "channel", "vtpm", "pvcalls", "vdispl", "vsnd", "vkb", "virtio",
	}, nil},
	{"makes the guest a domain that serves devices to others", nil, []string{"driver_domain"}},
	{"opens a display or a network port in dom0", []string{
		"vfb", "vnclisten", "vncpasswd", "vncdisplay", "display", "xauthority",
		"spiceport", "spicetls_port", "spicehost", "spicepasswd", "spice_image_compression", "spice_streaming_video",
	}, []string{
		"vnc", "vncunused", "sdl", "opengl", "spice", "spicedisable_ticketing", "spiceagent_mouse", "spicevdagent",
		"spice_clipboard_sharing", "spiceusbredirection",
	}},
	{"takes processors or their time from dom0 and the other guests", []string{
		"pool", "cpus", "cpus_soft", "vnuma", "llc_colors", "cpu_weight", "period", "slice", "latency", "extratime",
	}, nil},
	{"takes memory of Xen's that no guest is charged with", []string{
		"max_grant_frames", "max_maptrack_frames", "max_grant_version", "max_event_channels",
	}, []string{"vmtrace_buf_kb"}},
	{"switches on what Xen's developers give no security support for", nil, []string{
		"nestedhvm", "altp2m", "altp2mhvm", "vpmu", "msr_relaxed",
	}},
	{"chooses what Xen's security policy allows the guest", []string{
		"seclabel", "init_seclabel", "device_model_stubdomain_seclabel",
	}, nil},
	{"could be that of another guest, whose entries in xenstore it would share", []string{"uuid"}, nil},
	{"is for ARM machines", []string{"device_tree", "vuart", "gic_version", "tee", "sve", "nr_spis"}, nil},
}

// reachOf says why a setting is refused; "" where it is in no list. isSwitch says whether 0 switches it off.
func reachOf(name string) (why string, isSwitch bool) {
	for _, group := range reaching {
		isSwitch = slices.Contains(group.switches, name)
		if isSwitch || slices.Contains(group.settings, name) {
			return group.why, isSwitch
		}
	}
	return "", false
}

// vouch is the second half of every remedy here.
const vouch = ", or pin the list of the store, if you trust who wrote it, with " + boot.KeyGuestsSum

// untrusted makes the error for what a guest from a store that is not trusted may not do.
func (r *resolver) untrusted(pos Pos, remedy, format string, args ...any) error {
	return r.config().errorf(pos, remedy+vouch, format+", and the guest's store is not trusted", args...)
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
		why, isSwitch := reachOf(setting.Name)
		switch {
		case why == "":
			return r.untrusted(setting.Value.Pos, "remove it",
				"%s is not a setting that this version knows", setting.Name)
		case isSwitch && isOff(setting.Value), setting.Value.Kind == List && len(setting.Value.List) == 0:
		default:
			return r.untrusted(setting.Value.Pos, "remove it", "%s %s", setting.Name, why)
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
			return r.untrusted(pos, "remove it", "disk %s: %s=%s reaches beyond the guest",
				d.vdev, parameter.key, parameter.value)
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
			return r.untrusted(pos, "remove it", "vif: %s reaches beyond the guest", word)
		}
	}
	return nil
}
