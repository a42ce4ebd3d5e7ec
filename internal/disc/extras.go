package disc

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// extra is a file of one of Debian's packages that the menu starts in place of zerodisc.
type extra struct {
	pattern string // of the one file in the payload
	at      string // on the disc; GRUB decompresses what ends in .gz
}

// tools are on every disc.
var tools = []extra{
	{"/boot/memtest86+x64.bin", boot.MediumMemtestBIOS},
	{"/boot/memtest86+x64.efi", boot.MediumMemtestEFI},
	{"/usr/lib/ipxe/ipxe.lkrn", boot.MediumIPXEBIOS},
	{"/usr/lib/ipxe/ipxe-amd64.efi", boot.MediumIPXEEFI},
}

// toolPackages are where tools come from.
var toolPackages = []string{"memtest86+", "ipxe"}

// option is something that a disc carries only when it is asked for.
type option struct {
	name    string
	pkg     func(suite string) (string, error) // Debian's package with the extras; nil where there are none
	extras  []extra
	purpose string
}

const (
	firmware        = "firmware" // what it adds is in the initrd
	debianInstaller = "debian-installer"
	installerFiles  = "/usr/lib/debian-installer/images/*/amd64/text/debian-installer/amd64/"
)

// options are what Options.With may name.
var options = []option{
	{name: firmware, purpose: "Debian's non-free firmware of NICs and disk controllers, and microcode"},
	{
		name: debianInstaller, pkg: installerPackage, purpose: "Debian's installer, as an entry of the menu",
		extras: []extra{
			{installerFiles + "linux", boot.MediumInstaller + "/linux"},
			{installerFiles + "initrd.gz", boot.MediumInstaller + "/initrd.gz"},
		},
	},
}

// releases are the numbers of the suites whose installer is packaged.
var releases = map[string]string{"bookworm": "12", "trixie": "13", "forky": "14"}

func installerPackage(suite string) (string, error) {
	number, ok := releases[suite]
	if !ok {
		return "", fmt.Errorf("no installer is known for the suite %q", suite)
	}
	return "debian-installer-" + number + "-netboot-amd64", nil
}

// OptionNames lists what Options.With may name, each with what it is.
func OptionNames() []string {
	var names []string
	for _, o := range options {
		names = append(names, o.name+" ("+o.purpose+")")
	}
	return names
}

// chosen are the options that were asked for, and the Debian packages of GRUB, the tools and these.
func (o Options) chosen() (list []option, packages []string, err error) {
	packages = slices.Concat(grubPackages, toolPackages)
	for _, name := range o.With {
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("-with %s: there is no such option; there are: %s",
				name, strings.Join(OptionNames(), ", "))
		}
		list = append(list, options[i])
		if options[i].pkg == nil {
			continue
		}
		pkg, err := options[i].pkg(o.Suite)
		if err != nil {
			return nil, nil, fmt.Errorf("-with %s: %w", name, err)
		}
		packages = append(packages, pkg)
	}
	return list, packages, nil
}

// extraFiles are the tools and the files of the options that were asked for.
func (p parts) extraFiles(chosen []option) ([]iso9660.File, error) {
	list := slices.Clone(tools)
	for _, option := range chosen {
		list = append(list, option.extras...)
	}
	var files []iso9660.File
	for _, x := range list {
		content, err := p.extraContent(x)
		if err != nil {
			return nil, err
		}
		files = append(files, iso9660.File{Path: x.at, Content: content})
	}
	return files, nil
}

// extraContent finds the file of x in the payload and compresses it where its name on the disc says so.
func (p parts) extraContent(x extra) (*iso9660.Content, error) {
	found, err := one(p.tree, x.pattern)
	if err != nil {
		return nil, err
	}
	content := contentOf(found)
	if !strings.HasSuffix(x.at, ".gz") || strings.HasSuffix(x.pattern, ".gz") {
		return content, nil
	}
	return compressed(content)
}

// contentOf is the content of a file of the payload.
func contentOf(e payload.Entry) *iso9660.Content {
	return &iso9660.Content{Size: e.Size, Open: func() (io.ReadCloser, error) { return os.Open(e.Host) }}
}

// compressed is c as gzip does it; for small contents, since it is held in memory.
func compressed(c *iso9660.Content) (*iso9660.Content, error) {
	source, err := c.Open()
	if err != nil {
		return nil, err
	}
	defer source.Close()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, source); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return iso9660.Bytes(packed.Bytes()), nil
}
