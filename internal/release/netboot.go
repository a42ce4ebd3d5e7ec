package release

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// netboot writes the netboot tree as an archive that is the same wherever the tree was made: sorted by
// path, owned by root, dated as the disc.
func (w *writer) netboot(to io.Writer) error {
	root, err := os.OpenRoot(w.Netboot)
	if err != nil {
		return fmt.Errorf("netboot tree: %w", err)
	}
	defer root.Close()
	archive := tar.NewWriter(to)
	top := w.name + "-netboot"
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := addToArchive(archive, root, name, path.Join(top, name), w.BOM.Date); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(w.Netboot, name), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

// addToArchive adds the file or directory name of root to the archive as the path at.
func addToArchive(archive *tar.Writer, root *os.Root, name, at string, date time.Time) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: at, Size: info.Size(), Mode: 0o644, ModTime: date.Truncate(time.Second),
	}
	switch {
	case info.IsDir():
		header.Typeflag, header.Name, header.Size, header.Mode = tar.TypeDir, at+"/", 0, 0o755
		return archive.WriteHeader(header)
	case !info.Mode().IsRegular():
		return fmt.Errorf("is no file and no directory (%s): a netboot tree has nothing else", info.Mode().Type())
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	copied, err := io.Copy(archive, f)
	if err == nil && copied < info.Size() {
		err = fmt.Errorf("%d bytes are left of %d: do not build into the tree meanwhile", copied, info.Size())
	}
	return err
}

// netbootSize is what the files of the netboot tree have together, in bytes.
func (w *writer) netbootSize() (total int64, err error) {
	err = filepath.WalkDir(w.Netboot, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
