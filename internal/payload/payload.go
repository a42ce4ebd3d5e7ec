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
// In the build's cache (package buildcache), below payload/:
//
//	apt/                  the private apt root; apt/updated holds the sources, and the sums of the index they gave
//	apt+COMPONENT/        the one for a build that takes packages from another component than main
//	resolutions/KEY.json  what apt last said of a suite and its roots, checked by its sums
//	resolutions/KEY.lock  the packages of a lock file, for prune to spare
//	debs/SHA256.deb       downloaded packages, checked by the SHA-256 in the archive's index
//	unpacked/SHA256/      their files, and the list of them, checked by their sums
//
// What is damaged is found when it is used and made again. A resolution is what apt said, not what this package
// makes of it: a new version of the latter sees the same facts. The archive's index is fetched at most once an
// hour ([updateInterval]) unless Options.Refresh says otherwise, so that a warm build needs no network at all. What
// no build has used for a month ([pruneAge]) is removed.
package payload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zerodisc/zerodisc/internal/buildcache"
)

// DefaultSuite is the Debian release used when Options.Suite is empty.
const DefaultSuite = "trixie"

// Options says where packages come from and where they are kept. Only Cache is required.
type Options struct {
	Cache *buildcache.Cache // the Tree is good until it is closed
	// Root is a directory on the cache's file system that gets the merged tree, in place of what is there, and keeps
	// it when the cache is closed. "" for a temporary one.
	Root string

	// Mirror is the archive's URL, "" for the one in the host's apt sources. Where its path
	// has an element "debian", security updates come from the same URL with
	// "debian-security" in its place; otherwise the mirror must carry SUITE-security itself.
	Mirror  string
	Suite   string // "" for DefaultSuite
	Keyring string // "" for the keyring of Debian's archive
	// Components are the parts of the archive that packages may come from besides main, such as non-free-firmware.
	Components []string

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
// the name of a package, metapackages included. A cancelled context ends apt and leaves the cache as it was,
// plus the packages that were complete.
func Load(ctx context.Context, opts Options, roots ...string) (*Tree, error) {
	roots, err := sortedRoots(roots)
	if err != nil {
		return nil, err
	}
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	tree, err := loadRoots(ctx, opts, roots)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: the disk is full: make room for the cache %s, or have it elsewhere with -cache",
			err, opts.Cache.Path())
	}
	return tree, err
}

func loadRoots(ctx context.Context, opts Options, roots []string) (*Tree, error) {
	if opts.LockFile != "" {
		return loadByLock(ctx, opts, roots)
	}
	return resolveAndLoad(ctx, opts, roots)
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
	unpacked := func(p Package) bool { return opts.Cache.Has(unpackedKind, p.SHA256) }
	todo := slices.DeleteFunc(slices.Clone(res.Packages), unpacked)
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

// withDefaults fills in what is empty and creates the payload's directories in the cache.
func (o Options) withDefaults() (Options, error) {
	if dir := o.Cache.Path(); strings.ContainsAny(dir, badPath) || strings.ContainsAny(o.Keyring, badPath+" ") {
		return o, fmt.Errorf("apt cannot use a path with any of %q: cache %q, keyring %q", badPath, dir, o.Keyring)
	}
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
	for _, sub := range []string{o.aptRoot(), "resolutions", "debs", "unpacked"} {
		if err := os.MkdirAll(o.path(sub), 0o755); err != nil {
			return o, fmt.Errorf("create cache: %w", err)
		}
	}
	return o, nil
}

// Kinds of entries in the cache.
const (
	resolutionKind = "payload/resolutions"
	unpackedKind   = "payload/unpacked"
)

// path is a path of the payload's in the cache.
func (o Options) path(elem ...string) string {
	return o.Cache.Path(append([]string{"payload"}, elem...)...)
}
