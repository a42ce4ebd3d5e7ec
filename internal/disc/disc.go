// Package disc builds the zerodisc image: Debian's packages, dom0's initrd, the guests, the boot loader
// and the texts in, one ISO file out.
package disc

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/progress"
)

// Options are what mkiso's flags say.
type Options struct {
	Output     string
	Netboot    string // directory for the netboot tree; "" for none
	CacheDir   string
	Guests     []string // directories: guests, or stores of guests
	Cmdline    string   // added to dom0's kernel command line
	XenCmdline string   // added to Xen's command line
	Mirror     string   // "" for that of this machine's apt
	Suite      string
	With       []string // names of options, see OptionNames
	Settings   string   // file of the disc's settings; "" for none
	Lock       string   // file that holds the packages' exact versions, written when it is not there; "" for none
	Release    string   // directory for everything that is published together; "" for none
	Erase      bool     // Output may be a disk, which is overwritten
	Size       bool     // print what takes how many bytes in detail
	Offline    bool
	Verbose    bool
	Out        io.Writer // progress and summary
}

// builder is what every step of a build needs.
type builder struct {
	Options
	source   string // this module's root directory
	progress *progress.Progress
}

// Build builds the image at opts.Output. What the options ask for is checked before anything is built. A failure or
// a cancelled context leaves no partial image behind, and an older image as it was.
func Build(ctx context.Context, opts Options) error {
	source, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	if opts.CacheDir, err = filepath.Abs(opts.CacheDir); err != nil {
		return err
	}
	b := &builder{Options: opts, source: source, progress: progress.New(opts.Out)}
	defer b.progress.Done()
	plan, err := b.plan(ctx)
	if err != nil {
		return err
	}
	parts, err := b.makeParts(ctx, plan)
	if err != nil {
		return err
	}
	disc, err := b.assemble(ctx, plan, parts)
	if err != nil {
		return err
	}
	if err := b.writeImage(ctx, plan, parts, disc); err != nil {
		return err
	}
	if err := b.writeNetboot(ctx, plan, parts, disc); err != nil {
		return err
	}
	return b.writeRelease(ctx, plan, parts, disc)
}

// moduleRoot finds the sources of zerodisc, which is where mkiso is run.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find zerodisc's sources: go list: %w", err)
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if path != initramfs.ModulePath {
		return "", fmt.Errorf("mkiso is run from within zerodisc's sources, this is module %q", path)
	}
	return dir, nil
}
