package initramfs

import (
	"fmt"
	"maps"
	"slices"
)

// closeDependencies turns each module's direct dependencies into all of them in load order,
// and returns the modules sorted by name.
func closeDependencies(direct map[string]SelectedModule) ([]SelectedModule, error) {
	closed := map[string][]string{}
	active := map[string]bool{}
	var visit func(name, from string) error
	visit = func(name, from string) error {
		m, ok := direct[name]
		switch {
		case !ok:
			return fmt.Errorf("module %s needs %s, which the kernel's package does not have", from, name)
		case active[name]:
			return fmt.Errorf("module %s and %s need each other", from, name)
		case closed[name] != nil:
			return nil
		}
		active[name] = true
		all := []string{}
		for _, dep := range m.Deps {
			if err := visit(dep, name); err != nil {
				return err
			}
			for _, need := range append(slices.Clone(closed[dep]), dep) {
				if !slices.Contains(all, need) {
					all = append(all, need)
				}
			}
		}
		active[name] = false
		closed[name] = all
		return nil
	}
	var modules []SelectedModule
	for _, name := range slices.Sorted(maps.Keys(direct)) {
		if err := visit(name, ""); err != nil {
			return nil, err
		}
		m := direct[name]
		m.Deps = closed[name]
		modules = append(modules, m)
	}
	return modules, nil
}

// checkOrder refuses modules that do not load one after the other in the given order, because one needs
// another that is not named before it.
func (s *ModuleSelection) checkOrder(names ...string) error {
	for i, name := range names {
		m, ok := s.find(name)
		if !ok {
			return fmt.Errorf("module %s is not selected; add it to %s", name, ModulesSpecName)
		}
		for _, need := range m.Deps {
			if !slices.Contains(names[:i], need) {
				return fmt.Errorf("module %s needs %s, which stage1 does not load before it: "+
					"name it in boot.Stage1Modules", name, need)
			}
		}
	}
	return nil
}
