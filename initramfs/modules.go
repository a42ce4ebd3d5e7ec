package initramfs

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/kmod"
)

// ModulesSpecName is the name of the default list of modules, for error messages.
const ModulesSpecName = "initramfs/modules.txt"

// ModulesSpec is the default list of modules; modules.txt says how it is written.
//
//go:embed modules.txt
var ModulesSpec string

// EarlyModules lie in the initrd outside of every image (boot.EarlyModules): stage1's, and what a demo
// guest needs, its network and its disks.
var EarlyModules = slices.Concat(boot.Stage1Modules, []string{"xen_netfront", "xen_blkfront"})

// ModuleRequest says which modules to select, from where, and where to write them.
type ModuleRequest struct {
	Root     string // of the kernel's modules: .../usr/lib/modules/VERSION
	SpecName string // of the list of modules, for errors
	Spec     string // the list itself; modules.txt says how it is written
	Dir      string // to create; holds kernel/**/*.ko and the index afterwards

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
	Category string   // the heading in the list under which it, or what needed it, was selected
	Bytes    int64    // uncompressed, as written
	Firmware []string // files it may ask for
	softdeps []string
}

// ModuleSelection is what SelectModules found and wrote.
type ModuleSelection struct {
	Dir     string
	Modules []SelectedModule // sorted by name
	Builtin []kmod.Builtin

	// Firmware maps each file that selected modules may ask for to those modules. The disc
	// carries none; most drivers do without.
	Firmware map[string][]string
	// Unresolved lists soft dependencies "MODULE: NAME" that nothing selected or built in answers to.
	Unresolved []string
}

// SelectModules resolves the list to modules and all they need, decompresses them into
// request.Dir and writes the index beside them. The directory appears at the end, complete, or
// not at all, so that a caller can keep it as a cache. A pattern that matches nothing is an
// error that names its line.
func SelectModules(ctx context.Context, request ModuleRequest) (*ModuleSelection, error) {
	tree, err := readModuleTree(request.Root)
	if err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	chosen, err := tree.match(request.SpecName, strings.NewReader(request.Spec))
	if err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	partial := request.Dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	defer os.RemoveAll(partial)
	modules, err := tree.extractAll(ctx, chosen, partial, request.Whole)
	if err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	selection := newSelection(request.Dir, modules, tree.builtin)
	if err := writeIndexFile(partial, selection.Modules, selection.Builtin); err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	if err := os.Rename(partial, request.Dir); err != nil {
		return nil, fmt.Errorf("select modules: %w", err)
	}
	return selection, nil
}

// moduleTree is what there is to select from.
type moduleTree struct {
	root    string
	files   map[string]string // path below root without .ko*, by module name
	order   map[string]int    // rank in modules.order by module name
	builtin []kmod.Builtin
}

// readModuleTree lists the modules below root. It does without depmod's files, which Debian's
// packages do not contain: the package's postinst makes them.
func readModuleTree(root string) (*moduleTree, error) {
	tree := &moduleTree{root: root, files: map[string]string{}, order: map[string]int{}}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return tree.add(name)
	})
	if err != nil {
		return nil, err
	}
	if len(tree.files) == 0 {
		return nil, fmt.Errorf("no .ko or .ko.xz files below %s: is the kernel's package unpacked there?", root)
	}
	order, err := os.ReadFile(filepath.Join(root, "modules.order"))
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(order), "\n") {
		tree.order[moduleName(line)] = i
	}
	builtin, err := os.ReadFile(filepath.Join(root, "modules.builtin.modinfo"))
	if err != nil {
		return nil, err
	}
	tree.builtin = kmod.ParseBuiltin(string(builtin))
	return tree, nil
}

// add takes the file in if it is a module.
func (t *moduleTree) add(file string) error {
	if !strings.HasSuffix(file, ".ko") && !strings.HasSuffix(file, ".ko.xz") {
		return nil
	}
	relative, err := filepath.Rel(t.root, file)
	if err != nil {
		return err
	}
	name := moduleName(relative)
	if other, ok := t.files[name]; ok {
		return fmt.Errorf("two modules %s: %s and %s", name, other, relative)
	}
	t.files[name] = filepath.ToSlash(relative)
	return nil
}

// moduleName is the name of the module in the given file.
func moduleName(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return kmod.Normalize(base)
}

// match resolves the list: the category of each module it names, by module name.
func (t *moduleTree) match(name string, spec io.Reader) (map[string]string, error) {
	chosen := map[string]string{}
	category := ""
	lines := bufio.NewScanner(spec)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(text)
		if heading, ok := strings.CutPrefix(text, "["); ok {
			category = strings.TrimSuffix(heading, "]")
			continue
		}
		if text == "" {
			continue
		}
		if err := t.apply(text, category, chosen); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
	}
	return chosen, lines.Err()
}

