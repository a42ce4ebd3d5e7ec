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
)

// zstdLevel is the highest level whose window (8 MiB) the kernel's decompressor takes.
const zstdLevel = "-19"

var zstdOptions = []string{zstdLevel, "-T2", "--no-progress", "-c", "-"}

// compress compresses a as a cpio archive and returns the resulting file, which is kept, named by
// what it depends on.
func (in Inputs) compress(ctx context.Context, a *Archive) (string, error) {
	name, err := in.imageName("zstd", zstdOptions, a.Write, ".cpio.zst")
	if err != nil {
		return "", err
	}
	if ok, err := kept(name); ok || err != nil {
		return name, err
	}
	return name, atomicfile.Write(name, func(f *os.File) error {
		cmd, err := in.Tree.Tool(ctx, "zstd", zstdOptions...)
		if err != nil {
			return err
		}
		cmd.Stdout = f
		return feed(cmd, a.Write)
	})
}

// imageName is the file for what the tool in package pkg makes with options of what write writes,
// named by all three.
func (in Inputs) imageName(pkg string, options []string, write func(io.Writer) error, suffix string) (string, error) {
	tool, err := in.Tree.Package(pkg)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, tool.SHA256, options)
	if err := write(sum); err != nil {
		return "", err
	}
	return filepath.Join(in.CacheDir, "images", hex.EncodeToString(sum.Sum(nil))+suffix), nil
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
