package netserve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Files at the root of a netboot tree that clients are told to load.
const (
	fileBIOS = "pxe-bios.0"
	fileUEFI = "pxe-uefi.efi"
	fileUNDI = "undionly.kpxe" // iPXE, which asks again and gets fileIPXE
	fileIPXE = "boot.ipxe"
)

// openTree opens a netboot tree. Nothing outside it is ever reached through what it returns.
func openTree(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("netboot tree: %w; 'make netboot' builds one", err)
	}
	for _, name := range []string{fileBIOS, fileUEFI, fileUNDI, fileIPXE} {
		if _, err := root.Stat(name); err != nil {
			root.Close()
			return nil, fmt.Errorf("%s is no netboot tree: it has no %s: %w; 'make netboot' builds one", dir, name, err)
		}
	}
	return root, nil
}

// errNotServed stands for everything that is not a file to be read.
var errNotServed = errors.New("no such file")

// probes are files that GRUB tries at every start and that are no loss: configurations for single
// machines, and lists of modules, all of which it has built in.
var probes = []string{"grub.cfg-*", "*.lst"}

func isProbe(name string) bool {
	return slices.ContainsFunc(probes, func(pattern string) bool {
		matches, _ := path.Match(pattern, path.Base(name))
		return matches
	})
}

// openFile opens a regular file of the tree by the name that a client gave: from the root, with or
// without a slash in front, slashes the wrong way round as some firmware has them.
func openFile(tree *os.Root, name string) (*os.File, fs.FileInfo, error) {
	name = strings.ReplaceAll(name, `\`, "/")
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	info, err := tree.Stat(name)
	if err != nil || !info.Mode().IsRegular() { // looked at first: opening a FIFO would wait
		return nil, nil, errNotServed
	}
	file, err := tree.Open(name)
	if err != nil {
		return nil, nil, errNotServed
	}
	return file, info, nil
}
