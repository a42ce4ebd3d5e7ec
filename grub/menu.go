package grub

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/zerodisc/zerodisc/boot"
)

// Menu is what grub.cfg is made of.
type Menu struct {
	Title      string // begins the titles: the product and its version
	BuildID    string // of the medium, for which dom0 looks (zerodisc.id)
	XenCmdline string
	Cmdline    string        // of dom0's kernel
	Timeout    time.Duration // until the first entry starts; whole seconds

	// Netboot is a menu for machines that were started from the network: dom0 looks for no medium
	// and is told by which NIC the machine was started.
	Netboot bool
	Xen     string // Xen's file; boot.MediumXen where empty
	// Installer says that the medium carries Debian's installer.
	Installer bool
}

// trouble is the id of the menu with the ways out of trouble.
const trouble = "trouble"

// startable are the entries that may be made the default, with their place in the menus as GRUB writes it.
var startable = map[string]string{
	"demo": "demo", "no-autostart": "no-autostart",
	"verbose": trouble + ">verbose", "safe": trouble + ">safe", "no-acpi": trouble + ">no-acpi",
	"bare": "bare", "rescue": "rescue", "check": "check", "memtest": "memtest", "ipxe": "ipxe", "local": "local",
}

// startableNames lists startable for people.
func startableNames() string { return strings.Join(slices.Sorted(maps.Keys(startable)), ", ") }

// entry is a line of the menu.
type entry struct {
	ID    string
	Title string
	Help  string   // a line that says more than the title
	On    platform // where it works
	If    string   // a further condition there, a command of GRUB's
	Boot  []string // GRUB's commands
	Sub   []entry  // a menu of its own in place of Boot
	xen   []string // Xen's command line where Boot starts Xen, and the kernel's
	linux []string
}

// platform is a value of $grub_platform.
type platform string

const (
	everywhere platform = ""
	onBIOS     platform = "pc"
	onEFI      platform = "efi"
)

// Arguments for machines on which the usual ones fail. Safe: text mode or the firmware's screen, no
// IOMMU, no x2APIC, no sleep states, no message signalled interrupts. No ACPI: what a firmware with broken
// tables leaves of a PC.
var (
	safeXen    = []string{"iommu=no", "x2apic=no", "cpuidle=no", "cpufreq=none", "watchdog=no"}
	safeLinux  = []string{"nomodeset", "pci=nomsi"}
	noACPI     = []string{"acpi=off"} // of Xen and of the kernel
	verboseXen = []string{"loglvl=all", "guest_loglvl=all"}
	// The consoles of a kernel without Xen.
	bareConsoles = []string{"console=ttyS0,115200", "console=tty0"}
)

// entries is the menu; the first entry is the default. xen and linux are the command lines.
func (m Menu) entries(xen, linux []string) []entry {
	quiet := func(word string) bool { return word == "quiet" || strings.HasPrefix(word, "loglevel=") }
	loud := slices.DeleteFunc(slices.Clone(linux), quiet)
	console := func(word string) bool { return strings.HasPrefix(word, "console=") }
	bare := slices.Concat(slices.DeleteFunc(slices.Clone(linux), console), bareConsoles)
	shown := onScreen(xen)
	withoutACPI := m.withXen("no-acpi", m.Title+" without ACPI",
		"For firmware with broken tables: one processor, no power button.",
		with(shown, noACPI...), with(linux, noACPI...))
	withoutACPI.On = onBIOS // UEFI tells of the machine's devices by ACPI only
	list := []entry{
		m.withXen("demo", m.Title+" demo",
			"Xen, and the guests on this medium, which start by themselves.", xen, linux),
		m.withXen("no-autostart", m.Title+" without starting guests",
			"Xen and a root shell. xl create FILE starts a guest.",
			xen, with(linux, boot.KeyAutostart+"=no")),
		{
			ID: trouble, Title: "Troubleshooting: verbose, safe settings, without ACPI",
			Help: "More ways to start Xen, in a menu of its own. Escape leads back.",
			Sub: []entry{
				m.withXen("verbose", m.Title+", verbose",
					"The demo with all messages of Xen and the kernel, to look into a fault.",
					with(shown, verboseXen...), with(loud, "loglevel=7", boot.KeyDebug)),
				m.withXen("safe", m.Title+", safe settings",
					"For machines on which the demo hangs or the screen stays black.",
					with(shown, safeXen...), with(linux, safeLinux...)),
				withoutACPI,
			},
		},
		m.withoutXen("bare", "The demo's guest on the bare machine, without Xen",
			"The guest's shell and page on this machine itself, nothing beside it.",
			with(bare, boot.KeyGuest)),
		m.withoutXen("rescue", "Rescue shell, without Xen and network services",
			"All drivers, a root shell. Only this medium is mounted, nothing listens.",
			with(bare, boot.KeyRescue)),
	}
	list = append(list, memtest)
	if !m.Netboot {
		check := m.withoutXen("check", "Check this medium",
			"Compares every file with its SHA-256 sum before anything of it runs.",
			with(bare, boot.KeyCheck))
		check.Boot = slices.Concat(checkCommands, check.Boot)
		list = append(list, check, ipxe)
		if m.Installer {
			list = append(list, installer)
		}
	}
	return append(list, localBIOS, localEFI, setup, powerOff)
}

