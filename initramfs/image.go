package initramfs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/buildcache"
)

// Blocks of the images. Larger ones compress better, since modules resemble each other, but for each image that is
// mounted the kernel keeps three blocks and two for each processor: with 1 MiB the disc is 0.9 MB smaller and dom0 uses
// 10 MB more. The userland is one program, which gains 0.2 MB by twice its size.
const dom0Block, userlandBlock = "256K", "128K"

// squashOptions are mksquashfs's for blocks of that size: no dates and no owners, so that the same files give the same
// bytes.
func squashOptions(block string) []string {
	return []string{
		"-comp", "zstd", "-Xcompression-level", "22", "-b", block, "-tar", "-root-mode", "0755", "-root-time", "0",
		"-all-root", "-no-xattrs", "-mkfs-time", "0", "-all-time", "0", "-no-exports", "-no-progress", "-quiet",
	}
}

// squash makes a squashfs image of what a lists and returns its file, which is kept: a compressed image stays so in
// RAM, unlike a compressed cpio archive, and only what is used of it is decompressed.
func (in Inputs) squash(ctx context.Context, a *Archive, block string) (string, error) {
	options := squashOptions(block)
	key, err := in.imageKey(squashTool, options, a.WriteTar, ".squashfs")
	if err != nil {
		return "", err
	}
	return in.Cache.Entry(imagesKind, key, func(image string) error { return in.mksquashfs(ctx, a, options, image) })
}

// squashTool is the program that makes squashfs images.
const squashTool = "mksquashfs"

func (in Inputs) mksquashfs(ctx context.Context, a *Archive, options []string, image string) error {
	cmd, err := in.Tree.Tool(ctx, squashTool, append([]string{"-", image}, options...)...)
	if err != nil {
		return err
	}
	// mksquashfs refuses its own date options together with this variable.
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "SOURCE_DATE_EPOCH=") })
	return feed(cmd, a.WriteTar)
}

// What the directory of the disc's modules holds.
const (
	allModules     = "tree"            // all of them, by release
	earlyModules   = "early"           // EarlyModules
	categoriesFile = "categories.json" // what category of the list each belongs to
	firmwareFile   = "firmware.json"   // which of them ask for firmware
)

// modules selects the modules of the kernel release and returns a directory with them. It takes seconds, so the
// result is kept, under the name of what it depends on, this program among it.
func (in Inputs) modules(ctx context.Context, release string) (string, error) {
	source, err := in.Tree.Lookup("/usr/lib/modules/" + release)
	if err != nil {
		return "", err
	}
	code, err := buildcache.Code()
	if err != nil {
		return "", err
	}
	key := modulesKey(code, source.Package.SHA256, in.Firmware)
	return in.Cache.Entry(modulesKind, key, func(dir string) error { return in.selectModules(ctx, release, dir) })
}

// modulesKey names what code makes of a package of the kernel's, for a disc with or without firmware.
func modulesKey(code, kernel string, firmware bool) string {
	return buildcache.Key(code, kernel, ModulesSpec, strings.Join(EarlyModules, " "), strconv.FormatBool(firmware))
}

func (in Inputs) selectModules(ctx context.Context, release, dir string) error {
	tree := filepath.Join(dir, allModules)
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	selection, err := SelectModules(ctx, ModuleRequest{
		Root:     filepath.Join(in.Tree.Root(), "usr/lib/modules", release),
		SpecName: ModulesSpecName, Spec: ModulesSpec,
		Dir: filepath.Join(tree, release), Firmware: in.Firmware,
	})
	if err != nil {
		return err
	}
	if err := selection.checkOrder(boot.Stage1Modules...); err != nil {
		return err
	}
	if err := selection.WriteSubset(filepath.Join(dir, earlyModules), EarlyModules...); err != nil {
		return err
	}
	if err := writeJSON(dir, categoriesFile, selection.categories()); err != nil {
		return err
	}
	return writeJSON(dir, firmwareFile, selection.firmwareUsers())
}

// categories are those of the modules, by file name.
func (s *ModuleSelection) categories() map[string]string {
	categories := map[string]string{}
	for _, m := range s.Modules {
		categories[path.Base(m.Path)] = m.Category
	}
	return categories
}

// writeJSON writes a file of the directory of the disc's modules.
func writeJSON(dir, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

// readJSON reads a file that writeJSON has written.
func readJSON[T any](dir, name string) (value T, err error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return value, err
	}
	return value, json.Unmarshal(text, &value)
}

// alignment of the part of an initrd that is an initrd of its own: a sector of the disc.
const alignment = 2048

// writeInitrd writes dom0's initrd: a row of cpio archives, each unpacked by itself
// (buffer-format.rst). The first and the last are files; the first may be "". Its tail, from the returned offset
// on, is the guests' initrd.
func writeInitrd(name, first string, dom0, shared *Archive, compressed string) (offset int64, err error) {
	err = atomicfile.Write(name, func(f *os.File) error {
		out := &counter{w: f}
		if first != "" {
			if err := out.file(first); err != nil {
				return err
			}
			if err := out.pad(cpioUnit); err != nil {
				return err
			}
		}
		if err := dom0.Write(out); err != nil {
			return err
		}
		if err := out.pad(alignment); err != nil {
			return err
		}
		offset = out.n
		if err := shared.Write(out); err != nil {
			return err
		}
		if err := out.pad(cpioUnit); err != nil {
			return err
		}
		return out.file(compressed)
	})
	return offset, err
}

// Append writes the initrd in the file name to w, and extra behind it.
func Append(w io.Writer, name string, extra *Archive) error {
	out := &counter{w: w}
	if err := out.file(name); err != nil {
		return err
	}
	if err := out.pad(cpioUnit); err != nil {
		return err
	}
	if err := extra.Write(out); err != nil {
		return err
	}
	if out.n > MaxSize {
		return fmt.Errorf("the initrd has %d bytes; a boot loader hands on at most %d", out.n, int64(MaxSize))
	}
	return nil
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// file writes what a file holds.
func (c *counter) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(c, f)
	return err
}

// pad writes zeros up to a multiple of unit; the kernel skips them between archives.
func (c *counter) pad(unit int64) error {
	_, err := c.Write(make([]byte, (unit-c.n%unit)%unit))
	return err
}
