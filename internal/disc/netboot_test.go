package disc

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/grub"
)

// TestIPXEHasTheSettings checks that the script, which reads no settings, has them in its command lines.
func TestIPXEHasTheSettings(t *testing.T) {
	p := plan{settings: grub.Settings{Cmdline: "zerodisc.hostname=rack7", XenCmdline: "dom0_mem=1G"}}
	menu := grub.Menu{
		Title: "zerodisc", BuildID: "0123456789abcdef", Timeout: time.Second,
		XenCmdline: "console=vga", Cmdline: "quiet",
	}
	script, err := p.ipxe(menu)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kernel " + netXen + " console=vga dom0_mem=1G", " quiet zerodisc.hostname=rack7 ", "chain " + pxeUEFI,
	} {
		if !strings.Contains(string(script), want) {
			t.Errorf("it does not have %q:\n%s", want, script)
		}
	}
}

// TestNetbootTreeIsItsOwn checks that a tree of an earlier build may be replaced: that every file that is
// written counts as one of a netboot tree. output.Tree refuses others.
func TestNetbootTreeIsItsOwn(t *testing.T) {
	for _, name := range []string{"boot.ipxe", "boot/xen", "pxe-bios.0", "pxe-uefi.efi", "undionly.kpxe", "README"} {
		if !inNetbootTree(name) {
			t.Errorf("%s does not count", name)
		}
	}
	for _, name := range []string{"zerodisc.iso", "thesis.tex", filepath.Join("boot", "mine"), ""} {
		if inNetbootTree(name) {
			t.Errorf("%q counts", name)
		}
	}
}