// onScreen is Xen's command line with its messages on the screen, too, for whoever looks for a fault.
func onScreen(xen []string) []string {
	shown := slices.Clone(xen)
	for i, word := range shown {
		devices, ok := strings.CutPrefix(word, "console=")
		if ok && !slices.Contains(strings.Split(devices, ","), "vga") {
			shown[i] = "console=vga," + devices
		}
	}
	return shown
}

// with appends words to a command line.
func with(line []string, words ...string) []string { return slices.Concat(line, words) }

// checkCommands look at what GRUB itself loads next: a kernel that is damaged could not tell.
var checkCommands = []string{
	"echo 'Checking the files that the machine starts from. This takes a moment ...'",
	`if hashsum --hash sha256 --check "$base/` + boot.MediumStartSums + `" --prefix "$base"; then`,
	"  echo 'They are as they should be.'",
	"else",
	"  echo 'The file named above is damaged: write the medium anew, or burn another disc.'",
	"  echo 'The check of all other files goes on as far as it can. Press Escape to go on at once.'",
	"  sleep --interruptible 30",
	"fi",
}

// Entries that do not start zerodisc.
var (
	memtest = entry{
		ID: "memtest", Title: "Memory test (Memtest86+)", Help: "Tests the machine's memory until Escape is pressed.",
		Boot: []string{
			`if [ "$grub_platform" = efi ]; then`,
			`  linux "$base/` + boot.MediumMemtestEFI + `" console=ttyS0,115200`,
			`else`,
			`  linux "$base/` + boot.MediumMemtestBIOS + `" console=ttyS0,115200`,
			`fi`,
		},
	}
	ipxe = entry{
		ID: "ipxe", Title: "Start from the network (iPXE)",
		Help: "iPXE asks the network what to start. Ctrl-B gives its shell.",
		Boot: []string{
			`if [ "$grub_platform" = efi ]; then`,
			`  chainloader "$base/` + boot.MediumIPXEEFI + `"`,
			`else`,
			`  linux16 "$base/` + boot.MediumIPXEBIOS + `"`,
			`fi`,
		},
	}
	localBIOS = entry{
		ID: "local", Title: "Start from the first local disk",
		Help: "Leaves this medium and starts what is installed on the machine.", On: onBIOS,
		Boot: []string{
			"# A stick that the BIOS started from is its first disk.",
			`set disk=hd0`,
			`if regexp '^\(hd0' "$base"; then`,
			`  set disk=hd1`,
			`  drivemap -s hd0 hd1`,
			`fi`,
			`set root=$disk`,
			`chainloader +1`,
		},
	}
	localEFI = entry{
		ID: "local", Title: "Start from the first local disk",
		Help: "Leaves this medium: the firmware goes on with its next boot entry.", On: onEFI,
		Boot: []string{"exit 1"},
	}
	installer = entry{
		ID: "installer", Title: "Install Debian on this machine",
		Help: "Debian's own installer. It asks before it changes a disk.",
		Boot: []string{
			`echo 'Loading the installer ...'`,
			`linux "$base/` + boot.MediumInstaller + `/linux" console=tty0`,
			`initrd "$base/` + boot.MediumInstaller + `/initrd.gz"`,
		},
	}
	setup = entry{
		ID: "setup", Title: "Firmware setup",
		Help: "Restarts into the settings of the machine's firmware.", On: onEFI, If: "fwsetup --is-supported",
		Boot: []string{"fwsetup"},
	}
	powerOff = entry{ID: "poweroff", Title: "Power off", Help: "Switches the machine off.", Boot: []string{"halt"}}
)

// Shown are the conditions, in GRUB's script, under which the entry is in the menu. They are nested:
// GRUB has no "&&".
func (e entry) Shown() []string {
	if e.On == everywhere {
		return nil
	}
	conditions := []string{`[ "$grub_platform" = ` + string(e.On) + ` ]`}
	if e.If != "" {
		conditions = append(conditions, e.If)
	}
	return conditions
}

// withXen is an entry that starts Xen and dom0.
func (m Menu) withXen(id, title, help string, xen, linux []string) entry {
	e := entry{ID: id, Title: title, Help: help, xen: xen, linux: linux, Boot: []string{
		"echo 'Loading Xen ...'",
		`$multiboot "$base/` + cmp.Or(m.Xen, boot.MediumXen) + `" ` + quoteAll(xen) + " $xen_settings",
		"echo 'Loading dom0: kernel ...'",
		`$module "$base/` + boot.MediumKernel + `" ` + quoteAll(linux) + m.place(),
		"echo 'Loading dom0: initrd ...'",
		`$module --nounzip "$base/` + boot.MediumInitrd + `"`,
		"echo 'Starting Xen ...'",
	}}
	if !slices.Equal(xen, onScreen(xen)) {
		e.Boot = append(e.Boot, "echo 'If nothing follows within a minute: restart, Troubleshooting, verbose.'")
	}
	return e
}

