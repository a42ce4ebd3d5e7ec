package disc

import (
	"context"

	"github.com/zerodisc/zerodisc/internal/bom"
	"github.com/zerodisc/zerodisc/internal/release"
)

// writeRelease puts everything that is published together into one directory.
func (b *builder) writeRelease(ctx context.Context, plan plan, made parts, m medium) error {
	if b.Release == "" {
		return nil
	}
	b.progress.Step("writing the release")
	p := m.provenance
	return release.Write(ctx, release.Options{
		Dir: b.Release, ISO: b.Output, Netboot: b.Netboot, Lock: b.Lock,
		BOM: bom.Input{
			Version: p.Version, BuildID: p.ID, Revision: p.Revision, Suite: p.Suite, Compiler: p.Compiler,
			Date:     plan.date,
			Packages: p.Packages, Modules: p.Modules, Licences: made.tree.Licences,
		},
		Progress: func(written, total int64) { b.progress.Bytes("writing the release", written, total) },
	})
}
