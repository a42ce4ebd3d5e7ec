package disc

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Files at the root of the netboot tree. Firmware and iPXE are told their names, all else is found
// from where they were loaded.
const (
	pxeBIOS    = "pxe-bios.0"
	pxeUEFI    = "pxe-uefi.efi"
	ipxeScript = "boot.ipxe"
	undi       = "undionly.kpxe" // iPXE for BIOS machines whose DHCP server is not the one that serves the tree
	netXen     = "boot/xen"      // not compressed: iPXE has no gzip
)

// writeNetboot writes the tree that machines start from by PXE, iPXE and HTTP. It takes the place of
// an older one when it is complete.
func (b *builder) writeNetboot(ctx context.Context) error {
	if b.Netboot == "" {
		return nil
	}
	b.progress.Step("writing the netboot tree")
	work := filepath.Clean(b.Netboot) + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	menu := b.menu
	menu.Netboot, menu.Xen = true, netXen
	for _, step := range []func() error{
		func() error { return b.netXen(filepath.Join(work, netXen)) },
		func() error { return writeContent(filepath.Join(work, boot.MediumKernel), b.kernel) },
		func() error { return b.netInitrd(filepath.Join(work, boot.MediumInitrd)) },
		func() error { return b.netTools(work) },
		func() error { return b.netLoader(ctx, work, menu) },
		func() error { return netTexts(work, menu) },
		func() error { return writeSums(work) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("netboot tree: %w", err)
		}
	}
	if err := os.RemoveAll(b.Netboot); err != nil {
		return err
	}
	return os.Rename(work, b.Netboot)
}

// checkNetboot refuses, before anything is built, to write where something else would be lost.
func (b *builder) checkNetboot(context.Context) error {
	if b.Netboot == "" {
		return nil
	}
	return checkReplaceable(b.Netboot)
}

// checkReplaceable refuses a directory that holds something else than a netboot tree.
func checkReplaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, ipxeScript))
	}
	if err != nil {
		return fmt.Errorf("netboot tree: %s is there and is no netboot tree: %w; name a directory that is new or empty", dir, err)
	}
	return nil
}

// netXen writes Xen as it is when decompressed.
func (b *builder) netXen(name string) error {
	source, err := b.xen.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	unpacked, err := gzip.NewReader(source)
	if err != nil {
		return fmt.Errorf("decompress Xen: %w", err)
	}
	return atomicfile.Write(name, func(f *os.File) error {
		_, err := io.Copy(f, unpacked)
		return err
	})
}

// netInitrd writes the initrd with the guests and the kernel that they share behind it: nothing is
// taken from a medium then.
func (b *builder) netInitrd(name string) error {
	extra := initramfs.NewArchive()
	extra.Stream(boot.KernelInRAM, b.kernel.Size, b.kernel.Open, 0o444)
	first := map[*iso9660.Content]string{}
	for _, f := range b.guestFiles {
		at := path.Join(boot.GuestsInRAM, strings.TrimPrefix(f.Path, boot.MediumGuests))
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
	return atomicfile.Write(name, func(f *os.File) error { return initramfs.Append(f, b.made.Initrd, extra) })
}

// netTools writes what the menu starts in place of zerodisc.
func (b *builder) netTools(dir string) error {
	for _, f := range b.files {
		if f.Path == boot.MediumMemtestBIOS || f.Path == boot.MediumMemtestEFI {
			if err := writeContent(filepath.Join(dir, f.Path), f.Content); err != nil {
				return err
			}
		}
	}
	content, err := b.extraContent(extra{"/usr/lib/ipxe/undionly.kpxe", undi})
	if err != nil {
		return err
	}
	return writeContent(filepath.Join(dir, undi), content)
}

func (b *builder) netLoader(ctx context.Context, dir string, menu grub.Menu) error {
	loader, err := grub.BuildNet(ctx, b.tree.Root())
	if err != nil {
		return err
	}
	config, err := menu.Config()
	if err != nil {
		return err
	}
	settings, err := b.settings.Config(menu.BuildID)
	if err != nil {
		return err
	}
	// iPXE's script does not read the settings.
	menu.XenCmdline += " " + b.settings.XenCmdline
	menu.Cmdline += " " + b.settings.Cmdline
	script, err := menu.IPXE(pxeUEFI)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		pxeBIOS: loader.BIOS, pxeUEFI: loader.EFI, boot.MediumGRUB: config, boot.MediumSettings: settings, ipxeScript: script,
	} {
		if err := writeContent(filepath.Join(dir, name), iso9660.Bytes(data)); err != nil {
			return err
		}
	}
	return nil
}

// netReadme is the tree's README.
var netReadme = template.Must(template.New("README").Parse(`{{.Title}}, build {{.BuildID}}: to start machines from the network

Serve this directory by TFTP, or by HTTP, or both, and tell machines what to load first:

  BIOS                  ` + pxeBIOS + `
  UEFI (x86-64)         ` + pxeUEFI + `
  iPXE, BIOS and UEFI   ` + ipxeScript + `

What they load then is found from where they took that file; put it at any depth.

dnsmasq beside a DHCP server that stays as it is (proxy DHCP; 192.168.1.0 is the network):

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

func netTexts(dir string, menu grub.Menu) error {
	var text bytes.Buffer
	if err := netReadme.Execute(&text, menu); err != nil {
		return err
	}
	return writeContent(filepath.Join(dir, "README"), iso9660.Bytes(text.Bytes()))
}

// writeContent writes a file of this machine.
func writeContent(name string, c *iso9660.Content) error {
	source, err := c.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	return atomicfile.Write(name, func(f *os.File) error {
		_, err := io.Copy(f, source)
		return err
	})
}

// writeSums writes SHA256SUMS of all files below dir.
func writeSums(dir string) error {
	var sums []iso9660.Sum
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, _, err := iso9660.FromFile(name)
		if err != nil {
			return err
		}
		sum, err := digest(content)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		sums = append(sums, iso9660.Sum{Path: filepath.ToSlash(rel), SHA256: sum})
		return err
	})
	if err != nil {
		return err
	}
	list, err := iso9660.FormatSums(sums)
	if err != nil {
		return err
	}
	return writeContent(filepath.Join(dir, sha256sums.Name), iso9660.Bytes(list))
}
