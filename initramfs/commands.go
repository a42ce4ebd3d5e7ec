package initramfs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb/bbinternal"
	"golang.org/x/tools/go/packages"

	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/toolchain"
)

// uroot is the import path below which u-root's commands live. Those named in the tool block of
// go.mod are on the disc: it is their one list, and it keeps what they need in go.sum.
const uroot = "github.com/u-root/u-root/cmds/"

// registry is the package with which a rewritten command registers itself.
const registry = "github.com/u-root/gobusybox/src/pkg/bb/bbmain"

// urootCommands lists the import paths of u-root's commands in go.mod, sorted: go list has them in another
// order each time.
func urootCommands(ctx context.Context, compiler *toolchain.Toolchain, source string) ([]string, error) {
	out, err := compiler.Run(ctx, source, "list", "tool")
	if err != nil {
		return nil, fmt.Errorf("list u-root's commands: %w", err)
	}
	var commands []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, uroot) {
			commands = append(commands, line)
		}
	}
	slices.Sort(commands)
	return commands, nil
}

// rewriteCommands turns commands, main packages, into packages that can be linked into one program
// (gobusybox does it), each in a directory of its name. It takes ten seconds, so the result is kept.
func (in Inputs) rewriteCommands(ctx context.Context, commands []string) (string, error) {
	code, err := buildcache.Code()
	if err != nil {
		return "", err
	}
	key, err := rewriteKey(code, in.Go.Version, in.Source, commands)
	if err != nil {
		return "", err
	}
	return in.Cache.Entry(commandsKind, key, func(dir string) error { return in.rewrite(ctx, dir, commands) })
}

// rewrite rewrites the commands, each into a directory below dir.
func (in Inputs) rewrite(ctx context.Context, dir string, commands []string) error {
	packages, err := in.loadPackages(ctx, commands)
	if err != nil {
		return fmt.Errorf("read u-root's commands: %w", err)
	}
	for _, p := range packages {
		name := path.Base(p.PkgPath)
		if err := bbinternal.NewPackage(name, p).Rewrite(filepath.Join(dir, name), registry); err != nil {
			return fmt.Errorf("rewrite u-root's command %s: %w", name, err)
		}
	}
	return nil
}

// loadPackages reads the commands with the types of all that they use, as gobusybox does, which does not
// let its caller choose the environment of go list.
func (in Inputs) loadPackages(ctx context.Context, commands []string) ([]*packages.Package, error) {
	list, err := packages.Load(&packages.Config{
		Context: ctx, Dir: in.Source, Env: in.Go.Env(),
		Mode: packages.NeedName | packages.NeedImports | packages.NeedFiles | packages.NeedCompiledGoFiles |
			packages.NeedEmbedFiles | packages.NeedModule | packages.NeedDeps | packages.NeedTypes |
			packages.NeedTypesInfo | packages.NeedSyntax,
	}, commands...)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if len(p.Errors) > 0 {
			return nil, fmt.Errorf("package %s: %w", p.PkgPath, p.Errors[0])
		}
	}
	return list, nil
}

// rewriteKey names what rewriteCommands makes by what it depends on: the sources of the commands, as
// the module's files pin them, and the code that rewrites them.
func rewriteKey(code, compiler, source string, commands []string) (string, error) {
	parts := []string{code, compiler, registry, strings.Join(commands, " ")}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		parts = append(parts, string(text))
	}
	return buildcache.Key(parts...), nil
}

// overlay writes the file for go build's -overlay that shows the compiler the rewritten commands as
// packages of this module, and one more file of cmd/init that imports them. It returns its name.
func overlay(source, dir, rewritten string, commands []string) (string, error) {
	const at = "internal/uroot"
	imports := filepath.Join(dir, "commands.go")
	replace := map[string]string{filepath.Join(source, "cmd/init/commands.go"): imports}
	text := "package main\n\nimport (\n"
	for _, command := range commands {
		name := path.Base(command)
		text += fmt.Sprintf("\t_ %q\n", path.Join(ModulePath, at, name))
		files, err := os.ReadDir(filepath.Join(rewritten, name))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			replace[filepath.Join(source, at, name, f.Name())] = filepath.Join(rewritten, name, f.Name())
		}
	}
	if err := os.WriteFile(imports, []byte(text+")\n"), 0o644); err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, data, 0o644)
}
