package disc

import (
	"context"
	"errors"

	"github.com/zerodisc/zerodisc/internal/bom"
	"github.com/zerodisc/zerodisc/internal/release"
)

// checkRelease wants what a release is made of before anything is built.
func (b *builder) checkRelease(context.Context) error {
	if b.Release != "" && (b.Netboot == "" || b.Lock == "") {
		return errors.New("-release: a release has the netboot tree and the lock file too; name them with -netboot DIR and -lock FILE")
	}
	return nil
}

// writeRelease puts everything that is published together into one directory.
func (b *builder) writeRelease(ctx context.Context) error {
	if b.Release == "" {
		return nil
	}
	b.progress.Step("writing the release")
	p := b.provenance
	return release.Write(ctx, release.Options{
		Dir: b.Release, ISO: b.Output, Netboot: b.Netboot, Lock: b.Lock,
		BOM: bom.Input{
			Version: p.Version, BuildID: p.ID, Revision: p.Revision, Suite: p.Suite, Compiler: p.Compiler, Date: b.date,
			Packages: p.Packages, Modules: p.Modules, Licences: b.tree.Licences,
		},
		Progress: func(written, total int64) { b.progress.Bytes("writing the release", written, total) },
	})
}
