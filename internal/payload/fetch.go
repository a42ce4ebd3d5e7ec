package payload

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

func (o Options) deb(p Package) string { return o.path("debs", p.SHA256+".deb") }

// notDownloaded are the packages that are not intact in the cache.
func notDownloaded(opts Options, pkgs []Package) []Package {
	var missing []Package
	for _, p := range pkgs {
		err := checkDeb(opts.deb(p), p)
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			opts.Log.Warn("cached package is damaged", "package", p.Name, "err", err)
		}
		missing = append(missing, p)
	}
	return missing
}

func names(pkgs []Package) string {
	list := make([]string, len(pkgs))
	for i, p := range pkgs {
		list[i] = p.Name
	}
	return strings.Join(list, ", ")
}

// checkDeb compares a file's size and SHA-256 with the index.
func checkDeb(file string, p Package) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if n != p.Size {
		return fmt.Errorf("%s has %d bytes instead of %d", p.Name, n, p.Size)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != p.SHA256 {
		return fmt.Errorf("%s has SHA-256 %s instead of %s", p.Name, sum, p.SHA256)
	}
	return nil
}

// fetch brings the packages that are not in the cache into it. Those that are complete when it
// fails are kept.
func fetch(ctx context.Context, opts Options, pkgs []Package) error {
	missing := notDownloaded(opts, pkgs)
	if len(missing) == 0 {
		return nil
	}
	if opts.Offline {
		return fmt.Errorf("offline, and the cache %s lacks %s: run mkiso once without -offline",
			opts.Cache.Path(), names(missing))
	}
	if err := checkSpace(opts.path("debs"), totalSize(missing)); err != nil {
		return err
	}
	a, err := newAPT(ctx, opts)
	if err != nil {
		return err
	}
	if err := a.ensureIndex(ctx, opts); err != nil {
		return err
	}
	opts.Log.Info("downloading packages", "packages", len(missing), "bytes", totalSize(missing))
	return a.download(ctx, opts, missing)
}

// checkSpace refuses to write size bytes to a directory whose file system has not as many left. apt
// says nothing when it copies from a file: mirror and the disk fills.
func checkSpace(dir string, size int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("look for free space: statfs %s: %w", dir, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < size {
		return fmt.Errorf("%d bytes to download, %d free: %w", size, free, syscall.ENOSPC)
	}
	return nil
}

func (a *apt) download(ctx context.Context, opts Options, pkgs []Package) error {
	dir, err := opts.Cache.Temp("download")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"apt-get", "-q", "download"}
	for _, p := range pkgs {
		args = append(args, p.String())
	}
	total := totalSize(pkgs)
	_, err = a.run(ctx, call{args: args, dir: dir, percent: func(percent float64) {
		opts.Progress(Progress{Step: "download", Done: int64(percent / 100 * float64(total)), Total: total})
	}})
	// What apt says explains why a package is not there.
	return cmp.Or(err, keepDownloads(opts, dir, pkgs))
}

// keepDownloads moves what is complete and right from dir into the cache; the error names
// what is missing or wrong.
func keepDownloads(opts Options, dir string, pkgs []Package) error {
	var wrong []error
	for _, p := range pkgs {
		file := filepath.Join(dir, aptFilename(p))
		err := checkDeb(file, p)
		if err == nil {
			err = os.Rename(file, opts.deb(p))
		}
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// aptFilename is the name apt-get download gives a package's file: NAME_VERSION_ARCH.deb, with
// the colon of an epoch escaped.
func aptFilename(p Package) string {
	return fmt.Sprintf("%s_%s_%s.deb", p.Name, strings.ReplaceAll(p.Version, ":", "%3a"), p.Arch)
}
