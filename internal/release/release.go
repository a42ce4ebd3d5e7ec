// Package release gathers what is published of one build in one directory:
//
//	zerodisc-VERSION.iso          the disc
//	zerodisc-VERSION-netboot.tar  the netboot tree, in a directory of the archive's name
//	zerodisc-VERSION.cdx.json     the bill of materials, CycloneDX
//	zerodisc-VERSION-sources.txt  Debian's source packages
//	zerodisc-VERSION.lock         the exact packages, for mkiso -lock
//	SHA256SUMS                    of all these, for sha256sum -c
//
// The same build gives the same bytes, wherever and whenever it is gathered.
package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/zerodisc/zerodisc/internal/bom"
	"github.com/zerodisc/zerodisc/internal/payload"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Options are the parts of a release. All of them are needed.
type Options struct {
	Dir     string // directory to write; new, empty, or an older release
	ISO     string // file of the disc
	Netboot string // directory of the netboot tree
	Lock    string // lock file of the build

	// BOM is what the disc was built from. Its Version is in the files' names and its Date is that of
	// the files in the archive. Write fills in Image and SHA256.
	BOM bom.Input

	Progress func(written, total int64) // told of the bytes of ISO and archive; nil for nobody
}

// Write writes the release. It appears at the end, complete, and takes the place of an older one; a
// failure or a cancelled context leaves that as it was, and nothing else behind.
func Write(ctx context.Context, opts Options) error {
	if err := write(ctx, opts); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func write(ctx context.Context, opts Options) error {
	work := filepath.Clean(opts.Dir) + ".partial"
	for _, dir := range []string{opts.Dir, work} {
		if err := checkReplaceable(dir); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	w := &writer{Options: opts, ctx: ctx, dir: work, name: "zerodisc-" + opts.BOM.Version}
	if err := w.all(); err != nil {
		return err
	}
	if err := os.RemoveAll(opts.Dir); err != nil {
		return err
	}
	return os.Rename(work, opts.Dir)
}

// ours matches the names of a release's files.
var ours = regexp.MustCompile(`^(zerodisc-.*(\.iso|-netboot\.tar|\.cdx\.json|-sources\.txt|\.lock)|` + sha256sums.Name + `)$`)

// checkReplaceable refuses a directory that holds something else than a release.
func checkReplaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an older release: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !ours.MatchString(e.Name()) {
			return fmt.Errorf("%s holds %s, which is no file of a release: name a directory that is new or empty", dir, e.Name())
		}
	}
	return nil
}

// writer writes the files of one release.
type writer struct {
	Options
	ctx     context.Context
	dir     string // where they are written
	name    string // that their names begin with
	sums    []sha256sums.Sum
	written int64 // bytes
	total   int64 // bytes to write, without the texts and what an archive adds
}

// all writes the files; the bill of materials has the sum of the ISO.
func (w *writer) all() error {
	if err := w.checkParts(); err != nil {
		return err
	}
	w.BOM.Image = w.name + ".iso"
	if err := w.file(w.BOM.Image, w.copyOf(w.ISO)); err != nil {
		return err
	}
	w.BOM.SHA256 = hex.EncodeToString(w.sums[0].SHA256[:])
	for _, f := range []struct {
		suffix string
		write  func(io.Writer) error
	}{
		{"-netboot.tar", w.netboot},
		{".cdx.json", func(to io.Writer) error { return bom.Write(to, w.BOM) }},
		{"-sources.txt", func(to io.Writer) error { return bom.WriteSources(to, w.BOM) }},
		{".lock", w.copyOf(w.Lock)},
	} {
		if err := w.file(w.name+f.suffix, f.write); err != nil {
			return err
		}
	}
	return w.file(sha256sums.Name, func(to io.Writer) error { return sha256sums.Format(to, w.sums) })
}

// checkParts looks for all parts before anything long begins.
func (w *writer) checkParts() error {
	if _, err := payload.ReadLock(w.Lock); err != nil {
		return err
	}
	iso, err := os.Stat(w.ISO)
	if err != nil {
		return fmt.Errorf("disc: %w", err)
	}
	tree, err := w.netbootSize()
	if err != nil {
		return fmt.Errorf("netboot tree: %w", err)
	}
	w.total = iso.Size() + tree
	return nil
}

// file writes one file and notes its sum.
func (w *writer) file(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	hash := sha256.New()
	err = write(io.MultiWriter(f, hash, progress{w}))
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	w.sums = append(w.sums, sha256sums.Sum{Path: name, SHA256: [sha256.Size]byte(hash.Sum(nil))})
	return nil
}

// progress is told of all that is written, and ends it with the context.
type progress struct{ *writer }

func (p progress) Write(block []byte) (int, error) {
	p.written += int64(len(block))
	if p.Progress != nil {
		p.Progress(min(p.written, p.total), p.total)
	}
	return len(block), context.Cause(p.ctx)
}

// copyOf returns a function that writes what a file holds.
func (w *writer) copyOf(name string) func(io.Writer) error {
	return func(to io.Writer) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(to, f)
		return err
	}
}