// apply adds to chosen what the pattern matches or, after "!", takes it out again.
func (t *moduleTree) apply(pattern, category string, chosen map[string]string) error {
	positive, exclude := strings.CutPrefix(pattern, "!")
	expression, err := compileModulePattern(positive)
	if err != nil {
		return err
	}
	matched := false
	for name, file := range t.files {
		if !expression.MatchString(modulePath(file, positive)) {
			continue
		}
		_, has := chosen[name]
		switch {
		case exclude && has:
			delete(chosen, name)
			matched = true
		case !exclude:
			chosen[name] = cmp.Or(chosen[name], category)
			matched = true
		}
	}
	switch {
	case matched:
		return nil
	case exclude:
		return fmt.Errorf("%q takes out nothing that was selected above it; remove the line", pattern)
	}
	return fmt.Errorf("%q matches no module of this kernel; correct or remove the line", pattern)
}

// modulePath is what a pattern is compared with: the module's path below kernel/ or, where the
// pattern has no slash, the module's name alone.
func modulePath(file, pattern string) string {
	if !strings.Contains(pattern, "/") {
		return moduleName(file)
	}
	return path.Join(path.Dir(strings.TrimPrefix(file, "kernel/")), moduleName(file))
}

// compileModulePattern translates a pattern: "**" matches across directories, "*" within a name.
func compileModulePattern(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || strings.ContainsAny(pattern, " \t!") {
		return nil, fmt.Errorf("%q is not a pattern: want one path with * or **, or one module name", pattern)
	}
	dir, base := path.Split(pattern)
	quoted := regexp.QuoteMeta(dir + kmod.Normalize(base))
	quoted = strings.ReplaceAll(quoted, `\*\*`, `.+`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
	return regexp.Compile("^" + quoted + "$")
}

// extractAll extracts the chosen modules and, round by round, what those need.
func (t *moduleTree) extractAll(ctx context.Context, chosen map[string]string, dir string, whole bool) ([]SelectedModule, error) {
	done := map[string]SelectedModule{}
	for todo := chosen; len(todo) > 0; {
		round, err := t.extractRound(ctx, todo, dir, whole)
		if err != nil {
			return nil, err
		}
		for _, m := range round {
			done[m.Name] = m
		}
		todo = map[string]string{}
		for _, m := range round {
			for _, need := range slices.Concat(m.Deps, m.softdeps) {
				if _, ok := done[need]; !ok && t.files[need] != "" && todo[need] == "" {
					todo[need] = m.Category
				}
			}
		}
	}
	return closeDependencies(done)
}

// extractRound extracts the given modules in parallel; the result is sorted by name.
func (t *moduleTree) extractRound(ctx context.Context, todo map[string]string, dir string, whole bool) ([]SelectedModule, error) {
	names := slices.Sorted(maps.Keys(todo))
	modules := make([]SelectedModule, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, name := range names {
		group.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			modules[i], err = t.extract(name, dir, whole)
			modules[i].Category = todo[name]
			return err
		})
	}
	return modules, group.Wait()
}

// extract writes one module uncompressed below dir and reads what it says about itself.
func (t *moduleTree) extract(name, dir string, whole bool) (SelectedModule, error) {
	file := t.files[name]
	data, err := readModule(filepath.Join(t.root, file))
	if err != nil {
		return SelectedModule{}, fmt.Errorf("module %s: %w", file, err)
	}
	info, err := kmod.ReadModinfo(bytes.NewReader(data))
	if err != nil {
		return SelectedModule{}, fmt.Errorf("module %s: %w", file, err)
	}
	if !whole {
		if data, err = kmod.Strip(data); err != nil {
			return SelectedModule{}, fmt.Errorf("module %s: %w", file, err)
		}
	}
	file = strings.TrimSuffix(file, ".xz")
	if err := writeModule(filepath.Join(dir, file), data); err != nil {
		return SelectedModule{}, err
	}
	return SelectedModule{
		Module: kmod.Module{
			Name: name, Order: t.order[name], Path: file,
			Deps: info.Depends, Pre: info.Pre, Post: info.Post, Aliases: info.Aliases,
		},
		Bytes:    int64(len(data)),
		Firmware: info.Firmware,
		softdeps: slices.Concat(info.Pre, info.Post),
	}, nil
}

// readModule reads a module's file into memory, where it takes a few megabytes at most.
func readModule(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if !strings.HasSuffix(name, ".xz") {
		return io.ReadAll(file)
	}
	plain, err := xz.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	data, err := io.ReadAll(plain)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return data, nil
}

func writeModule(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

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

// newSelection gathers what a caller wants to know of the modules.
func newSelection(dir string, modules []SelectedModule, builtin []kmod.Builtin) *ModuleSelection {
	s := &ModuleSelection{Dir: dir, Modules: modules, Builtin: builtin, Firmware: map[string][]string{}}
	for _, m := range modules {
		for _, file := range m.Firmware {
			s.Firmware[file] = append(s.Firmware[file], m.Name)
		}
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
				return fmt.Errorf("module %s needs %s, which stage1 does not load before it: name it in boot.Stage1Modules", name, need)
			}
		}
	}
	return nil
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
