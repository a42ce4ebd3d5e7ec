// Package disc builds the zerodisc image: Debian's packages, dom0's initrd, the guests, the boot loader
// and the texts in, one ISO file out.
package disc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/guestdir"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/payload"
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
	Lock       string   // file that holds the packages' exact versions, written when it is not there; "" for none
	Release    string   // directory for everything that is published together; "" for none
	Size       bool     // print what takes how many bytes in detail
	Offline    bool
	Verbose    bool
	Out        io.Writer // progress and summary
}

// Command lines that every boot gets. Xen: the screen and the first serial line; dom0's memory is
// fixed, so that Xen does not give it all and a guest's start never waits for a balloon
// (docs/decisions.md has the figures). Linux: messages of warnings and worse only, the boot report is ours.
const (
	xenCmdline = "console=vga,com1 com1=115200,8n1 dom0_mem=192M+12%,min:256M,max:1G dom0_max_vcpus=1-4 ucode=scan"
	cmdline    = "console=tty0 console=hvc0 quiet loglevel=4 panic=30 swiotlb=8192 cryptomgr.notests"
)

// grubPackages hold GRUB's images and modules for BIOS and UEFI, and grub-mkimage.
var grubPackages = []string{"grub-common", "grub-pc-bin", "grub-efi-amd64-bin"}

// demoGuests are the guests of every disc, directories of this module.
var demoGuests = []string{"tty1", "tty2"}

// guestImage is the name under which a demo guest's configuration finds its initrd.
const guestImage = "initrd.img"

// builder holds what the steps of one build hand on.
type builder struct {
	Options
	source   string // this module's root directory
	compiler *toolchain.Toolchain
	cache    *buildcache.Cache
	progress *progress.Progress
	tree     *payload.Tree
	made     *initramfs.Result
	initrd   *iso9660.Content
	xen      *iso9660.Content
	kernel   *iso9660.Content
	menu     grub.Menu
	settings grub.Settings

	provenance provenance
	date       time.Time // of everything in the image

	guestFiles []iso9660.File // those of files that belong to guests
	files      []iso9660.File
}

// Build builds the image at opts.Output. A failure or a cancelled context leaves no partial
// image behind, and an older image as it was.
func Build(ctx context.Context, opts Options) (err error) {
	source, err := moduleRoot()
	if err != nil {
		return err
	}
	b := &builder{Options: opts, source: source, progress: progress.New(opts.Out)}
	defer b.progress.Done()
	defer func() { err = errors.Join(err, b.closeCache()) }()
	for _, step := range []func(context.Context) error{
		b.readSettings, b.checkGuests, b.checkNetboot, b.checkRelease,
		b.findCompiler, b.openCache, b.loadPayload, b.makeInitrd, b.collectGuests, b.writeImage, b.writeNetboot, b.writeRelease,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
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

func (b *builder) closeCache() error {
	if b.cache == nil {
		return nil // the build ended before it needed one
	}
	return b.cache.Close()
}

func (b *builder) loadPayload(ctx context.Context) (err error) {
	b.progress.Step("resolving packages")
	extras, err := b.extraPackages()
	if err != nil {
		return err
	}
	roots := slices.Concat(initramfs.Packages, grubPackages, extras)
	b.tree, err = payload.Load(ctx, payload.Options{
		Cache: b.cache, Mirror: b.Mirror, Suite: b.Suite, Offline: b.Offline, LockFile: b.Lock,
		Progress: func(p payload.Progress) { b.progress.Bytes(p.Step, p.Done, p.Total) },
	}, roots...)
	return err
}

func (b *builder) makeInitrd(ctx context.Context) (err error) {
	b.made, err = initramfs.Build(ctx, initramfs.Inputs{
		Source: b.source, Go: b.compiler, Cache: b.cache, Tree: b.tree, Step: b.progress.Step,
	})
	if err != nil {
		return err
	}
	b.initrd, _, err = iso9660.FromFile(b.made.Initrd)
	return err
}

// collectGuests adds the demo guests, whose initrd is the end of dom0's, and those asked for.
func (b *builder) collectGuests(context.Context) error {
	image := b.initrd.Tail(b.made.Guest)
	for _, name := range demoGuests {
		files, err := guestdir.Files(filepath.Join(b.source, "guests", name))
		if err != nil {
			return err
		}
		b.guestFiles = append(b.guestFiles, files...)
		b.guestFiles = append(b.guestFiles, iso9660.File{Path: boot.MediumGuests + "/" + name + "/" + guestImage, Content: image})
	}
	for _, dir := range b.Guests {
		files, err := guestdir.Files(dir)
		if err != nil {
			return err
		}
		b.guestFiles = append(b.guestFiles, files...)
	}
	b.files = append(b.files, b.guestFiles...)
	return nil
}

// fatEpoch is the earliest date that every file system on the disc can hold.
var fatEpoch = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// modTime dates everything on the disc: SOURCE_DATE_EPOCH (reproducible-builds.org) or the last
// commit of the sources, so that a build says nothing of when it ran.
func (b *builder) modTime(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		cmd := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct")
		cmd.Dir = b.source
		out, err := cmd.Output()
		if err != nil {
			return fatEpoch, nil // sources without history
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// digests are the SHA-256 of contents, hexadecimal.
type digests map[*iso9660.Content]string

// add hashes the contents of files that are not in d yet.
func (d digests) add(files []iso9660.File) error {
	for _, f := range files {
		if _, ok := d[f.Content]; ok {
			continue
		}
		sum, err := digest(f.Content)
		if err != nil {
			return fmt.Errorf("hash %s: %w", f.Path, err)
		}
		d[f.Content] = sum
	}
	return nil
}

// share makes files with the same bytes one content, which is on the disc once: Xen's packages alone have
// 14 times the same licence. Of equal ones keep stays: others are a part of it.
func share(files []iso9660.File, sums digests, keep *iso9660.Content) {
	first := map[string]*iso9660.Content{sums[keep]: keep}
	for i, f := range files {
		sum := sums[f.Content]
		if same, ok := first[sum]; ok {
			files[i].Content = same
			continue
		}
		first[sum] = f.Content
	}
}

// buildID names this build by what is in it: 16 hexadecimal digits of the hash of everything that
// the image is made of. extra is what is not a file yet.
func buildID(files []iso9660.File, sums digests, extra ...string) string {
	hash := sha256.New()
	for _, text := range extra {
		fmt.Fprintf(hash, "%d %s\n", len(text), text)
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b iso9660.File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range sorted {
		fmt.Fprintf(hash, "%s %s\n", f.Path, sums[f.Content])
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

func digest(c *iso9660.Content) (string, error) {
	r, err := c.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// openContent is the content of a file of this machine of known size.
func openContent(name string, size int64) *iso9660.Content {
	return &iso9660.Content{Size: size, Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}
