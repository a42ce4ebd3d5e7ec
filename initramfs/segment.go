package initramfs

import (
	"bytes"
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
)

// Compressor compresses segments of an initrd and remembers what it has compressed. An initrd is
// a row of segments, each an archive of its own, which the kernel unpacks one after the other
// (buffer-format.rst): a change to init compresses init again, not the whole of dom0.
type Compressor struct {
	// CacheDir holds SHA256.cpio.zst, named by the archive's uncompressed bytes.
	CacheDir string
	// Tool prepares a command that runs zstd.
	Tool func(ctx context.Context, name string, args ...string) (*exec.Cmd, error)
}

// zstdLevel is the highest level whose window (8 MiB) the kernel's decompressor takes.
const zstdLevel = "-19"

// Segment compresses a and returns the resulting file.
func (c *Compressor) Segment(ctx context.Context, a *Archive) (string, error) {
	sum := sha256.New()
	if err := a.Write(sum); err != nil {
		return "", err
	}
	name := filepath.Join(c.CacheDir, hex.EncodeToString(sum.Sum(nil))+".cpio.zst")
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	if err := os.MkdirAll(c.CacheDir, 0o755); err != nil {
		return "", err
	}
	return name, writeFile(name, func(w io.Writer) error { return c.compress(ctx, a, w) })
}

// compress writes a to w through zstd.
func (c *Compressor) compress(ctx context.Context, a *Archive, w io.Writer) error {
	cmd, err := c.Tool(ctx, "zstd", zstdLevel, "-T2", "--no-progress", "-c", "-")
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start zstd: %w", err)
	}
	writeErr := errors.Join(a.Write(in), in.Close())
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("zstd: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return writeErr
}

// Join writes the segments one after the other to name, each at a multiple of 4 bytes as the
// kernel wants it for uncompressed ones.
func Join(name string, segments ...string) error {
	return writeFile(name, func(w io.Writer) error {
		for _, segment := range segments {
			if err := appendFile(w, segment); err != nil {
				return err
			}
		}
		return nil
	})
}

func appendFile(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(w, f)
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	_, err = w.Write(make([]byte, -n&3))
	return err
}

// writeFile makes name with what write writes; a failure leaves nothing behind.
func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}
