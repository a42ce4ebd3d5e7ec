package qemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
	"github.com/zerodisc/zerodisc/internal/buildcache"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// Program is QEMU's name.
const Program = "qemu-system-x86_64"

// Emulator is a QEMU and the firmware that goes with it.
type Emulator struct {
	argv []string // the command, up to the options that a machine adds
	ovmf []string // directories that UEFI firmware is looked for in
}

// IsZero says that e names no QEMU.
func (e Emulator) IsZero() bool { return len(e.argv) == 0 }

// Command prepares a run of e with more options.
func (e Emulator) Command(ctx context.Context, options ...string) *exec.Cmd {
	argv := append(e.argv[:len(e.argv):len(e.argv)], options...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// Host is the QEMU that is installed on this machine. It may have a window, which Debian packs separately.
func Host() Emulator {
	return Emulator{
		argv: []string{Program},
		ovmf: []string{"/usr/share/OVMF", "/usr/share/edk2/x64", "/usr/share/edk2/ovmf"},
	}
}

// emulatorPackages are the packages that Debian's emulator is made of.
var emulatorPackages = []string{"ipxe-qemu", "ovmf", "qemu-system-x86", "seabios"}

// rootFile is the environment's name for the directory that has Debian's QEMU. A test that starts itself in a
// namespace of its own finds it there: the cache may be in use by then.
const rootFile = "ZERODISC_QEMU_ROOT"

// Debian returns the QEMU of the release that the disc is made of, so that a machine is the same one on every
// host. It is downloaded at the first use, 43 MB, and run by its own loader.
var Debian = sync.OnceValues(func() (Emulator, error) {
	if root := os.Getenv(rootFile); root != "" {
		return inRoot(root), nil
	}
	module, err := moduleRoot()
	if err != nil {
		return Emulator{}, err
	}
	root := filepath.Join(module, "build", "vm", "qemu")
	tree, err := loadEmulator(filepath.Join(module, "build", "cache"), root)
	if err == nil {
		err = writeScript(tree)
	}
	if err != nil {
		return Emulator{}, fmt.Errorf("get QEMU: %w", err)
	}
	return inRoot(root), os.Setenv(rootFile, root)
})

// loadEmulator takes what the cache has, and asks the archive only when it has nothing. The merged tree is in root.
func loadEmulator(dir, root string) (tree *payload.Tree, err error) {
	ctx := context.Background()
	cache, err := buildcache.Open(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	options := payload.Options{Cache: cache, Root: root, Offline: true}
	if tree, err := payload.Load(ctx, options, emulatorPackages...); err == nil {
		return tree, nil
	}
	options.Offline, options.Log = false, slog.Default()
	return payload.Load(ctx, options, emulatorPackages...)
}

// inRoot is the emulator whose packages are in root.
func inRoot(root string) Emulator {
	return Emulator{
		argv: []string{"sh", filepath.Join(root, Program)}, ovmf: []string{filepath.Join(root, "usr/share/OVMF")},
	}
}

// writeScript writes the script at the tree's root that starts the emulator: so a command line stays short enough to
// read. Modules and firmware are where the packages have them, which QEMU finds by itself only below /usr.
func writeScript(tree *payload.Tree) error {
	cmd, err := tree.Tool(context.Background(), Program)
	if err != nil {
		return err
	}
	usr := filepath.Join(tree.Root(), "usr")
	modules := filepath.Join(usr, "lib/x86_64-linux-gnu/qemu")
	argv := append([]string{"exec", "env", "QEMU_MODULE_DIR=" + modules}, cmd.Args...)
	for _, dir := range []string{"share/qemu", "share/seabios", "lib/ipxe/qemu"} {
		argv = append(argv, "-L", filepath.Join(usr, dir))
	}
	return atomicfile.Write(filepath.Join(tree.Root(), Program), func(f *os.File) error {
		_, err := fmt.Fprintf(f, "#!/bin/sh\n%s \"$@\"\n", Quote(argv))
		return err
	})
}

// moduleRoot returns the directory of these sources: the one above the current one that has a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if isFile(filepath.Join(dir, "go.mod")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the cache: no go.mod in this directory or above it")
		}
		dir = filepath.Dir(dir)
	}
}
