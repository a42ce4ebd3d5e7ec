package initramfs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"

	"github.com/zerodisc/zerodisc/internal/kmod"
)

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

// extractAll extracts the chosen modules and, round by round, what those need.
func (t *moduleTree) extractAll(
	ctx context.Context, chosen map[string]string, dir string, whole bool,
) ([]SelectedModule, error) {
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
func (t *moduleTree) extractRound(
	ctx context.Context, todo map[string]string, dir string, whole bool,
) ([]SelectedModule, error) {
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
