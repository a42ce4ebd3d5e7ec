package grub

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/zerodisc/zerodisc/boot"
)

// Menu is what grub.cfg is made of.
type Menu struct {
	Title      string // begins each entry's title: the product and its version
	BuildID    string // handed to dom0 as zerodisc.id
	XenCmdline string
	Cmdline    string        // of dom0's kernel
	Timeout    time.Duration // until the first entry starts; whole seconds

	// Netboot is a menu for machines that were started from the network: dom0 looks for no medium
	// and is told by which NIC the machine was started.
	Netboot bool
	Xen     string // Xen's file; boot.MediumXen where empty
}

// entry is a line of the menu: Xen with dom0, or commands of GRUB.
type entry struct {
	ID       string
	Title    string
	Xen      []string // command line of Xen
	Dom0     []string // command line of dom0's kernel
	Commands []string // nil: an entry of Xen and dom0
}

// entries is the menu; the first entry is the default.
func (m Menu) entries(xen, dom0 []string) []entry {
	quiet := func(word string) bool { return word == "quiet" }
	loud := slices.DeleteFunc(slices.Clone(dom0), quiet)
	return []entry{
		{ID: "demo", Title: m.Title + " demo", Xen: xen, Dom0: dom0},
		{ID: "no-autostart", Title: m.Title + " without starting guests", Xen: xen,
			Dom0: slices.Concat(dom0, []string{boot.KeyAutostart + "=no"})},
		{ID: "verbose", Title: m.Title + ", verbose",
			Xen:  slices.Concat(xen, []string{"loglvl=all", "guest_loglvl=all"}),
			Dom0: slices.Concat(loud, []string{boot.KeyDebug})},
		{ID: "poweroff", Title: "Power off", Commands: []string{"halt"}},
		{ID: "reboot", Title: "Restart", Commands: []string{"reboot"}},
	}
}

//go:embed grub.cfg.tmpl
var menuSource string

var menuTemplate = template.Must(template.New("grub.cfg").Funcs(template.FuncMap{
	"quote": quote, "quoteAll": quoteAll,
}).Parse(menuSource))

// Config is the text of grub.cfg. What GRUB or Xen would garble or cut is an error.
func (m Menu) Config() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	xen, err := words("Xen command line", m.XenCmdline)
	if err != nil {
		return nil, err
	}
	line := m.Cmdline
	if !m.Netboot {
		line += " " + boot.KeyMediumID + "=" + m.BuildID
	}
	dom0, err := words("kernel command line", line)
	if err != nil {
		return nil, err
	}
	entries := m.entries(xen, dom0)
	for _, e := range entries {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("menu entry %q: %w", e.Title, err)
		}
	}
	var b bytes.Buffer
	err = menuTemplate.Execute(&b, map[string]any{
		"BuildID": m.BuildID, "Seconds": int(m.Timeout / time.Second), "Entries": entries,
		"Xen": cmp.Or(m.Xen, boot.MediumXen), "BootIf": m.bootIf(), "Kernel": boot.MediumKernel, "Initrd": boot.MediumInitrd,
	})
	return b.Bytes(), err
}

// bootIf is the kernel parameter that names the NIC, in GRUB's script.
func (m Menu) bootIf() string {
	if !m.Netboot {
		return ""
	}
	return " " + boot.KeyBootIf + "=$net_default_mac"
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
	return errors.Join(checkLength("Xen command line", e.Xen), checkLength("kernel command line", e.Dom0))
}

// notShown says what GRUB's text terminals have no glyph for.
func notShown(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }
