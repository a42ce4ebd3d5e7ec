package toolchain

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// writeMod writes a go.mod with the text behind its first lines and returns its directory.
func writeMod(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n\ngo 1.26.0\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPinned(t *testing.T) {
	for text, want := range map[string]string{
		"toolchain go1.26.8\n":             "go1.26.8",
		"// toolchain go1.26.8\n":          "",
		"":                                 "",
		"toolchain default\n":              "",
		"toolchain go1.27.1 // see docs\n": "go1.27.1",
	} {
		got, err := Pinned(writeMod(t, text))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := Pinned(t.TempDir()); err == nil {
		t.Error("no error without a go.mod")
	}
}

func TestCheckCompiler(t *testing.T) {
	if err := checkCompiler("go1.26.8", "go1.26.8"); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"go1.26.0", "go1.27.1", "go1.26.8 X:boringcrypto", "devel go1.27-abc"} {
		if err := checkCompiler(other, "go1.26.8"); err == nil || !strings.Contains(err.Error(), "scripts/with-go") {
			t.Errorf("compiled by %s: %v", other, err)
		}
	}
	if err := CheckSelf(runtime.Version()); err != nil {
		t.Error(err)
	}
}

// TestEnvironment has nothing that a person may have set reach the compiler, but for where modules come from.
func TestEnvironment(t *testing.T) {
	hostile := []string{
		"PATH=/bin", "HOME=/root", "https_proxy=http://proxy.test",
		"GOFLAGS=-tags=mine", "GOEXPERIMENT=jsonv2", "GOFIPS140=latest", "GOROOT=/opt/go",
		"GOWORK=/src/go.work", "GOENV=/etc/goenv",
		"GOAMD64=v3", "CGO_ENABLED=1", "CGO_CFLAGS=-O0", "GO_EXTLINK_ENABLED=1", "GOTOOLCHAIN=go1.27.1", "GOPROXY=off",
	}
	got := environment(hostile, map[string]string{"GOPROXY": "https://modules.test", "GOPRIVATE": ""})
	want := []string{
		"PATH=/bin", "HOME=/root", "https_proxy=http://proxy.test", "GOPROXY=https://modules.test",
		"CGO_ENABLED=0", "GOAMD64=v1", "GOARCH=amd64",
		"GOENV=off", "GOFLAGS=-buildvcs=false", "GOOS=linux", "GOTOOLCHAIN=local", "GOWORK=off",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
