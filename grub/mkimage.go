package grub

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/zerodisc/zerodisc/boot"
)

// target is a kind of image that grub-mkimage makes. All modules are built in, in this order, so
// that nothing on the medium can fail to match the core and the same inputs give the same bytes.
type target struct {
	name      string // for errors
	directory string // of modules, below usr/lib/grub in the payload
	format    string // grub-mkimage's
	pkg       string // Debian's package of the modules
	modules   []string
	early     *template.Template // configuration built in; its data is the build id
	menu      string             // built in, too, and run instead of the medium's; "" for none
}

// Modules that several targets have in common.
var (
	coreModules = []string{
		"normal", "configfile", "echo", "serial", "terminal", "multiboot2", "gzio", "test", "ls", "cat",
		"minicmd", "boot", "linux", "reboot", "halt", "sleep", "true", "all_video", "regexp",
		"hashsum", "gcry_sha256", "chain",
	}
	biosModules = []string{"linux16", "drivemap", "multiboot"}
	efiModules  = []string{"efi_gop", "efifwsetup"}
	diskModules = []string{
		"iso9660", "part_gpt", "part_msdos", "search", "search_fs_file", "search_label", "loopback",
	}
)

// earlyDisk finds the medium that this GRUB came from. GRUB runs it in its rescue parser, which
// has no "if" and expands only the first variable of a word. The build's own file is searched, the
// boot device first: any other mark finds another zerodisc that is plugged in.
var earlyDisk = template.Must(template.New("early").Parse(
	`search --no-floppy --file --set=root --hint=$root /` + boot.MediumIDDir + `/{{.}}
set base=($root)
set prefix=($root)/boot/grub
export base
`))

// earlyNet hands findTree $fw_path, the server and the directory that this GRUB was loaded from. As long as it
// has that name, Debian's GRUB looks for a menu there; from HTTP it then stops at a prompt.
var earlyNet = template.Must(template.New("early").Parse(`set loaded_from=$fw_path
export loaded_from
unset fw_path
`))

// findTree finds everything beside this GRUB, wherever that is. Where a DHCP server named the file, it was by
// TFTP. iPXE hands on the address that boot.ipxe was loaded from as if it were the directory there.
const findTree = `if regexp --set=1:protocol --set=2:server --set=3:directory ` +
	`'^\(.*\)(http|https|tftp):/+([^/]+)(.*)$' "$loaded_from"; then
  if [ "$protocol" = https ]; then
    echo "GRUB cannot load from https://$server$directory: start boot.ipxe from http:// or tftp://"
    sleep --verbose 30
  fi
  set base="($protocol,$server)$directory"
else
  regexp --set=1:base '^(.*[^/])/*$' "$loaded_from"
fi
export base
configfile "$base/` + boot.MediumGRUB + `"
`

// netModules speak to servers.
var netModules = []string{"net", "tftp", "http", "memdisk", "tar"}

var (
	biosDisk = target{
		name: "GRUB for BIOS", directory: "i386-pc", format: "i386-pc-eltorito", pkg: "grub-pc-bin",
		modules: slices.Concat([]string{"biosdisk"}, biosModules, diskModules, coreModules), early: earlyDisk,
	}
	efiDisk = target{
		name: "GRUB for UEFI", directory: "x86_64-efi", format: "x86_64-efi", pkg: "grub-efi-amd64-bin",
		modules: slices.Concat([]string{"fat"}, efiModules, diskModules, coreModules), early: earlyDisk,
	}
	biosNet = target{
		name: "GRUB for PXE on BIOS", directory: "i386-pc", format: "i386-pc-pxe", pkg: "grub-pc-bin",
		modules: slices.Concat([]string{"pxe"}, biosModules, netModules, coreModules), early: earlyNet, menu: findTree,
	}
	efiNet = target{
		name: "GRUB for PXE on UEFI", directory: "x86_64-efi", format: "x86_64-efi", pkg: "grub-efi-amd64-bin",
		modules: slices.Concat([]string{"efinet"}, efiModules, netModules, coreModules),
		early:   earlyNet, menu: findTree,
	}
)

// Where the payload has what runs and feeds grub-mkimage.
const (
	libraryDir  = "usr/lib/x86_64-linux-gnu"
	dynamicLink = libraryDir + "/ld-linux-x86-64.so.2"
	mkimageTool = "usr/bin/grub-mkimage"
	modulesDir  = "usr/lib/grub"
)

// need is a file of the payload and the Debian package that has it.
type need struct {
	path, pkg string
}

// needs lists what making t takes.
func (t target) needs() []need {
	list := []need{{dynamicLink, "libc6"}, {mkimageTool, "grub-common"}}
	for _, name := range append([]string{"kernel.img", "moddep.lst"}, t.moduleFiles()...) {
		list = append(list, need{filepath.Join(modulesDir, t.directory, name), t.pkg})
	}
	return list
}

func (t target) moduleFiles() []string {
	var files []string
	for _, module := range t.modules {
		files = append(files, module+".mod")
	}
	return files
}

// check names the first file that payload lacks.
func check(payload string, needs []need) error {
	for _, need := range needs {
		if _, err := os.Stat(filepath.Join(payload, need.path)); err != nil {
			return fmt.Errorf("%w: it comes with Debian's package %s", err, need.pkg)
		}
	}
	return nil
}

// mkimage makes t's image with the payload's own grub-mkimage, run through the payload's own
// loader and libraries: the tool must be of the modules' version, whatever the host has.
func mkimage(ctx context.Context, payload string, t target, buildID string) ([]byte, error) {
	if err := check(payload, t.needs()); err != nil {
		return nil, fmt.Errorf("make %s: %w", t.name, err)
	}
	dir, err := os.MkdirTemp("", "grub-mkimage-")
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", t.name, err)
	}
	defer os.RemoveAll(dir)
	options, err := t.builtIn(dir, buildID)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", t.name, err)
	}
	image := filepath.Join(dir, "image")
	if err := run(ctx, t.command(payload, image, options...)); err != nil {
		return nil, fmt.Errorf("make %s: %w", t.name, err)
	}
	return os.ReadFile(image)
}

// builtIn writes what is to be built in into dir and returns grub-mkimage's options for it.
func (t target) builtIn(dir, buildID string) ([]string, error) {
	var early bytes.Buffer
	if err := t.early.Execute(&early, buildID); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "early.cfg")
	if err := os.WriteFile(config, early.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if t.menu == "" {
		return []string{"-c", config, "-p", "/boot/grub"}, nil
	}
	disk := filepath.Join(dir, "menu.tar")
	return []string{"-c", config, "-m", disk, "-p", "(memdisk)/boot/grub"}, writeMenuDisk(disk, t.menu)
}

// writeMenuDisk writes the archive that GRUB takes for a disk: it has the menu.
func writeMenuDisk(name, menu string) error {
	var disk bytes.Buffer
	out := tar.NewWriter(&disk)
	header := &tar.Header{Name: boot.MediumGRUB, Mode: 0o644, Size: int64(len(menu)), Format: tar.FormatUSTAR}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.WriteString(out, menu); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, disk.Bytes(), 0o600)
}

// command is the command line that writes image.
func (t target) command(payload, image string, options ...string) []string {
	return slices.Concat([]string{
		filepath.Join(payload, dynamicLink), "--library-path", filepath.Join(payload, libraryDir),
		filepath.Join(payload, mkimageTool), "-d", filepath.Join(payload, modulesDir, t.directory),
		"-O", t.format, "-o", image,
	}, options, t.modules)
}

// run runs a command in an environment of its own; its messages become the error.
func run(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = []string{"LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run grub-mkimage: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
