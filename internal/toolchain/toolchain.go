// Package toolchain provides the one Go that compiles the disc's programs: the release in go.mod's
// toolchain line, in the form in which the Go project publishes it for the go command (module
// golang.org/toolchain, go.dev/ref/mod#toolchains). The checksum database vouches for its bytes.
//
// The Go of this machine only fetches it, once, into the module cache. It never compiles, not even when it
// has the same version number: distributions mend their Go without changing its version, and one
// different instruction in the runtime is another disc.
package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// Toolchain is a Go that is ready to run.
type Toolchain struct {
	Version string // as in go.mod: "go1.26.8"

	program string   // its go command
	env     []string // of every run
}

// Open finds the toolchain that go.mod in the directory source asks for, and fetches it when the module
// cache lacks it.
func Open(ctx context.Context, source string) (*Toolchain, error) {
	version, err := Pinned(source)
	if err != nil {
		return nil, err
	}
	root, err := download(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("fetch the compiler %s: %w", version, err)
	}
	if err := makeExecutable(root); err != nil {
		return nil, fmt.Errorf("prepare the compiler %s: %w", version, err)
	}
	settings, err := hostSettings(ctx)
	if err != nil {
		return nil, err
	}
	return &Toolchain{
		Version: version,
		program: filepath.Join(root, "bin", "go"),
		env:     environment(os.Environ(), settings),
	}, nil
}

// Pinned is the release that go.mod in the directory source asks for.
func Pinned(source string) (string, error) {
	name := filepath.Join(source, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("find the compiler's version: %w", err)
	}
	mod, err := modfile.Parse(name, text, nil)
	if err != nil {
		return "", fmt.Errorf("find the compiler's version: %w", err)
	}
	if mod.Toolchain == nil || !strings.HasPrefix(mod.Toolchain.Name, "go1.") {
		return "", fmt.Errorf("find the compiler's version: %s has no line \"toolchain go1.N.N\"", name)
	}
	return mod.Toolchain.Name, nil
}

// CheckSelf refuses to go on when this program was compiled by another Go than the pinned one: what the
// standard library compresses, for one, differs between releases.
func CheckSelf(pinned string) error { return checkCompiler(runtime.Version(), pinned) }

func checkCompiler(version, pinned string) error {
	if version == pinned {
		return nil
	}
	return fmt.Errorf("this mkiso was compiled by %s, and a disc is the same everywhere only with %s (go.mod): "+
		"start it as scripts/with-go go run ./cmd/mkiso", version, pinned)
}

// Run runs the go command in the directory dir and returns its standard output.
func (t *Toolchain) Run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Dir = dir
	cmd.Env = t.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(string(out)+stderr.String()))
	}
	return string(out), nil
}

// Env is the environment for a library that starts whatever go is in PATH: that one hands over to Version.
func (t *Toolchain) Env() []string { return append(slices.Clone(t.env), "GOTOOLCHAIN="+t.Version) }

// download brings the toolchain into the module cache and returns its directory there. It runs outside
// of every module, and what go.mod of the current one asks for does not matter.
func download(ctx context.Context, version string) (string, error) {
	module := fmt.Sprintf("golang.org/toolchain@v0.0.1-%s.%s-%s", version, runtime.GOOS, runtime.GOARCH)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	var got struct{ Dir, Error string }
	if parseErr := json.Unmarshal(out, &got); got.Error != "" {
		err = errors.New(got.Error)
	} else if err == nil {
		err = parseErr
	}
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w", module, err)
	}
	return got.Dir, nil
}

// makeExecutable makes programs of the files that are programs: a module carries no permissions.
func makeExecutable(root string) error {
	for _, pattern := range []string{"bin/*", "pkg/tool/*/*"} {
		programs, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		if len(programs) == 0 {
			return fmt.Errorf("no programs %s in %s", pattern, root)
		}
		for _, name := range programs {
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			if info.Mode()&0o111 == 0o111 {
				continue
			}
			if err := os.Chmod(name, info.Mode()|0o111); err != nil {
				return err
			}
		}
	}
	return nil
}
