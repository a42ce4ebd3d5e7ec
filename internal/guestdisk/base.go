package guestdisk

import (
	"context"
	"fmt"
	"os"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/diskimage"
)

// Image is an image file as it is made up of parts; *diskimage.Image is one.
type Image interface {
	Size() int64
	Lookup(offset, limit int64) (diskimage.Run, error)
	Close() error
}

// base makes a block device of what the disk's configuration names.
func (s *Set) base(ctx context.Context, p plan) (string, error) {
	if p.image {
		return s.imageBase(ctx, p)
	}
	block, err := s.manager.Kernel.IsBlock(p.Target)
	if err != nil || block {
		return p.Target, err
	}
	file, err := os.Open(p.Target)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return s.attach(file, true)
}

// imageBase makes a block device of an image.
func (s *Set) imageBase(ctx context.Context, p plan) (string, error) {
	image, err := s.manager.Images.Open(p.Target, p.Format)
	if err != nil {
		return "", err
	}
	defer image.Close()
	if image.Size() < sectorBytes {
		return "", fmt.Errorf("%s has less than a sector of %d bytes", p.Target, sectorBytes)
	}
	parts, damage := layOut(image)
	if damage != nil {
		s.damage[p.Vdev] = "some of it cannot be read: " + damage.Error()
	}
	if len(parts) == 1 && parts[0].kind == served {
		return s.serve(ctx, p)
	}
	table, err := s.table(ctx, p, parts)
	if err != nil {
		return "", err
	}
	return s.create(s.name(p.Vdev, "-base"), "", table, true)
}

// serve starts a program that serves the image.
func (s *Set) serve(ctx context.Context, p plan) (string, error) {
	key := s.name(p.Vdev, "")
	device, err := s.manager.Images.Serve(ctx, key, s.service(p.Vdev), p.Target, p.Format)
	if err == nil {
		s.did(func() error { return s.manager.Images.Stop(key) })
	}
	return device, err
}

// service is the name of the service that serves an image. A guest that is renamed keeps it.
func (s *Set) service(vdev string) string { return "image-" + s.spec.Name + "-" + vdev }

// table makes a device mapper's table of an image's parts.
func (s *Set) table(ctx context.Context, p plan, parts []part) (table []devmapper.Target, err error) {
	devices := map[*os.File]string{} // of the image's files
	var server string
	for _, part := range parts {
		row := devmapper.Target{Start: uint64(part.start / sectorBytes), Length: uint64(part.length / sectorBytes)}
		switch part.kind {
		case zeros:
			row.Type = "zero"
		case stored:
			device := devices[part.file]
			if device == "" {
				if device, err = s.attach(part.file, true); err != nil {
					return nil, err
				}
				devices[part.file] = device
			}
			row.Type, row.Params = "linear", fmt.Sprintf("%s %d", device, part.offset/sectorBytes)
		case served:
			if server == "" {
				if server, err = s.serve(ctx, p); err != nil {
					return nil, err
				}
			}
			row.Type, row.Params = "linear", fmt.Sprintf("%s %d", server, part.start/sectorBytes)
		}
		table = append(table, row)
	}
	return table, nil
}
