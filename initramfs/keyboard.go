package initramfs

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/keymap"
)

// keymapsDir is where Debian's package console-data has keymaps, and what they include.
const keymapsDir = "/usr/share/keymaps"

// loadkeysTool is the program that reads keymaps, keymaps(5).
const loadkeysTool = "loadkeys"

// addKeymaps adds the file of keyboard layouts. It takes seconds to make, so it is kept.
func (in Inputs) addKeymaps(ctx context.Context, x xenFiles) error {
	us, err := in.Tree.Lookup(keymapsDir + "/i386/" + keymap.Sources[0].Path + ".kmap.gz")
	if err != nil {
		return err
	}
	tools, err := in.Tree.ToolPackages(loadkeysTool)
	if err != nil {
		return err
	}
	code, err := buildcache.Code()
	if err != nil {
		return err
	}
	parts := []string{code, us.Package.SHA256}
	for _, p := range tools {
		parts = append(parts, p.SHA256)
	}
	file, err := in.Cache.Entry(keymapsKind, buildcache.Key(parts...), func(name string) error {
		return in.makeKeymaps(ctx, name)
	})
	if err != nil {
		return err
	}
	name, err := libPath(boot.Keymaps)
	if err != nil {
		return err
	}
	x.packages[us.Package.Name] = *us.Package
	return x.archive.File(name, file, 0o644)
}

// makeKeymaps writes the file of keyboard layouts.
func (in Inputs) makeKeymaps(ctx context.Context, name string) error {
	work, err := in.Cache.Temp("keymaps")
	if err != nil {
		return err
	}
	if err := unzipAll(work, filepath.Join(in.Tree.Root(), keymapsDir)); err != nil {
		return err
	}
	var layouts []keymap.Keyboard
	for _, source := range keymap.Sources {
		k, err := in.readKeymap(ctx, work, source)
		if err != nil {
			return fmt.Errorf("%s: %w", source.Path, err)
		}
		k.Name = source.Name
		if len(layouts) > 0 {
			k.Fill(&layouts[0])
		}
		layouts = append(layouts, *k)
	}
	return os.WriteFile(name, keymap.Encode(layouts), 0o644)
}

// unzipAll unpacks the files of a directory, so that loadkeys needs no program for it.
func unzipAll(to, from string) error {
	return filepath.WalkDir(from, func(name string, e os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".gz") || !e.Type().IsRegular() {
			return err
		}
		inside, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		text, err := unzip(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		target := filepath.Join(to, strings.TrimSuffix(inside, ".gz"))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

func unzip(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// readKeymap has loadkeys read a keymap below dir.
func (in Inputs) readKeymap(ctx context.Context, dir string, source keymap.Source) (*keymap.Keyboard, error) {
	file := filepath.Join(dir, "i386", source.Path+".kmap")
	if source.Charset != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text = append(fmt.Appendf(nil, "charset \"%s\"\n", source.Charset), text...)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return nil, err
		}
	}
	cmd, err := in.Tree.Tool(ctx, loadkeysTool, "--quiet", "--unicode", "--mktable", file)
	if err != nil {
		return nil, err
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w: %s", loadkeysTool, err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return nil, err
	}
	return keymap.ParseTable(out)
}