// withoutXen is an entry that starts dom0's kernel and initrd on the bare machine.
func (m Menu) withoutXen(id, title, help string, linux []string) entry {
	return entry{ID: id, Title: title, Help: help, linux: linux, Boot: []string{
		"echo 'Loading the kernel ...'",
		`linux "$base/` + boot.MediumKernel + `" ` + quoteAll(linux) + m.place(),
		"echo 'Loading the initrd ...'",
		`initrd "$base/` + boot.MediumInitrd + `"`,
	}}
}

// place is how dom0 finds where it came from, and the settings, in GRUB's script.
func (m Menu) place() string {
	if m.Netboot {
		return " " + boot.KeyBootIf + "=$net_default_mac $dom0_settings"
	}
	return " " + boot.KeyMediumID + `=$medium_id "$iso_file" $dom0_settings`
}

//go:embed grub.cfg.tmpl
var menuSource string

var menuTemplate = template.Must(template.New("grub.cfg").Funcs(template.FuncMap{"quote": quote}).Parse(menuSource))

// Config is the text of grub.cfg. What GRUB or Xen would garble or cut is an error.
func (m Menu) Config() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	xen, err := words("Xen command line", m.XenCmdline)
	if err != nil {
		return nil, err
	}
	linux, err := words("kernel command line", m.Cmdline)
	if err != nil {
		return nil, err
	}
	entries := m.entries(xen, linux)
	for _, e := range entries {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("menu entry %q: %w", e.Title, err)
		}
	}
	var b bytes.Buffer
	err = menuTemplate.Execute(&b, map[string]any{
		"Menu": m, "Seconds": int(m.Timeout / time.Second), "Entries": entries, "Settings": boot.MediumSettings,
	})
	return b.Bytes(), err
}

// Loopback is the text of loopback.cfg: a GRUB that has mounted the ISO file, and whose variable iso_path says
// where it lies, goes on with it (the convention of Super Grub2 Disk's loopback.cfg).
func Loopback() []byte {
	return []byte(`# Read by the GRUB of another disk that has mounted this image: iso_path is the file's place there.
set base=($root)
set iso_file="` + boot.KeyISOFile + `=$iso_path"
export base iso_file
configfile "$base/` + boot.MediumGRUB + `"
`)
}

//go:embed boot.ipxe.tmpl
var ipxeSource string

var ipxeTemplate = template.Must(template.New("boot.ipxe").Parse(ipxeSource))

// IPXE is the text of a script for iPXE that starts the menu's first entry; where the firmware is
// UEFI, whose iPXE starts no multiboot kernels, it starts GRUB, which is the file uefi. Its paths are
// relative to where it was loaded from.
func (m Menu) IPXE(uefi string) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	xen, err := words("Xen command line", m.XenCmdline)
	if err != nil {
		return nil, err
	}
	dom0, err := words("kernel command line", m.Cmdline)
	if err != nil {
		return nil, err
	}
	for _, word := range slices.Concat(xen, dom0) {
		// iPXE has no quotes, and expands ${name}.
		if strings.ContainsAny(word, " $#|&;") {
			return nil, fmt.Errorf("iPXE cannot hand on %q; leave out spaces and $ # | & ;", word)
		}
	}
	var b bytes.Buffer
	err = ipxeTemplate.Execute(&b, map[string]any{
		"Title": m.Title, "BuildID": m.BuildID, "UEFI": uefi, "BootIf": boot.KeyBootIf,
		"Xen": cmp.Or(m.Xen, boot.MediumXen), "Kernel": boot.MediumKernel, "Initrd": boot.MediumInitrd,
		"XenCmdline": strings.Join(xen, " "), "Cmdline": strings.Join(dom0, " "),
	})
	return b.Bytes(), err
}

func (m Menu) check() error {
	if err := checkBuildID(m.BuildID); err != nil {
		return err
	}
	if m.Title == "" || len(m.Title) > 50 || strings.ContainsFunc(m.Title, notShown) {
		return fmt.Errorf("menu title %q: want 1 to 50 printable characters", m.Title)
	}
	if m.Timeout < 0 || m.Timeout%time.Second != 0 {
		return fmt.Errorf("menu timeout %s: want whole seconds", m.Timeout)
	}
	return nil
}

func (e entry) check() error {
	for _, sub := range e.Sub {
		if err := sub.check(); err != nil {
			return fmt.Errorf("%q: %w", sub.Title, err)
		}
	}
	return errors.Join(checkLength("Xen command line", e.xen), checkLength("kernel command line", e.linux))
}

// notShown says what GRUB's text terminals have no glyph for.
func notShown(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }
