//go:build vm

package vm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// built is an image and a netboot tree from one build.
type built struct{ iso, netboot string }

// build runs the mkiso of the sources at dir, held to the lock file, with no network. What it makes on its
// way is below cache; environment is for it alone.
func build(t *testing.T, dir, cache, lock string, environment ...string) built {
	t.Helper()
	out := t.TempDir()
	program := filepath.Join(out, "mkiso")
	compile := exec.Command("go", "build", "-o", program, "./cmd/mkiso")
	compile.Dir = dir
	if log, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compile, err, log)
	}
	b := built{filepath.Join(out, "zerodisc.iso"), filepath.Join(out, "netboot")}
	cmd := exec.Command("sh", "-c", `umask "$UMASK" && exec "$0" "$@"`, program,
		"-offline", "-cache", cache, "-lock", lock, "-o", b.iso, "-netboot", b.netboot)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), environment...)
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, log)
	}
	return b
}

// sums are those of the image and of every file of the netboot tree, which is all of it that a server hands
// out.
func (b built) sums(t *testing.T) map[string]string {
	t.Helper()
	sums := map[string]string{"zerodisc.iso": sum(t, b.iso)}
	err := fs.WalkDir(os.DirFS(b.netboot), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			sums["netboot/"+name] = sum(t, filepath.Join(b.netboot, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// olderGo fetches a Go that is older than the one that go.mod pins and returns the directory of its go command.
func olderGo(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.Dir = "/" // outside of this module, which would want its own
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=go1.26.0")
	root, err := cmd.Output()
	if err != nil {
		t.Fatalf("fetch another Go: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "bin")
}

func sum(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// TestReproducible builds the sources a second time: in another folder, with nothing compiled, unpacked or
// compressed before, for another user in another place, who has another Go.
func TestReproducible(t *testing.T) {
	t.Parallel()
	source, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(t.TempDir(), "zerodisc.lock")
	cache := filepath.Join(source, "build", "cache")
	first := build(t, source, cache, lock, "UMASK=022", "TZ=UTC")

	other := t.TempDir()
	clone := filepath.Join(other, "a folder", "zerodisc")
	entries, err := os.ReadDir(source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(clone, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "build" {
			tool(t, "cp", "-a", filepath.Join(source, e.Name()), clone)
		}
	}
	fresh := filepath.Join(other, "cache")
	if err := os.MkdirAll(filepath.Join(fresh, "payload"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"apt", "debs", "resolutions"} { // what was downloaded
		tool(t, "cp", "-a", filepath.Join(cache, "payload", name), filepath.Join(fresh, "payload"))
	}
	second := build(t, clone, fresh, lock, "UMASK=077", "TZ=Pacific/Auckland", "LC_ALL=C.UTF-8", "USER=somebody",
		"GOCACHE="+filepath.Join(other, "go"), "PATH="+olderGo(t)+":"+os.Getenv("PATH"),
		"GOTOOLCHAIN=local", "GOAMD64=v3")

	want, got := first.sums(t), second.sums(t)
	if len(want) != len(got) {
		t.Errorf("%d files, then %d", len(want), len(got))
	}
	for name := range want {
		if want[name] != got[name] {
			t.Errorf("%s is not the same", name)
		}
	}
	if !t.Failed() {
		return
	}
	for _, name := range []string{"SHA256SUMS", "BUILT"} {
		a := tool(t, "isoinfo", "-i", first.iso, "-R", "-x", "/"+name)
		b := tool(t, "isoinfo", "-i", second.iso, "-R", "-x", "/"+name)
		lines := map[string]bool{}
		for line := range bytes.Lines([]byte(a)) {
			lines[string(line)] = true
		}
		for line := range bytes.Lines([]byte(b)) {
			if !lines[string(line)] {
				t.Logf("only in the second %s: %s", name, line)
			}
		}
	}
}
