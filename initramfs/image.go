package initramfs

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
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/kmod"
)

// guestModules are what a demo guest needs: its disks and its network.
var guestModules = []string{"xen_netfront", "xen_blkfront"}

// squashOptions of mksquashfs: blocks of 1 MiB, because modules resemble each other, no date and
// no owner.
var squashOptions = []string{
	"-comp", "zstd", "-Xcompression-level", "22", "-b", "1M",
	"-all-root", "-no-xattrs", "-mkfs-time", "0", "-all-time", "0", "-no-exports", "-no-progress", "-quiet",
}

// moduleFiles is what became of the kernel's modules.
type moduleFiles struct {
	segment string   // an uncompressed cpio archive with the image of all modules
	early   string   // directory of the modules that mounting that image needs
	guest   *Archive // what is in a guest's initrd besides the userland
}

// modules selects the modules of the kernel release and packs them. It takes half a minute, so
// the result is kept, named by what it depends on.
func (in Inputs) modules(ctx context.Context, release string) (*moduleFiles, error) {
	source, err := in.Tree.Lookup("/usr/lib/modules/" + release)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(strings.Join(slices.Concat(
		[]string{source.Package.SHA256, ModulesSpec}, EarlyModules, guestModules, squashOptions), "\n")))
	dir := filepath.Join(in.CacheDir, "modules", hex.EncodeToString(key[:8]))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := in.makeModules(ctx, release, dir); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	m := &moduleFiles{segment: filepath.Join(dir, "modules.cpio"), early: filepath.Join(dir, "early"), guest: NewArchive()}
	return m, m.guest.Tree(kmod.EarlyDir, filepath.Join(dir, "guest"))
}

// makeModules makes the directory that modules keeps, complete or not at all.
func (in Inputs) makeModules(ctx context.Context, release, dir string) error {
	work := dir + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	selection, err := SelectModules(ctx, ModuleRequest{
		Root:     filepath.Join(in.Tree.Root(), "usr/lib/modules", release),
		SpecName: ModulesSpecName, Spec: ModulesSpec,
		Dir: filepath.Join(tree, release),
	})
	if err != nil {
		return err
	}
	for sub, names := range map[string][]string{"early": EarlyModules, "guest": guestModules} {
		if err := selection.WriteSubset(filepath.Join(work, sub), names...); err != nil {
			return err
		}
	}
	in.Step("compressing kernel modules")
	if err := in.squash(ctx, tree, filepath.Join(work, "modules.squashfs")); err != nil {
		return err
	}
	a := NewArchive()
	if err := a.File(boot.ModulesImage, filepath.Join(work, "modules.squashfs"), 0o644); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(work, "modules.cpio"), func(w io.Writer) error { return a.Write(w) }); err != nil {
		return err
	}
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	return os.Rename(work, dir)
}

// squash makes the squashfs image of a directory.
func (in Inputs) squash(ctx context.Context, dir, image string) error {
	cmd, err := in.Tree.Tool(ctx, "mksquashfs", append([]string{dir, image}, squashOptions...)...)
	if err != nil {
		return err
	}
	// mksquashfs refuses its own date options beside this variable.
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "SOURCE_DATE_EPOCH=") })
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mksquashfs: %w: %s", err, out)
	}
	return nil
}
