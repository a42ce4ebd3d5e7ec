package boundedlog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/tick"
)

// Directory is a tree of logs that other programs write: they have the files open for appending, as xl, its
// monitors and QEMU do (O_APPEND), and know of no limit.
type Directory struct {
	Path     string
	MaxFile  int64         // bytes of a file before its older half is dropped
	MaxTotal int64         // bytes of all files before the oldest are dropped
	MaxFiles int           // how many
	Every    time.Duration // between two looks
}

// Keep keeps the tree within its limits until ctx ends. Between two looks it may grow beyond them: what bounds it
// then is its file system.
func (d Directory) Keep(ctx context.Context, problem func(error)) {
	var last string
	for {
		err := d.Trim()
		if text := errorText(err); text != last { // each problem once
			last = text
			if err != nil {
				problem(err)
			}
		}
		select {
		case <-tick.After(d.Every):
		case <-ctx.Done():
			return
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// logFile is a file of the tree.
type logFile struct {
	name    string
	bytes   int64 // that it takes: a file may have holes
	changed time.Time
}

// Trim looks once through the tree and drops what is beyond its limits.
func (d Directory) Trim() error {
	if d.isSmall() {
		return nil
	}
	files, err := d.list()
	errs := []error{err}
	var total int64
	for i, f := range files {
		if f.bytes > d.MaxFile {
			files[i].bytes, err = shrinkFile(f.name, d.MaxFile/2)
			errs = append(errs, err)
		}
		total += files[i].bytes
	}
	slices.SortFunc(files, func(a, b logFile) int { return a.changed.Compare(b.changed) })
	for left := len(files); len(files) > 0 && (total > d.MaxTotal || left > d.MaxFiles); files = files[1:] {
		removed, err := drop(files[0].name)
		errs = append(errs, err)
		total -= files[0].bytes
		if removed {
			left--
		}
	}
	return errors.Join(errs...)
}

// isSmall says that the file system with the tree has so little in it that the tree cannot be beyond its limits, if it
// is a file system of its own: one question to the kernel in place of a walk.
func (d Directory) isSmall() bool {
	var s unix.Statfs_t
	if err := unix.Statfs(d.Path, &s); err != nil || s.Files == 0 {
		return false
	}
	used, files := int64(s.Blocks-s.Bfree)*s.Bsize, s.Files-s.Ffree
	return used < min(d.MaxFile, d.MaxTotal) && files < uint64(d.MaxFiles)
}

// list lists the regular files of the tree. That some go meanwhile is no error.
func (d Directory) list() ([]logFile, error) {
	var files []logFile
	err := filepath.WalkDir(d.Path, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files = append(files, logFile{name, allocated(info), info.ModTime()})
		return nil
	})
	return files, err
}

// allocated is how many bytes a file takes.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512
	}
	return info.Size()
}

func shrinkFile(name string, keep int64) (int64, error) {
	file, err := openRegular(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return shrink(file, keep)
}

// drop removes a file, or empties one that somebody has open: in a file without a name more lines would be seen
// by nobody and bounded by nothing.
func drop(name string) (removed bool, err error) {
	file, err := openRegular(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	// A lease for writing is granted to the only one who has the file open (fcntl(2), F_SETLEASE).
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return false, file.Truncate(0)
	}
	return true, os.Remove(name)
}
