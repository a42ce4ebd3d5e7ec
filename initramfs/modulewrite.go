package initramfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/zerodisc/zerodisc/internal/kmod"
)

// WriteSubset writes the named modules of the selection, and those they need, flat into dir,
// with an index of their own: what an initrd carries as plain files (boot.EarlyModules).
func (s *ModuleSelection) WriteSubset(dir string, names ...string) error {
	wanted := map[string]bool{}
	for _, name := range names {
		m, ok := s.find(name)
		if !ok {
			return fmt.Errorf("write modules to %s: %s is not selected; add it to %s", dir, name, ModulesSpecName)
		}
		wanted[m.Name] = true
		for _, dep := range m.Deps {
			wanted[dep] = true
		}
	}
	var subset []SelectedModule
	for _, m := range s.Modules {
		if !wanted[m.Name] {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.Dir, m.Path))
		if err != nil {
			return fmt.Errorf("write modules to %s: %w", dir, err)
		}
		m.Path = path.Base(m.Path)
		if err := writeModule(filepath.Join(dir, m.Path), data); err != nil {
			return fmt.Errorf("write modules to %s: %w", dir, err)
		}
		subset = append(subset, m)
	}
	return writeIndexFile(dir, subset, s.Builtin)
}

// writeIndexFile writes the index of the modules into dir.
func writeIndexFile(dir string, selected []SelectedModule, builtin []kmod.Builtin) (err error) {
	modules := make([]kmod.Module, 0, len(selected))
	for _, m := range selected {
		modules = append(modules, m.Module)
	}
	file, err := os.Create(filepath.Join(dir, kmod.IndexName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return kmod.WriteIndex(file, modules, builtin)
}
