package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// FirmwareComponent is the component of Debian's archive that FirmwarePackages come from, besides main.
const FirmwareComponent = "non-free-firmware"

// FirmwarePackages are the Debian packages with the microcode of processors, and with the firmware that drivers on
// the disc ask for.
var FirmwarePackages = []string{
	"amd64-microcode",
	"intel-microcode",
	"firmware-bnx2",
	"firmware-bnx2x",
	"firmware-cavium",       // liquidio
	"firmware-intel-misc",   // e100, ice
	"firmware-linux-free",   // isci, and the only one in main
	"firmware-misc-nonfree", // advansys, cxgb3, kaweth, mscc, tehuti, tg3, typhoon, ums-eneub6250
	"firmware-myricom",      // myri10ge
	"firmware-netronome",    // nfp
	"firmware-netxen",       // netxen_nic, qlcnic
	"firmware-qlogic",       // bna, qed, qla1280
	"firmware-realtek",      // r8152, r8169
}

// firmwareFiles is where those packages have the files.
const firmwareFiles = "/usr/lib/firmware"

// flashed match the files that a driver writes into the flash memory of a card, for good and unasked, when it finds
// an older version there: t4_prep_fw in Linux's cxgb4, cxgb_up in cxgb3. The disc leaves a machine as it is, and
// these cards work with the firmware that they have.
var flashed = []string{"cxgb3/t3fw-*.bin", "cxgb4/t[4-6]fw*.bin"}

// firmwareUser is a module that may ask for firmware.
type firmwareUser struct {
	Module string
	Files  []string // as in SelectedModule
	Needs  bool     // NeedsFirmware of SelectedModule
}

// firmwareUsers lists the modules of the selection that name firmware.
func (s *ModuleSelection) firmwareUsers() []firmwareUser {
	var users []firmwareUser
	for _, m := range s.Modules {
		if len(m.Firmware) > 0 {
			users = append(users, firmwareUser{Module: m.Name, Files: m.Firmware, Needs: m.NeedsFirmware})
		}
	}
	return users
}

// packageFiles are files of packages, as payload.Tree has them.
type packageFiles interface {
	Glob(pattern string) ([]payload.Entry, error)
	Lookup(name string) (payload.Entry, error)
}

// firmware is what there is for the modules on the disc.
type firmware struct {
	files   map[string]payload.Entry // by name in firmwareFiles
	missing []string                 // "MODULE: FILE, FILE" for what no package has
}

// findFirmware looks for what modules ask for.
func findFirmware(tree packageFiles, users []firmwareUser) (firmware, error) {
	found := firmware{files: map[string]payload.Entry{}}
	for _, user := range users {
		if err := found.addFor(tree, user); err != nil {
			return firmware{}, fmt.Errorf("firmware of module %s: %w", user.Module, err)
		}
	}
	return found, nil
}

// addFor adds what one module asks for. Many a file is for one old card, or nobody may pass it on, and the driver
// serves other cards without it. But if a driver that does nothing without firmware has none at all, then it is of no
// use on the disc, and the packages have changed.
func (f *firmware) addFor(tree packageFiles, user firmwareUser) error {
	var missing []string
	none := true
	for _, pattern := range user.Files {
		files, err := firmwareNamed(tree, pattern)
		if err != nil {
			return err
		}
		maps.Copy(f.files, files)
		switch {
		case len(files) > 0:
			none = false
		case !isFlashed(pattern):
			missing = append(missing, pattern)
		}
	}
	if none && user.Needs {
		return fmt.Errorf("no package has any of %s: does FirmwarePackages still name the right ones?",
			strings.Join(missing, ", "))
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		f.missing = append(f.missing, user.Module+": "+strings.Join(missing, ", "))
	}
	return nil
}

// firmwareNamed finds the files that a module's pattern matches, by the names that the kernel will look for. Packages
// have links from the name that a driver knows to the version that is current.
func firmwareNamed(tree packageFiles, pattern string) (map[string]payload.Entry, error) {
	if !fs.ValidPath(pattern) {
		return nil, fmt.Errorf("%q is no file below /lib/firmware", pattern)
	}
	paths := []string{path.Join(firmwareFiles, pattern)}
	if strings.ContainsAny(pattern, `*?[\`) {
		matches, err := tree.Glob(paths[0])
		if err != nil {
			return nil, err
		}
		paths = nil
		for _, match := range matches {
			paths = append(paths, match.Path)
		}
	}
	files := map[string]payload.Entry{}
	for _, at := range paths {
		e, err := tree.Lookup(at)
		name := strings.TrimPrefix(at, firmwareFiles+"/")
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case e.Mode.IsRegular() && !isFlashed(name):
			files[name] = e
		}
	}
	return files, nil
}

func isFlashed(name string) bool {
	return slices.ContainsFunc(flashed, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

// addFirmware adds the files where the kernel looks for them, and returns the package of each by its name in
// the image.
func (x *xenFiles) addFirmware(found firmware) (packages map[string]string, err error) {
	packages = map[string]string{}
	for name, e := range found.files {
		at, err := libPath(path.Join(boot.FirmwareDir, name))
		if err != nil {
			return nil, err
		}
		if err := x.addEntry(at, e, 0o644); err != nil {
			return nil, err
		}
		packages[at] = e.Package.Name
	}
	return packages, nil
}
