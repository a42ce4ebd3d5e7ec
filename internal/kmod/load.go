package kmod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNotFound is wrapped by the error for a name or alias that no module has.
var ErrNotFound = errors.New("no such module")

// ErrBlacklisted is wrapped by the error for a module that module_blacklist= forbids.
var ErrBlacklisted = errors.New("forbidden by module_blacklist= on the kernel command line, or in modprobe.d")

// Loader loads modules of one directory into the running kernel. It is safe for concurrent use: it
// loads a module once, however many callers ask for it, and independent modules in parallel.
type Loader struct {
	Problems []error // what was not understood in the settings that it works by

	root   string
	index  *Index
	params Params

	insert func(path, options string) error // finit_module; tests replace it
	live   func(name string) bool           // whether the kernel has the module; tests replace it

	mu    sync.Mutex
	calls map[string]*call // modules loaded or being loaded, without those that failed
}

// call is the loading of one module; err is valid once done is closed.
type call struct {
	done chan struct{}
	err  error
}

// NewLoader returns a loader for the modules below root that index describes.
func NewLoader(root string, index *Index, params Params) *Loader {
	return &Loader{
		root: root, index: index, params: params,
		insert: finitModule, live: moduleLive,
		calls: map[string]*call{},
	}
}

// Load loads the module called nameOrAlias, or else every module with an alias that matches, each
// after the modules it needs. Soft dependencies are loaded before or after it, as the module says; it
// is no error if they fail or do not exist. Options ("name=value") go to the modules asked for, after
// those of the kernel command line. The error wraps ErrNotFound if no module has the name, and
// unix.ENODEV if a module found no device to drive. If nameOrAlias is an alias, modules that
// modprobe.blacklist= names are left out silently.
func (l *Loader) Load(ctx context.Context, nameOrAlias string, options ...string) error {
	targets, err := l.targets(nameOrAlias)
	if err != nil || len(targets) == 0 {
		return err
	}
	return l.run(ctx, targets, options)
}

// LoadAll loads the named modules in parallel and returns the errors of those that failed.
func (l *Loader) LoadAll(ctx context.Context, names ...string) error {
	errs := make([]error, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { errs[i] = l.Load(ctx, name) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// targets resolves nameOrAlias to the modules to load; none if they are built in.
func (l *Loader) targets(nameOrAlias string) ([]Module, error) {
	modules, known := l.index.Resolve(nameOrAlias)
	if !known {
		return nil, fmt.Errorf("load module %s: %w", nameOrAlias, ErrNotFound)
	}
	if len(modules) == 1 && modules[0].Name == Normalize(nameOrAlias) {
		return modules, nil
	}
	kept := modules[:0]
	for _, m := range modules {
		if !l.params.blacklist[m.Name] && !l.params.denied[m.Name] {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// plan lists what to load so that the targets work, in order: each module once, after the modules it
// needs and its soft dependencies "pre", and before those "post". A flat list cannot deadlock,
// however soft dependencies refer to each other.
func (l *Loader) plan(targets []Module) []Module {
	x := l.index
	var steps []Module
	seen := map[string]bool{}
	var visit func(m Module)
	soft := func(names []string) {
		for _, name := range names {
			modules, _ := x.Resolve(name)
			for _, m := range modules {
				visit(m)
			}
		}
	}
	visit = func(m Module) {
		if seen[m.Name] {
			return
		}
		seen[m.Name] = true
		more := l.params.softDeps[m.Name]
		soft(m.Pre)
		soft(more.pre)
		for _, name := range m.Deps {
			if dep, ok := x.Module(name); ok {
				visit(dep)
			}
		}
		steps = append(steps, m)
		soft(m.Post)
		soft(more.post)
	}
	for _, m := range targets {
		visit(m)
	}
	return steps
}

// run loads the targets and their dependencies in order, and returns the targets' errors.
func (l *Loader) run(ctx context.Context, targets []Module, options []string) error {
	var errs []error
	failed := map[string]error{}
	for _, m := range l.plan(targets) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("load module %s: %w", m.Name, err)
		}
		target := slices.ContainsFunc(targets, func(t Module) bool { return t.Name == m.Name })
		extra := options
		if !target {
			extra = nil
		}
		err := needs(m, failed)
		if err == nil {
			err = l.once(ctx, m, extra)
		}
		if err == nil {
			continue
		}
		failed[m.Name] = err
		if target {
			errs = append(errs, fmt.Errorf("load module %s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// needs returns the error of the first module that m needs and that failed.
func needs(m Module, failed map[string]error) error {
	for _, dep := range m.Deps {
		if err := failed[dep]; err != nil {
			return fmt.Errorf("needs %s: %w", dep, err)
		}
	}
	return nil
}

// once loads m unless it is loaded already. If another goroutine is loading it, once waits for that.
func (l *Loader) once(ctx context.Context, m Module, options []string) error {
	l.mu.Lock()
	running, ok := l.calls[m.Name]
	if !ok {
		running = &call{done: make(chan struct{})}
		l.calls[m.Name] = running
	}
	l.mu.Unlock()
	if ok {
		select {
		case <-running.done:
			return running.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	running.err = l.loadFile(m, options)
	if running.err != nil { // try again when a device appears that it can drive
		l.mu.Lock()
		delete(l.calls, m.Name)
		l.mu.Unlock()
	}
	close(running.done)
	return running.err
}

// loadFile loads m alone.
func (l *Loader) loadFile(m Module, options []string) error {
	if l.params.denied[m.Name] {
		return ErrBlacklisted
	}
	if l.params.skipped[m.Name] {
		return nil
	}
	if l.live(m.Name) {
		return nil
	}
	all := slices.Concat(l.params.options[m.Name], options)
	err := l.insert(filepath.Join(l.root, m.Path), strings.Join(all, " "))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// moduleLive reports whether the kernel has loaded and initialised the module.
func moduleLive(name string) bool {
	state, err := os.ReadFile("/sys/module/" + name + "/initstate")
	return err == nil && string(state) == "live\n"
}

// finitModule passes the module's file to the kernel, which reads it from the page cache: this process
// makes no copy of it.
func finitModule(path, options string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		err = unix.FinitModule(int(file.Fd()), options, 0)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("finit_module %s: %w", path, err)
	}
	return nil
}
