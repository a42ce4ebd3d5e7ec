package payload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// noProxy keeps apt from asking a proxy of this machine's for a test's own server.
func noProxy(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "apt-config"), "#!/bin/sh\n")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("no_proxy", "127.0.0.1")
}

// serve puts the archive behind HTTP. A file whose path ends in suffix breaks off in the middle: the
// server hangs up, or sends nothing more until the test ends.
func (r *repo) serve(suffix string, hangUp bool) Options {
	r.t.Helper()
	ended := make(chan struct{})
	files := http.FileServer(http.Dir(r.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, suffix) {
			files.ServeHTTP(w, req)
			return
		}
		raw, err := os.ReadFile(filepath.Join(r.dir, req.URL.Path))
		if err != nil {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		w.Write(raw[:len(raw)/2])
		http.NewResponseController(w).Flush()
		if !hangUp {
			<-ended
		}
		panic(http.ErrAbortHandler)
	}))
	r.t.Cleanup(server.Close)
	r.t.Cleanup(func() { close(ended) }) // before the server waits for its handlers
	opts := r.options()
	opts.Mirror = server.URL + "/debian"
	opts.timeout = 4 * time.Second // much more than apt is silent for on a busy machine
	return opts
}

func TestMirrorStopsInTheMiddle(t *testing.T) {
	tests := []struct{ name, suffix, step string }{
		{"index", "trixie/main/binary-amd64/Packages.gz", "fetch package index"},
		{"signature", "trixie/InRelease", "fetch package index"},
		{"package", ".deb", "download packages"},
	}
	noProxy(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			opts := newRepo(t, debLib).serve(test.suffix, false)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := Load(ctx, opts, "libone")
			if err == nil || !strings.Contains(err.Error(), test.step) || !strings.Contains(err.Error(), "-mirror") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestMirrorHangsUp wants what was complete to be of use to the next build.
func TestMirrorHangsUp(t *testing.T) {
	noProxy(t)
	r := newRepo(t, allDebs()...)
	opts := r.serve(debTool.filename(), true)
	opts.timeout = defaultTimeout // the server hangs up at once, also when apt asks again
	failLoad(t, opts, "tool", "download packages", debTool.name, "-mirror")
	kept, err := filepath.Glob(opts.path("debs", "*.deb"))
	if err != nil || len(kept) != 2 {
		t.Errorf("kept %v, %v", kept, err)
	}
	opts.Mirror = r.options().Mirror
	mustLoad(t, opts, "tool")
}

func TestChangedIndex(t *testing.T) {
	r := newRepo(t, debLib)
	put(t, filepath.Join(r.dir, "debian/dists/trixie/main/binary-amd64/Packages.gz"), "another index")
	failLoad(t, r.options(), "libone", "fetch package index", "-mirror")
}

func TestChangedRelease(t *testing.T) {
	r := newRepo(t, debLib)
	file := filepath.Join(r.dir, "debian/dists/trixie/InRelease")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put(t, file, strings.Replace(string(raw), "Origin: Test", "Origin: Tess", 1))
	failLoad(t, r.options(), "libone", "fetch package index", "do not use this mirror")
}

// TestFullDisk has caches on small disks, which are full at different steps.
func TestFullDisk(t *testing.T) { testns.Run(t, syscall.CLONE_NEWNS, fillDisks) }

func fillDisks(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	tests := []struct{ step, content, aptRoot string }{
		{"fetch package index", "", "size=64k"},
		{"download packages", string(noise), ""},
		{"unpack packages", strings.Repeat("0", len(noise)), ""},
	}
	for _, test := range tests {
		t.Run(test.step, func(t *testing.T) {
			opts := newRepo(t, testDeb{"large", "1", "", map[string]string{"usr/large": test.content}}).options()
			disk := t.TempDir()
			mountTmpfs(t, disk, "size=512k")
			mountTmpfs(t, filepath.Join(disk, "payload", "apt"), test.aptRoot)
			opts.Cache = newCache(t, disk)
			failLoad(t, opts, "large", test.step, disk, "the disk is full", "-cache")
		})
	}
}

func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
}
