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
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/zerodisc/zerodisc/internal/bom"
	"github.com/zerodisc/zerodisc/internal/output"
	"github.com/zerodisc/zerodisc/internal/payload"
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

	Progress func(written, total int64) // called with the bytes of ISO and archive; nil for nobody
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
	return Dir(opts.Dir).Write(func(tree *output.Tree) error {
		w := &writer{Options: opts, ctx: ctx, tree: tree, name: "zerodisc-" + opts.BOM.Version}
		return w.all()
	})
}

// ours matches the names of a release's files.
var ours = regexp.MustCompile(`^zerodisc-[^/]*(\.iso|-netboot\.tar|\.cdx\.json|-sources\.txt|\.lock)$`)

// Dir is the place for a release.
func Dir(name string) output.Dir {
	return output.Dir{Flag: "-release", Name: name, Kind: "release", Ours: ours.MatchString}
}

// writer writes the files of one release.
type writer struct {
	Options
	ctx     context.Context
	tree    *output.Tree
	name    string // that their names begin with
	written int64  // bytes
	total   int64  // bytes to write, without the texts and what an archive adds
}

// all writes the files; the bill of materials has the sum of the ISO.
func (w *writer) all() error {
	if err := w.checkParts(); err != nil {
		return err
	}
	w.BOM.Image = w.name + ".iso"
	sum, err := w.file(w.BOM.Image, w.copyOf(w.ISO))
	if err != nil {
		return err
	}
	w.BOM.SHA256 = hex.EncodeToString(sum[:])
	for _, f := range []struct {
		suffix string
		write  func(io.Writer) error
	}{
		{"-netboot.tar", w.netboot},
		{".cdx.json", func(to io.Writer) error { return bom.Write(to, w.BOM) }},
		{"-sources.txt", func(to io.Writer) error { return bom.WriteSources(to, w.BOM) }},
		{".lock", w.copyOf(w.Lock)},
	} {
		if _, err := w.file(w.name+f.suffix, f.write); err != nil {
			return err
		}
	}
	return nil
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

// file writes one file.
func (w *writer) file(name string, write func(io.Writer) error) ([sha256.Size]byte, error) {
	return w.tree.File(name, func(to io.Writer) error { return write(io.MultiWriter(to, progress{w})) })
}

// progress counts all that is written, and ends it with the context.
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
