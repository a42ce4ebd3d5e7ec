// Package disc builds the zerodisc image: Debian's packages, dom0's initrd, the guests, the boot loader
// and the texts in, one ISO file out.
package disc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"

	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/progress"
	"github.com/zerodisc/zerodisc/internal/toolchain"
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
	Config     string   // file with the disc's configuration, a zerodisc.yaml; "" for none
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
	compiler *toolchain.Toolchain
	cache    *buildcache.Cache
	progress *progress.Progress
}

// Build builds the image at opts.Output. What the options ask for is checked before anything is built. A failure or
// a cancelled context leaves no partial image behind, and an older image as it was.
func Build(ctx context.Context, opts Options) (err error) {
	source, err := moduleRoot()
	if err != nil {
		return err
	}
	b := &builder{Options: opts, source: source, progress: progress.New(opts.Out)}
	defer b.progress.Done()
	plan, err := b.plan(ctx)
	if err != nil {
		return err
	}
	if err := b.findCompiler(ctx); err != nil {
		return err
	}
	if err := b.openCache(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cache.Close()) }()
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

// moduleRoot finds the sources of zerodisc, which is where mkiso is run: the first directory with a go.mod
// on the way up from the current one.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find zerodisc's sources: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		parent := filepath.Dir(dir)
		switch module := modfile.ModulePath(text); {
		case module == initramfs.ModulePath:
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("mkiso is run from within zerodisc's sources, this is module %q", module)
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("find zerodisc's sources: %w", err)
		case parent == dir:
			return "", errors.New("mkiso is run from within zerodisc's sources, and there is no go.mod here or above")
		}
		dir = parent
	}
}

// findCompiler finds the one Go that compiles the disc's programs, and that mkiso itself is compiled with.
func (b *builder) findCompiler(ctx context.Context) error {
	pinned, err := toolchain.Pinned(b.source)
	if err != nil {
		return err
	}
	if err := toolchain.CheckSelf(pinned); err != nil {
		return err
	}
	b.progress.Step("finding the compiler " + pinned)
	b.compiler, err = toolchain.Open(ctx, b.source)
	return err
}

// openCache waits until no other build uses the cache: until the end of this one, whose files are in it.
func (b *builder) openCache(ctx context.Context) (err error) {
	b.cache, err = buildcache.Open(ctx, b.CacheDir, b.progress.Step)
	return err
}
