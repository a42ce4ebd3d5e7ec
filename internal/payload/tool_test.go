package payload

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/elfdeps"
)

// hostTree is this machine as a tree, to borrow a program from.
type hostTree struct{}

func (hostTree) Find(name string) (real, host string, ok bool) {
	real, err := filepath.EvalSymlinks(name)
	return real, real, err == nil
}

// TestTool packs this machine's env with its libraries and has the payload run it.
func TestTool(t *testing.T) {
	env, err := exec.LookPath("env")
	if err != nil {
		t.Skip(err)
	}
	closure, err := elfdeps.Closure(hostTree{}, env)
	if err != nil || closure.Interpreter == nil {
		t.Skipf("env is no dynamic program for x86-64: %v", err)
	}
	deb := testDeb{"env", "1", "Depends: libs, other\n", map[string]string{"usr/bin/env": read(t, env)}}
	libs := testDeb{"libs", "1", "", map[string]string{}}
	for _, lib := range append(closure.Libraries, *closure.Interpreter) {
		libs.files[usrMerged(lib.Link)[1:]] = read(t, lib.Host)
	}
	other := testDeb{"other", "1", "", map[string]string{"usr/share/other": ""}}
	tree := mustLoad(t, newRepo(t, deb, libs, other).options(), "env")

	t.Setenv("SOURCE_DATE_EPOCH", "1234")
	t.Setenv("SECRET", "of the host")
	cmd, err := tree.Tool(t.Context(), "env", "A=argument")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(cmd.Path, tree.Root()) {
		t.Errorf("loader is %s", cmd.Path)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	vars := strings.Split(string(out), "\n")
	for _, want := range []string{"LC_ALL=C", "SOURCE_DATE_EPOCH=1234", "A=argument"} {
		if !slices.Contains(vars, want) {
			t.Errorf("no %s in %v", want, vars)
		}
	}
	if strings.Contains(string(out), "SECRET") {
		t.Error("the host's environment is passed on")
	}
	var names []string
	packages, err := tree.ToolPackages("env")
	for _, p := range packages {
		names = append(names, p.Name)
	}
	if want := []string{"env", "libs"}; !slices.Equal(names, want) || err != nil {
		t.Errorf("env depends on the packages %q, %v, want %q", names, err, want)
	}
	if _, err := tree.Tool(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing tool: %v", err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
