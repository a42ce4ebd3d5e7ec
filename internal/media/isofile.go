package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// HostMount is where the file system is mounted that holds the medium as an ISO file. It stays so
// for as long as the medium is in use.
const HostMount = "/media/.iso-host"

// mountHost mounts the file system on device for reading only.
func mountHost(device, dir string, how readonly.Mount) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.Open(device)
	if err != nil {
		return err
	}
	defer file.Close()
	// By loop, although it is a block device: a driver may write even when it mounts for reading
	// only, as ext4 does to clear up deleted files that were open at a crash, and the kernel does
	// not refuse such writes to a disk (ext4_orphan_cleanup in fs/ext4/orphan.c). A loop device
	// for reading only refuses them, and leaves the disk free to be mounted by somebody else.
	err = loopdev.Mount(file, dir, how.Driver, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, how.Options)
	if errors.Is(err, unix.ENODEV) {
		return errors.New("this disc has no driver for it")
	}
	return err
}

// mountISO mounts the medium that is in file.
func mountISO(file *os.File, dir string) error {
	return loopdev.Mount(file, dir, "iso9660", unix.MS_NOSUID|unix.MS_NODEV, "")
}

// tryFileSystem searches the file system on a device for the medium as an ISO file and returns its
// path there. When it is found, it is mounted, and so is the file system.
func (s *search) tryFileSystem(ctx context.Context, about answer) (string, error) {
	kind, how, err := fileSystem(about.device)
	if err != nil {
		return "", err
	}
	if err := s.MountHost(about.device, about.hostDir, how); err != nil {
		return "", fmt.Errorf("%s, not searched: %w", kind, err)
	}
	file, err := s.findISO(ctx, about.hostDir)
	if err != nil {
		return "", errors.Join(fmt.Errorf("%s: %w", kind, err), s.Unmount(about.hostDir))
	}
	return file, nil
}

// findISO searches the file system mounted at hostDir: at the path that the boot loader named, then for
// files that are called *.iso.
func (s *search) findISO(ctx context.Context, hostDir string) (string, error) {
	// Within a root: a link in a foreign file system must not lead to a file of dom0's.
	root, err := os.OpenRoot(hostDir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	var problems []error
	try := func(name string) bool {
		err := s.tryISO(ctx, root, name)
		if err != nil && !errors.Is(err, errNotOurs) && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, about(name, err))
		}
		return err == nil
	}
	named := isoName(s.ISOFile)
	if named != "" && try(named) {
		return "/" + named, nil
	}
	names, err := listISOs(ctx, root.FS())
	for _, name := range names {
		if ctx.Err() != nil {
			err = errUnfinished
			break
		}
		if name != named && try(name) {
			return "/" + name, nil
		}
	}
	return "", notAmong(len(names), append(problems, err)...)
}

// isoName makes a path that begins at the root of a file system a name for package fs, "" for none.
func isoName(file string) string { return strings.TrimPrefix(path.Clean("/"+file), "/") }

// notAmong is the error that none of n ISO files is the medium; errs kept some from being looked at.
func notAmong(n int, errs ...error) error {
	text := "no ISO file in it"
	if n > 0 {
		text = fmt.Sprintf("none of its ISO files (%d) is the medium", n)
	}
	for _, err := range errs {
		if err != nil {
			text += fmt.Sprintf("; %v", err)
		}
	}
	return errors.New(text)
}

// tryISO mounts the file called name when it is the medium.
func (s *search) tryISO(ctx context.Context, root *os.Root, name string) error {
	info, err := root.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // the open of a pipe would wait
		return errNotOurs
	}
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	label, err := readVolumeID(file)
	if err != nil {
		return err
	}
	if label != boot.VolumeID {
		return errNotOurs
	}
	return s.mountMedium(ctx, func() error { return s.MountISO(file, s.dir) })
}
