package initramfs

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/kmod"
)

// ModulesSpecName is the name of the default list of modules, for error messages.
const ModulesSpecName = "initramfs/modules.txt"

// ModulesSpec is the default list of modules; modules.txt says how it is written.
//
//go:embed modules.txt
var ModulesSpec string

// EarlyModules lie in the initrd outside of every image (boot.EarlyModules).
var EarlyModules = slices.Concat(boot.Stage1Modules, boot.GuestModules)

// ModuleRequest says which modules to select, from where, and where to write them.
type ModuleRequest struct {
	Root     string // of the kernel's modules: .../usr/lib/modules/VERSION
	SpecName string // of the list of modules, for errors
	Spec     string // the list itself; modules.txt says how it is written
	Dir      string // to create; holds kernel/**/*.ko and the index afterwards
	Firmware bool   // the disc carries firmware, and the drivers that do nothing without

	// Whole keeps the modules as they are, signatures included. Without it they are stripped:
	// a quarter less to read, and to keep in dom0's RAM. What is given up: a kernel that enforces
	// signatures (module.sig_enforce, or the lockdown that comes with Secure Boot) refuses them.
	// Debian's kernel does not enforce them by default, and the disc is not booted under Secure
	// Boot: Xen and GRUB come unsigned. The kernel only notes the taint "E" once.
	Whole bool
}

// SelectedModule is one module of a selection.
type SelectedModule struct {
	kmod.Module
	Category      string   // the heading in the list under which it, or what needed it, was selected
	Bytes         int64    // uncompressed, as written
	Firmware      []string // files it may ask for, relative to /lib/firmware; patterns of path.Match
	NeedsFirmware bool     // it does nothing without one of them
	softdeps      []string
}

// ModuleSelection is what SelectModules found and wrote.
type ModuleSelection struct {
	Dir     string
	Modules []SelectedModule // sorted by name
	Builtin []kmod.Builtin
	// Unresolved lists soft dependencies "MODULE: NAME" that nothing selected or built in answers to.
	Unresolved []string
}

// SelectModules resolves the list to modules and all they need, decompresses them into
// request.Dir and writes the index next to them. A pattern that matches nothing is an error that names its line.
func SelectModules(ctx context.Context, request ModuleRequest) (*ModuleSelection, error) {
	tree, err := readModuleTree(request.Root)
	if err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	chosen, err := tree.match(request.SpecName, strings.NewReader(request.Spec), request.Firmware)
	if err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	modules, err := tree.extractAll(ctx, chosen.category, request.Dir, request.Whole)
	if err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	for i, m := range modules {
		modules[i].NeedsFirmware = chosen.needy[m.Name]
	}
	selection := newSelection(request.Dir, modules, tree.builtin)
	if err := writeIndexFile(request.Dir, selection.Modules, selection.Builtin); err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	return selection, nil
}

// newSelection gathers what a caller wants to know of the modules.
func newSelection(dir string, modules []SelectedModule, builtin []kmod.Builtin) *ModuleSelection {
	s := &ModuleSelection{Dir: dir, Modules: modules, Builtin: builtin}
	for _, m := range modules {
		for _, name := range m.softdeps {
			if !s.answers(name) {
				s.Unresolved = append(s.Unresolved, m.Name+": "+name)
			}
		}
	}
	return s
}

// answers reports whether a selected or built-in module has the name or alias.
func (s *ModuleSelection) answers(name string) bool {
	has := func(module string, aliases []string) bool {
		return module == name || slices.ContainsFunc(aliases, func(alias string) bool {
			return kmod.Match(kmod.Normalize(alias), name)
		})
	}
	return slices.ContainsFunc(s.Modules, func(m SelectedModule) bool { return has(m.Name, m.Aliases) }) ||
		slices.ContainsFunc(s.Builtin, func(b kmod.Builtin) bool { return has(b.Name, b.Aliases) })
}

func (s *ModuleSelection) find(name string) (SelectedModule, bool) {
	i, ok := slices.BinarySearchFunc(s.Modules, kmod.Normalize(name), func(m SelectedModule, name string) int {
		return cmp.Compare(m.Name, name)
	})
	if !ok {
		return SelectedModule{}, false
	}
	return s.Modules[i], true
}
