package payload

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/elfdeps"
)

// toolDirs is where Tool looks for a program.
var toolDirs = []string{"/usr/bin", "/usr/sbin"}

// Tool prepares a run of one of the payload's programs, named by its file name or its absolute path in
// the tree. It is started by the payload's own dynamic loader with the payload's libraries, so that it
// does the same on every host. Its environment is LC_ALL=C, TZ=UTC, a PATH for what it may start, TMPDIR
// and SOURCE_DATE_EPOCH, which is the caller's or else 0; append to Cmd.Env to override.
func (t *Tree) Tool(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	program, closure, err := t.toolFiles(name)
	if err != nil {
		return nil, err
	}
	argv := args
	command := t.hostPath(program)
	if closure.Interpreter != nil {
		argv = append([]string{"--inhibit-cache", "--library-path", t.libraryPath(closure), command}, args...)
		command = t.hostPath(closure.Interpreter.Path)
	}
	cmd := exec.CommandContext(ctx, command, argv...)
	cmd.Env = []string{
		"LC_ALL=C",
		"TZ=UTC",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"TMPDIR=" + os.TempDir(),
		"SOURCE_DATE_EPOCH=" + cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "0"),
	}
	return cmd, nil
}

// ToolPackages are the packages that decide what a tool does: those of the program and of its libraries, sorted.
func (t *Tree) ToolPackages(name string) ([]Package, error) {
	program, closure, err := t.toolFiles(name)
	if err != nil {
		return nil, err
	}
	files := []string{program}
	for _, lib := range closure.Libraries {
		files = append(files, lib.Path)
	}
	if closure.Interpreter != nil {
		files = append(files, closure.Interpreter.Path)
	}
	byName := map[string]Package{}
	for _, file := range files {
		e, err := t.Lookup(file)
		if err != nil {
			return nil, err
		}
		byName[e.Package.Name] = *e.Package
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b Package) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// toolFiles are the path of a tool and what it is linked against.
func (t *Tree) toolFiles(name string) (program string, closure *elfdeps.Result, err error) {
	if program, err = t.findTool(name); err != nil {
		return "", nil, err
	}
	if closure, err = elfdeps.Closure(t, program); err != nil {
		return "", nil, fmt.Errorf("run %s: %w", name, err)
	}
	return program, closure, nil
}

func (t *Tree) findTool(name string) (string, error) {
	candidates := []string{name}
	if !path.IsAbs(name) {
		candidates = nil
		for _, dir := range toolDirs {
			candidates = append(candidates, path.Join(dir, name))
		}
	}
	for _, c := range candidates {
		if real, _, ok := t.Find(c); ok {
			return real, nil
		}
	}
	return "", fmt.Errorf("run %s: in no package of the payload: %w", name, fs.ErrNotExist)
}

// libraryPath lists the directories the libraries are in.
func (t *Tree) libraryPath(c *elfdeps.Result) string {
	var dirs []string
	seen := map[string]bool{}
	for _, lib := range c.Libraries {
		if dir := path.Dir(lib.Link); !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, t.hostPath(dir))
		}
	}
	return strings.Join(dirs, ":")
}

// hostPath is where a path of the tree is below Root.
func (t *Tree) hostPath(p string) string { return filepath.Join(t.root, filepath.FromSlash(p)) }
