package diskimage

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Limits of what one image consists of.
const (
	maxLayers = 32
	maxFiles  = 512 // each stays open; 2 GB each make a VMDK of 1 TB
)

// formats open an image of their kind. They return its layer, and what it is based on, if anything.
var formats = map[string]func(*opener, *file) (layer, *base, error){
	"raw":   openRaw,
	"qcow2": openQCOW2,
	"vhd":   openVHD,
	"vmdk":  openVMDK,
}

// base is the image that another one is based on.
type base struct {
	names  []string // where it may be, below the guest's directory; the first one that can be opened is it
	format string
	accept func(*file, layer) error // nil: whatever it is
	remedy string                   // when it cannot be opened
}

// opener opens the files of one image.
type opener struct {
	dir   *os.Root
	files []*file
	pages *pages
}

// chain opens the image and those that it is based on.
func (o *opener) chain(name, format string) ([]layer, error) {
	if formats[format] == nil {
		return nil, fmt.Errorf("%s: the disk format %q is unknown; known are %s",
			printable.Line(name), format, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	var layers []layer
	var images []*file
	next := &base{names: []string{name}, format: format}
	for next != nil {
		f, err := o.first(next)
		if err == nil {
			err = checkChain(images, f)
		}
		if err != nil {
			return nil, basedOn(images, err)
		}
		l, below, err := formats[next.format](o, f)
		if err == nil && next.accept != nil {
			err = next.accept(f, l)
		}
		if err != nil {
			return nil, basedOn(images, err)
		}
		layers, images, next = append(layers, l), append(images, f), below
	}
	return layers, nil
}

// checkChain refuses a file as the next one of a chain that has no end.
func checkChain(images []*file, next *file) error {
	if len(images) == maxLayers {
		return fmt.Errorf("more than %d images are based on one another; "+
			"make one file of them with qemu-img convert -O qcow2 OLD NEW", maxLayers)
	}
	info, err := next.Stat()
	if err != nil {
		return next.errorf("%w", reason(err))
	}
	for _, f := range images {
		other, err := f.Stat()
		if err == nil && os.SameFile(info, other) {
			return next.errorf("the image is based on itself")
		}
	}
	return nil
}

// basedOn says of an error below the first image of a chain which disk it concerns.
func basedOn(images []*file, err error) error {
	if len(images) == 0 {
		return err
	}
	return fmt.Errorf("%s: based on another image: %w", images[0], err)
}

// first opens the file of a base. The error is that of the first place.
func (o *opener) first(b *base) (*file, error) {
	var problem error
	for _, name := range b.names {
		f, err := o.open(name)
		if err == nil {
			return f, nil
		}
		if problem == nil {
			problem = err
		}
	}
	if b.remedy != "" {
		return nil, fmt.Errorf("%w; %s", problem, b.remedy)
	}
	return nil, problem
}

// open opens a file below the guest's directory. It looks before it opens: to open a device or a pipe can have
// effects or never return.
func (o *opener) open(name string) (*file, error) {
	if len(o.files) == maxFiles {
		return nil, fmt.Errorf("%s: the image consists of more than %d files; "+
			"make one file of them with qemu-img convert -O qcow2 OLD NEW", printable.Line(name), maxFiles)
	}
	f := &file{name: name, number: len(o.files)}
	info, err := o.dir.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, f.errorf("not a regular file")
	}
	if err == nil {
		f.File, err = o.dir.Open(name)
	}
	if err == nil {
		o.files = append(o.files, f)
		info, err = f.Stat()
	}
	if err != nil {
		return nil, f.errorf("%w", reason(err))
	}
	f.size = info.Size()
	return f, nil
}

func (o *opener) close() {
	for _, f := range o.files {
		f.Close()
	}
}
