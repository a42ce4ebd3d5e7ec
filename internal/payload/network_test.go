package payload

import (
	"cmp"
	"log/slog"
	"os"
	"path"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/elfdeps"
)

// usualRoots are about what a disc is made of.
var usualRoots = []string{
	"xen-system-amd64", "linux-image-amd64", "grub-pc-bin", "grub-efi-amd64-bin",
	"memtest86+", "squashfs-tools", "zstd", "ipxe",
}

// TestNetwork does the real thing: cold, warm, offline. It downloads 150 MB into ZERODISC_CACHE, or
// into a cache of its own.
func TestNetwork(t *testing.T) {
	if os.Getenv("ZERODISC_NETWORK") != "1" {
		t.Skip("set ZERODISC_NETWORK=1 to download packages of Debian")
	}
	opts := Options{
		Cache:  newCache(t, cmp.Or(os.Getenv("ZERODISC_CACHE"), t.TempDir())),
		Mirror: os.Getenv("ZERODISC_MIRROR"),
		Log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	tree := timedLoad(t, "first", opts)
	timedLoad(t, "warm", opts)
	opts.Offline = true
	timedLoad(t, "offline", opts)
	for _, p := range tree.Resolution.Packages {
		t.Logf("%9d %s, from %v", p.Size, p, p.Sources)
	}
	xen, err := tree.Glob("/usr/lib/xen-*/bin/xl")
	if err != nil || len(xen) != 1 {
		t.Fatalf("xl: %v, %v", xen, err)
	}
	bin := path.Dir(xen[0].Path)
	closure, err := elfdeps.Closure(tree,
		path.Join(bin, "xl"), path.Join(bin, "xenstored"), path.Join(bin, "xenconsoled"))
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range closure.Libraries {
		t.Log(lib.Link, lib.Path)
	}
	runVersion(t, tree, "grub-mkimage", "--version")
	runVersion(t, tree, "mksquashfs", "-version")
	runVersion(t, tree, "zstd", "--version")
}

func timedLoad(t *testing.T, what string, opts Options) *Tree {
	t.Helper()
	start := time.Now()
	reports := map[string]int{}
	opts.Progress = func(p Progress) { reports[p.Step]++ }
	tree, err := Load(t.Context(), opts, usualRoots...)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	t.Logf("%s: %d packages, %.1f MB, %d files in %v, progress %v", what, len(tree.Resolution.Packages),
		float64(tree.Resolution.Size())/1e6, len(tree.paths), time.Since(start).Round(time.Millisecond), reports)
	return tree
}

func runVersion(t *testing.T, tree *Tree, tool, arg string) {
	t.Helper()
	cmd, err := tree.Tool(t.Context(), tool, arg)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", tool, err, out)
	}
	t.Logf("%s: %.80q", tool, out)
}
