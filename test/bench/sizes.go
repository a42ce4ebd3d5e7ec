package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/kdomanski/iso9660"

	"github.com/zerodisc/zerodisc/boot"
)

// Size is what one component takes of the image.
type Size struct {
	Component string `json:"component"`
	Bytes     int64  `json:"bytes"`
}

// components assigns the files of the image by the beginning of their path; the first that fits
// counts. What no file takes is the image's own: descriptors, El Torito images, padding.
var components = []struct{ name, prefix string }{
	{"Xen", boot.MediumXen},
	{"dom0 kernel", boot.MediumKernel},
	{"initrd", boot.MediumInitrd},
	{"guests", boot.MediumGuests + "/"},
	{"boot loader", "boot/"},
	{"boot loader", "EFI/"},
	{"documents", ""},
}

// sizes reads the image's directory with an ISO 9660 reader that is not the writer's. A file that is
// the end of the initrd takes no room of its own: that is how the demo guests' initrd is kept.
func sizes(image string) ([]Size, error) {
	f, err := os.Open(image)
	if err != nil {
		return nil, fmt.Errorf("%w: build it with make iso", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	disc, err := iso9660.OpenImage(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", image, err)
	}
	root, err := disc.RootDir()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", image, err)
	}
	var files []file
	if err := list(&files, root, ""); err != nil {
		return nil, fmt.Errorf("read %s: %w", image, err)
	}
	sums, err := bySum(files)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", image, err)
	}
	return bySize(sums, info.Size()), nil
}

// file is a file of the image with its path.
type file struct {
	path string
	*iso9660.File
}

// list appends all files under dir, whose path is at.
func list(files *[]file, dir *iso9660.File, at string) error {
	children, err := dir.GetChildren()
	if err != nil {
		return fmt.Errorf("list /%s: %w", at, err)
	}
	for _, child := range children {
		name := path.Join(at, child.Name())
		if !child.IsDir() {
			*files = append(*files, file{name, child})
		} else if err := list(files, child, name); err != nil {
			return err
		}
	}
	return nil
}

// bySum adds the files' sizes by component.
func bySum(files []file) (map[string]int64, error) {
	var initrd []byte
	for _, f := range files {
		if f.path == boot.MediumInitrd {
			var err error
			if initrd, err = io.ReadAll(f.Reader()); err != nil {
				return nil, err
			}
		}
	}
	sums := map[string]int64{}
	for _, f := range files {
		if f.path != boot.MediumInitrd && f.Size() > 0 && f.Size() <= int64(len(initrd)) {
			data, err := io.ReadAll(f.Reader())
			if err != nil {
				return nil, err
			}
			if bytes.HasSuffix(initrd, data) {
				continue
			}
		}
		sums[component(f.path)] += f.Size()
	}
	return sums, nil
}

// component returns the name of the component that a path belongs to.
func component(name string) string {
	for _, c := range components {
		if strings.HasPrefix(name, c.prefix) {
			return c.name
		}
	}
	return ""
}

// bySize returns the sums in the table's order, then the rest and the whole.
func bySize(sums map[string]int64, total int64) []Size {
	var out []Size
	rest := total
	for _, c := range components {
		if n, ok := sums[c.name]; ok {
			out = append(out, Size{c.name, n})
			rest -= n
			delete(sums, c.name) // two rows may share a name
		}
	}
	return append(out, Size{"image structures", rest}, Size{"image", total})
}
