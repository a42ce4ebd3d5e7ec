package disksave

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/host"
)

// job is what is to be copied of a guest.
type job struct {
	guest  *host.Guest
	waited time.Duration // that the guest had to wait
	files  []guests.KeptFile
	images []image
}

// image is a disk that becomes a raw image.
type image struct {
	disk host.Disk
	to   string
	file *os.File // while it is being written
}

func (j job) vdevs() []string {
	var vdevs []string
	for _, i := range j.images {
		vdevs = append(vdevs, i.disk.Vdev)
	}
	return vdevs
}

// write makes a guest's directory, in place of the one that is there.
func (t *tool) write(ctx context.Context, target, name string, config []byte, j *job) (err error) {
	store := filepath.Dir(target)
	temporary := filepath.Join(store, "."+name+".new") // hidden, and so no guest
	err = errors.Join(os.MkdirAll(store, 0o755), os.RemoveAll(temporary))
	if err == nil {
		err = os.Mkdir(temporary, 0o755)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
	}()
	for i := range j.images {
		j.images[i].to = filepath.Join(temporary, j.images[i].to)
	}
	for i := range j.files {
		j.files[i].To = filepath.Join(temporary, j.files[i].To)
	}
	if err := t.copy(ctx, temporary, j); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(temporary, name+".cfg"), config); err != nil {
		return err
	}
	if err := syncTree(temporary); err != nil {
		return err
	}
	return exchange(temporary, target)
}

// exchange puts the new directory in the place of the old one, if there is one, in one step.
func exchange(temporary, target string) error {
	err := unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(temporary, target)
	}
	if err != nil {
		return fmt.Errorf("put %s in its place: %w", target, err)
	}
	if err := syncDir(filepath.Dir(target)); err != nil {
		return err
	}
	return os.RemoveAll(temporary) // the old one
}

func writeFile(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncTree has a directory and those in it written out. Files in them were.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = syncDir(path)
		}
		return err
	})
}

func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return fmt.Errorf("write out %s: %w", dir, err)
	}
	return nil
}

// slack is what the file system itself takes of the room for what is saved.
const slack = 8 << 20

// copy copies all of a job to the file system that dir is on. It checks the room first.
func (t *tool) copy(ctx context.Context, dir string, j *job) error {
	need, err := t.need(j)
	if err != nil {
		return err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("room in %s: %w", dir, err)
	}
	if free := int64(stat.Bavail) * stat.Bsize; need+slack > free {
		return fmt.Errorf("there is not enough room in %s: %s are needed, %s are free",
			dir, bytesize.Text(need+slack), bytesize.Text(free))
	}
	for _, f := range j.files {
		if err := t.copyFile(ctx, f); err != nil {
			return err
		}
	}
	defer j.close()
	for i := range j.images {
		if err := t.copyBase(ctx, j.guest, &j.images[i]); err != nil {
			return fmt.Errorf("disk %s: %w", j.images[i].disk.Vdev, err)
		}
	}
	if err := t.copyChanges(ctx, j); err != nil {
		return err
	}
	for _, i := range j.images {
		t.progress.Step("writing out " + i.disk.Vdev)
		if err := i.file.Sync(); err != nil {
			return fmt.Errorf("write out %s: %w", i.to, err)
		}
	}
	return nil
}

func (j *job) close() {
	for _, i := range j.images {
		if i.file != nil {
			i.file.Close()
		}
	}
}

// need is how much room a job takes at most, bytes.
func (t *tool) need(j *job) (int64, error) {
	sum := j.guest.Changes.UsedKiB << 10
	for _, f := range j.files {
		if t.isKept(f.From) {
			continue
		}
		n, err := allocated(f.From)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	for _, i := range j.images {
		n, err := t.baseBytes(i.disk)
		if err != nil {
			return 0, fmt.Errorf("disk %s: %w", i.disk.Vdev, err)
		}
		sum += n
	}
	return sum, nil
}

// allocated is how much room a file takes that has holes.
func allocated(name string) (int64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(name, &stat); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return min(stat.Size, stat.Blocks*512), nil
}

// isKept says whether a file is on the state volume already: then the new directory gets another name for it. The
// guest, which has it open, goes on writing to the one that counts.
func (t *tool) isKept(path string) bool { return strings.HasPrefix(path, filepath.Dir(t.Guests)+"/") }
