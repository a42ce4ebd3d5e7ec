// Package payload turns names of Debian packages into a tree of files: it resolves them with
// apt, downloads what is really needed, checks it and unpacks it.
//
// apt runs with a private root: its own state, cache, configuration and sources below the cache
// directory, and an empty list of installed packages. It needs no root rights and neither reads
// nor changes what is installed on the host. Of the host it uses
//
//   - the programs apt-get, apt-cache, apt-config and dpkg-deb;
//   - the archive's public keys (package debian-archive-keyring);
//   - its apt sources, to learn the mirror, and its apt proxy, to reach it.
//
// What a package contains is trusted through an unbroken chain: keyring, signature of the
// archive's Release file, SHA-256 of the package index, SHA-256 of the package. apt checks the
// first three, and this package checks the last one again before it unpacks.
//
// # Lock file
//
// A lock file (Options.LockFile) lists the roots of a build and every package it takes, with size and
// SHA-256. A build with it resolves nothing: apt fetches what the cache lacks, in these versions,
// and what has another sum is refused. The sums came from signed indexes when the lock was written,
// and are trusted since: whoever can change the lock can change the build, as with the sources that it
// is kept with. The lock's own sum at its end is there for accidents, not for attackers.
//
// An archive keeps a version until it has a newer one. Where neither it nor the cache has what the
// lock lists any more, the build fails, and deleting the lock renews it.
//
// # Cache
//
//	apt/                  the private apt root; apt/updated holds the sources and the time of the last update
//	resolutions/KEY.json  the last Resolution of a suite and its roots, or (lock-KEY) of a lock file
//	debs/SHA256.deb       downloaded packages
//	unpacked/SHA256/      their files; SHA256.json lists them
//	merged/KEY/           the files of one set of packages in one directory (see [Tree.Root])
//	tmp/                  what is being written; renamed into place when it is complete
//	lock                  held while a build changes any of it
//
// Every entry is complete or absent. A damaged one is found when it is used and made again. The
// archive's index is fetched at most once an hour ([updateInterval]) unless Options.Refresh says
// otherwise, so that a warm build needs no network at all. What no build has used for a month
// ([pruneAge]) is removed.
package payload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// DefaultSuite is the Debian release used when Options.Suite is empty.
const DefaultSuite = "trixie"

// Options says where packages come from and where they are kept. Only CacheDir is required.
type Options struct {
	CacheDir string // created when missing; may be shared by several builds

	// Mirror is the archive's URL, "" for the one in the host's apt sources. Where its path
	// has an element "debian", security updates come from the same URL with
	// "debian-security" in its place; otherwise the mirror must carry SUITE-security itself.
	Mirror  string
	Suite   string // "" for DefaultSuite
	Keyring string // "" for the keyring of Debian's archive

	// LockFile names a file that holds the build to exact packages: it is written when it is not
	// there, and obeyed when it is (see the package comment). "" for none.
	LockFile string

	Offline bool // use only what the cache holds; never touch the network
	Refresh bool // fetch the archive's index even when the last one is recent

	// timeout is how long apt waits for a byte of the mirror before it asks again, in whole
	// seconds; 0 for defaultTimeout.
	timeout time.Duration

	Log      *slog.Logger   // nil for no messages
	Progress func(Progress) // nil for none; called from several goroutines, one call at a time
}

// defaultTimeout is long enough for a mirror behind a proxy that fetches a file first.
const defaultTimeout = 30 * time.Second

// Progress is one report on a step that takes long.
type Progress struct {
	Step        string // "index", "download" or "unpack"
	Done, Total int64  // bytes of packages; both 0 where the size is not known ("index")
}

// Load resolves roots, brings what is missing into the cache and returns the files. A root is
// the name of a package, metapackages included.
//
// Builds that share a cache directory take turns. A cancelled context ends apt and leaves
// the cache as it was, plus the packages that were complete.
func Load(ctx context.Context, opts Options, roots ...string) (*Tree, error) {
	roots, err := sortedRoots(roots)
	if err != nil {
		return nil, err
	}
	return opts.locked(ctx, func(opts Options) (*Tree, error) {
		if opts.LockFile != "" {
			return loadByLock(ctx, opts, roots)
		}
		return resolveAndLoad(ctx, opts, roots)
	})
}

// locked calls f with defaults filled in while no other build uses the cache.
func (o Options) locked(ctx context.Context, f func(Options) (*Tree, error)) (*Tree, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	unlock, err := lockCache(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	defer unlock()
	tree, err := f(opts)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: the disk is full: make room for the cache %s, or have it elsewhere with -cache", err, opts.CacheDir)
	}
	return tree, err
}

func resolveAndLoad(ctx context.Context, opts Options, roots []string) (*Tree, error) {
	res, err := resolve(ctx, opts, roots)
	if err != nil {
		return nil, fmt.Errorf("resolve packages: %w", err)
	}
	tree, err := load(ctx, opts, res)
	switch {
	case errors.Is(err, errGone) && !opts.Refresh:
		opts.Log.Info("the archive has changed since its index was fetched")
		opts.Refresh = true
		return resolveAndLoad(ctx, opts, roots)
	case err == nil && !opts.Offline:
		err = prune(opts)
	}
	return tree, err
}

func load(ctx context.Context, opts Options, res *Resolution) (*Tree, error) {
	todo := slices.DeleteFunc(slices.Clone(res.Packages), func(p Package) bool { return isUnpacked(opts, p) })
	if err := fetch(ctx, opts, todo); err != nil {
		return nil, fmt.Errorf("download packages: %w", err)
	}
	if err := unpackAll(ctx, opts, todo); err != nil {
		return nil, fmt.Errorf("unpack packages: %w", err)
	}
	return newTree(opts, res)
}

// badPath are characters with a meaning in apt's configuration or in a library path.
const badPath = "\"\\:;\n"

// withDefaults fills in what is empty and creates the cache's directories.
func (o Options) withDefaults() (Options, error) {
	if o.CacheDir == "" {
		return o, fmt.Errorf("no cache directory given")
	}
	// apt and symbolic links need an absolute path.
	dir, err := filepath.Abs(o.CacheDir)
	if err != nil {
		return o, fmt.Errorf("find cache directory: %w", err)
	}
	if strings.ContainsAny(dir, badPath) || strings.ContainsAny(o.Keyring, badPath+" ") {
		return o, fmt.Errorf("apt cannot use a path with any of %q: cache %q, keyring %q", badPath, dir, o.Keyring)
	}
	o.CacheDir = dir
	if o.Suite == "" {
		o.Suite = DefaultSuite
	}
	o.timeout = cmp.Or(o.timeout, defaultTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	for _, sub := range []string{"apt", "resolutions", "debs", "unpacked", "merged", "tmp"} {
		if err := os.MkdirAll(o.path(sub), 0o755); err != nil {
			return o, fmt.Errorf("create cache: %w", err)
		}
	}
	return o, nil
}

// path is a path inside the cache.
func (o Options) path(elem ...string) string {
	return filepath.Join(append([]string{o.CacheDir}, elem...)...)
}
