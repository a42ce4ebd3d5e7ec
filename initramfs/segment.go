package initramfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// zstdLevel is the highest level whose window (8 MiB) the kernel's decompressor takes.
const zstdLevel = "-19"

var zstdOptions = []string{zstdLevel, "-T2", "--no-progress", "-c", "-"}

// zstdTool is the program that compresses.
const zstdTool = "zstd"

// compress compresses a as a cpio archive and returns the resulting file, which is kept.
func (in Inputs) compress(ctx context.Context, a *Archive) (string, error) {
	key, err := in.imageKey(zstdTool, zstdOptions, a.Write, ".cpio.zst")
	if err != nil {
		return "", err
	}
	return in.Cache.Entry(imagesKind, key, func(image string) error {
		cmd, err := in.Tree.Tool(ctx, zstdTool, zstdOptions...)
		if err != nil {
			return err
		}
		return atomicfile.Write(image, func(f *os.File) error {
			cmd.Stdout = f
			return feed(cmd, a.Write)
		})
	})
}

// imageKey names what the tool makes with options of what write writes: by all three, and by the packages that
// the tool and its libraries come from.
func (in Inputs) imageKey(tool string, options []string, write func(io.Writer) error, suffix string) (string, error) {
	packages, err := in.Tree.ToolPackages(tool)
	if err != nil {
		return "", err
	}
	key, err := imageKey(packages, tool, options, write)
	return key + suffix, err
}

func imageKey(
	packages []payload.Package, tool string, options []string, write func(io.Writer) error,
) (string, error) {
	sum := sha256.New()
	for _, p := range packages {
		fmt.Fprintln(sum, p.SHA256)
	}
	fmt.Fprintf(sum, "%s %q\n", tool, options)
	if err := write(sum); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// feed runs cmd with what write writes as its standard input.
func feed(cmd *exec.Cmd, write func(io.Writer) error) error {
	name := filepath.Base(cmd.Path)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	writeErr := errors.Join(write(in), in.Close())
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	return writeErr
}
