package disc

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/output"
)

// Files at the root of the netboot tree. Firmware and iPXE are given their names, all else is found
// from where they were loaded.
const (
	pxeBIOS    = "pxe-bios.0"
	pxeUEFI    = "pxe-uefi.efi"
	ipxeScript = "boot.ipxe"
	undi       = "undionly.kpxe" // iPXE for BIOS machines whose DHCP server is not the one that serves the tree
	netXen     = "boot/xen"      // not compressed: iPXE has no gzip
	netText    = "README"
)

// netbootTree lists the files that a netboot tree has, next to the list of their sums.
var netbootTree = []string{
	netXen, boot.MediumKernel, boot.MediumInitrd, boot.MediumMemtestBIOS, boot.MediumMemtestEFI, undi,
	pxeBIOS, pxeUEFI, ipxeScript, boot.MediumGRUB, boot.MediumSettings, netText,
}

func inNetbootTree(path string) bool { return slices.Contains(netbootTree, path) }

// writeNetboot writes the tree that machines start from by PXE, iPXE and HTTP.
func (b *builder) writeNetboot(ctx context.Context, p plan, made parts, m medium) error {
	if b.Netboot == "" {
		return nil
	}
	b.progress.Step("writing the netboot tree")
	texts, err := p.netTexts(ctx, made, m.menu)
	if err != nil {
		return fmt.Errorf("netboot tree: %w", err)
	}
	files, err := made.netTools(m.image.Files)
	if err != nil {
		return fmt.Errorf("netboot tree: %w", err)
	}
	files = append(files, iso9660.File{Path: boot.MediumKernel, Content: made.kernel})
	return p.netboot.Write(func(tree *output.Tree) error {
		if _, err := tree.File(netXen, made.writeXen); err != nil {
			return err
		}
		_, err := tree.File(boot.MediumInitrd, func(to io.Writer) error {
			return made.writeNetInitrd(to, slices.Concat(m.guests, p.config))
		})
		if err != nil {
			return err
		}
		for _, f := range append(files, texts...) {
			if err := addContent(tree, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func addContent(tree *output.Tree, f iso9660.File) error {
	source, err := f.Content.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = tree.File(f.Path, func(to io.Writer) error {
		_, err := io.Copy(to, source)
		return err
	})
	return err
}

// writeXen writes Xen as it is when decompressed.
func (p parts) writeXen(to io.Writer) error {
	source, err := p.xen.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	unpacked, err := gzip.NewReader(source)
	if err != nil {
		return fmt.Errorf("decompress Xen: %w", err)
	}
	_, err = io.Copy(to, unpacked)
	return err
}

// writeNetInitrd writes the initrd with the guests, the kernel that they share and the configuration behind it: nothing
// is taken from a medium then.
func (p parts) writeNetInitrd(to io.Writer, files []iso9660.File) error {
	extra := initramfs.NewArchive()
	extra.Stream(boot.KernelInRAM, p.kernel.Size, p.kernel.Open, 0o444)
	first := map[*iso9660.Content]string{}
	for _, f := range files {
		at := inRAM(f)
		if same, ok := first[f.Content]; ok {
			extra.Link(at, same)
			continue
		}
		first[f.Content] = at
		perm := fs.FileMode(0o444)
		if f.Executable {
			perm = 0o555
		}
		extra.Stream(at, f.Content.Size, f.Content.Open, perm)
	}
	return initramfs.Append(to, p.made.Initrd, extra)
}

// inRAM is where a guest's file of the disc, or the configuration, lies in dom0 after a start from the network.
func inRAM(f iso9660.File) string {
	if f.Path == boot.ConfigName {
		return "/" + boot.ConfigName
	}
	return path.Join(boot.GuestsInRAM, strings.TrimPrefix(f.Path, boot.MediumGuests))
}

// checkNetInitrd refuses guests that no initrd can carry.
func checkNetInitrd(guests []iso9660.File) error {
	var total int64
	for _, f := range guests {
		if err := initramfs.CheckSize(f.Path, f.Content.Size); err != nil {
			return fmt.Errorf("-netboot: %w; give this guest from a web server (docs/guests.md)", err)
		}
		total += f.Content.Size
	}
	if total > initramfs.MaxSize {
		return fmt.Errorf("-netboot: the guests have %d bytes, an initrd at most %d; "+
			"give some from a web server (docs/guests.md)", total, int64(initramfs.MaxSize))
	}
	return nil
}

// netTools are what the menu starts in place of zerodisc, files of the disc, and iPXE for firmware to load.
func (p parts) netTools(onDisc []iso9660.File) ([]iso9660.File, error) {
	content, err := p.extraContent(extra{"/usr/lib/ipxe/undionly.kpxe", undi})
	files := []iso9660.File{{Path: undi, Content: content}}
	for _, f := range onDisc {
		if f.Path == boot.MediumMemtestBIOS || f.Path == boot.MediumMemtestEFI {
			files = append(files, f)
		}
	}
	return files, err
}

// netMenu is a disc's menu for machines that were started from the network.
func netMenu(menu grub.Menu) grub.Menu {
	menu.Netboot, menu.Xen = true, netXen
	return menu
}

// ipxe is the script for iPXE. It does not read the settings, so they are in its command lines.
func (p plan) ipxe(menu grub.Menu) ([]byte, error) {
	menu = netMenu(menu)
	menu.XenCmdline += " " + p.settings.XenCmdline
	menu.Cmdline += " " + p.settings.Cmdline
	return menu.IPXE(pxeUEFI)
}

// netTexts are GRUB for the network, its menu, the script for iPXE and the README.
func (p plan) netTexts(ctx context.Context, made parts, menu grub.Menu) ([]iso9660.File, error) {
	loader, err := grub.BuildNet(ctx, made.tree.Root())
	if err != nil {
		return nil, err
	}
	config, err := netMenu(menu).Config()
	if err != nil {
		return nil, err
	}
	settings, err := p.settings.Config(menu.BuildID)
	if err != nil {
		return nil, err
	}
	script, err := p.ipxe(menu)
	if err != nil {
		return nil, err
	}
	var readme bytes.Buffer
	if err := netReadme.Execute(&readme, menu); err != nil {
		return nil, err
	}
	return []iso9660.File{
		{Path: pxeBIOS, Content: iso9660.Bytes(loader.BIOS)},
		{Path: pxeUEFI, Content: iso9660.Bytes(loader.EFI)},
		{Path: boot.MediumGRUB, Content: iso9660.Bytes(config)},
		{Path: boot.MediumSettings, Content: iso9660.Bytes(settings)},
		{Path: ipxeScript, Content: iso9660.Bytes(script)},
		{Path: netText, Content: iso9660.Bytes(readme.Bytes())},
	}, nil
}

// netReadme is the tree's README.
var netReadme = template.Must(template.New("README").Parse(
	`{{.Title}}, build {{.BuildID}}: to start machines from the network

Serve this directory by TFTP, or by HTTP, or both, and tell machines what to load first:

  BIOS                  ` + pxeBIOS + `
  UEFI (x86-64)         ` + pxeUEFI + `
  iPXE, BIOS and UEFI   ` + ipxeScript + `

What they load then is found from where they took that file; put it at any depth.

dnsmasq next to a DHCP server that stays as it is (proxy DHCP; 192.168.1.0 is the network):

  port=0
  dhcp-range=192.168.1.0,proxy
  enable-tftp
  tftp-root=/srv/zerodisc
  dhcp-userclass=set:ipxe,iPXE
  pxe-service=tag:!ipxe,x86PC,"zerodisc",` + undi + `
  pxe-service=tag:ipxe,x86PC,"zerodisc",` + ipxeScript + `
  pxe-service=X86-64_EFI,"zerodisc",` + pxeUEFI + `

dnsmasq as the network's DHCP server:

  dhcp-range=192.168.1.100,192.168.1.200
  enable-tftp
  tftp-root=/srv/zerodisc
  dhcp-match=set:uefi,option:client-arch,7
  dhcp-match=set:uefi,option:client-arch,9
  dhcp-boot=` + pxeBIOS + `
  dhcp-boot=tag:uefi,` + pxeUEFI + `

and, for UEFI HTTP Boot, with this directory on a web server:

  dhcp-match=set:http,option:client-arch,16
  dhcp-option-force=tag:http,option:vendor-class,HTTPClient
  dhcp-boot=tag:http,http://192.168.1.5/zerodisc/` + pxeUEFI + `

iPXE from a web server:  chain http://SERVER/zerodisc/` + ipxeScript + `

SHA256SUMS has the sums of all files: sha256sum -c SHA256SUMS
`))
