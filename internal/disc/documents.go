package disc

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// readme is /README on the disc: what a person needs who holds nothing but the disc.
var readme = template.Must(template.New("README").Parse(`zerodisc {{.Version}} (build {{.ID}})

A live disc that turns a PC into a Xen host with several operating systems running side by side.
Nothing is installed and nothing is written to a disk.

Boot it from CD, or write it to a USB stick (dd if=zerodisc.iso of=/dev/sdX bs=4M). The menu starts
the demo by itself. The screen and the serial line (115200 8N1) show what happens and end in a root
shell:

  status              the boot report: this machine, its address, the guests
  guest list          the guests; guest help says what else there is
  guest console NAME  a guest's console; leave it with Ctrl-]
  xl create FILE      start another guest, xl.cfg(5)
  poweroff, reboot    shut the guests down and end

A guest is a directory with an xl configuration below /guests of this disc.

  /settings.txt       the settings of this disc, and how to make a disc with others
  /zerodisc.yaml      the configuration of this machine, if the disc has one
  /SHA256SUMS         the sums of all files; the menu's entry "Check this medium" compares them
  /BUILT              what this disc was built from
  /COPYRIGHT/         the licence of every part
  /boot/              Xen, dom0's kernel, its initrd and GRUB's menu
  /guests/            the guests
`))

// built is /BUILT: what was built, from what.
var built = template.Must(template.New("BUILT").Parse(`zerodisc {{.Version}}
build id  {{.ID}}
revision  {{.Revision}}
compiler  {{.Compiler}}
suite     Debian {{.Suite}}

Debian packages: name, version, SHA-256 of the package
{{range .Packages}}{{.Name}} {{.Version}} {{.SHA256}}
{{end}}
Go modules in the userland: path, version
{{range .Modules}}{{.Path}} {{.Version}}
{{end}}`))

// provenance is what the templates are filled with.
type provenance struct {
	Version, ID, Revision, Compiler, Suite string

	Packages []payload.Package
	Modules  []initramfs.Module
}

// licences are the files of those that come in no package and in no module.
type licences struct {
	zerodisc string
	golang   string // of the runtime and the standard library, which are in every program of the userland
}

// documents returns the disc's texts.
func documents(p provenance, tree *payload.Tree, own licences) ([]iso9660.File, error) {
	var files []iso9660.File
	for name, t := range map[string]*template.Template{boot.MediumReadme: readme, "BUILT": built} {
		var text bytes.Buffer
		if err := t.Execute(&text, p); err != nil {
			return nil, err
		}
		files = append(files, iso9660.File{Path: name, Content: iso9660.Bytes(text.Bytes())})
	}
	for at, name := range map[string]string{"COPYRIGHT/zerodisc": own.zerodisc, "COPYRIGHT/go": own.golang} {
		content, _, err := iso9660.FromFile(name)
		if err != nil {
			return nil, fmt.Errorf("licence: %w", err)
		}
		files = append(files, iso9660.File{Path: at, Content: content})
	}
	for _, pkg := range p.Packages {
		e, err := tree.Lookup(path.Join("/usr/share/doc", pkg.Name, "copyright"))
		if err != nil {
			return nil, fmt.Errorf("copyright of package %s: %w", pkg.Name, err)
		}
		files = append(files, iso9660.File{Path: "COPYRIGHT/" + pkg.Name, Content: contentOf(e)})
	}
	text, err := moduleLicences(p.Modules)
	if err != nil {
		return nil, err
	}
	return append(files, iso9660.File{Path: "COPYRIGHT/go-modules", Content: iso9660.Bytes(text)}), nil
}

// moduleLicences is one text of all licences of Go modules, each text once below the names of the files that have it.
// Every file and directory of its own would take at least a sector of the disc: 200 kB in all.
func moduleLicences(modules []initramfs.Module) ([]byte, error) {
	var texts []string
	files := map[string][]string{}
	for _, m := range modules {
		for _, name := range m.Licences {
			text, err := os.ReadFile(filepath.Join(m.Dir, name))
			if err != nil {
				return nil, err
			}
			if files[string(text)] == nil {
				texts = append(texts, string(text))
			}
			files[string(text)] = append(files[string(text)], path.Join(m.Path, name))
		}
	}
	var all bytes.Buffer
	for _, text := range texts {
		fmt.Fprintf(&all, "==== %s\n\n%s\n", strings.Join(files[text], "\n==== "), text)
	}
	return all.Bytes(), nil
}
