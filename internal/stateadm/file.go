package stateadm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/progress"
	"github.com/zerodisc/zerodisc/internal/readonly"
	"github.com/zerodisc/zerodisc/internal/statefile"
	"github.com/zerodisc/zerodisc/internal/storage"
)

// largestOnFAT is how large a file may be there.
const largestOnFAT = 1<<32 - 1

// createFile makes a file in the file system on a device the state volume. It is the only time that this file system is
// mounted for writing.
func (t *tool) createFile(name string, bytes int64, yes bool) error {
	now, err := t.State()
	if err != nil {
		return err
	}
	d, err := t.examine(name)
	if err != nil {
		return err
	}
	fmt.Fprint(t.Out, d.describe(), t.contents(d))
	if err := t.refuse(d, now); err != nil {
		return err
	}
	if err := t.refuseFile(d, bytes); err != nil {
		return err
	}
	what := fmt.Sprintf("A file of %s will be made in the file system on %s, %s; all else there stays as it is.",
		bytesize.Text(bytes), d.path(), statefile.Name)
	if !yes && !t.confirmed(what) {
		return errUnchanged
	}
	if err := t.letGo(d); err != nil {
		return err
	}
	err = t.makeFile(d, bytes)
	t.lookAgain(d)
	if err != nil {
		return err
	}
	return t.announceFile(d)
}

// maxNames is how many names are shown of what is in a file system.
const maxNames = 10

// contents shows what is in the file system on a device, where it is mounted.
func (t *tool) contents(d device) string {
	if len(d.mounts) == 0 {
		return ""
	}
	entries, _ := os.ReadDir(d.mounts[0].dir)
	var names []string
	for _, e := range entries[:min(len(entries), maxNames)] {
		names = append(names, printable.Line(e.Name()))
	}
	if len(entries) > maxNames {
		names = append(names, fmt.Sprintf("and %d more", len(entries)-maxNames))
	}
	text := "  " + strings.Join(names, ", ") + "\n"
	var stat unix.Statfs_t
	if unix.Statfs(d.mounts[0].dir, &stat) == nil {
		text += fmt.Sprintf("  %s free\n", bytesize.Text(int64(stat.Bavail)*stat.Bsize))
	}
	return text
}

// refuseFile is an error where a file of that many bytes cannot be made on a device, or should not.
func (t *tool) refuseFile(d device, bytes int64) error {
	kind := d.content.Type
	switch {
	case len(d.parts) > 0:
		return fmt.Errorf("%s has partitions; name one of them", d.path())
	case !statefile.Holds(kind):
		return fmt.Errorf("%s has no file system that can hold the file; that takes FAT, exFAT or ext4", d.path())
	case bytes < leastBytes:
		return fmt.Errorf("a state volume needs %s at least", bytesize.Text(leastBytes))
	case kind == "vfat" && bytes > largestOnFAT:
		return errors.New("in a FAT file system no file can have 4G or more; -size 4095M is the largest")
	}
	file, err := os.Open(filepath.Join(t.dev, d.name))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := statefile.Clean(file, kind); err != nil {
		return fmt.Errorf("%s: %w; check it on another machine: chkdsk /f, fsck", d.path(), err)
	}
	return nil
}

// makeFile mounts the file system on a device and makes the file in it. It can be interrupted, and leaves nothing
// behind then.
func (t *tool) makeFile(d device, bytes int64) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	dir, err := os.MkdirTemp("", "zerodisc-state-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	how, _ := readonly.Of(d.content.Type)
	options := ""
	if how.Driver == "ext4" {
		options = "errors=remount-ro"
	}
	const flags = unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mount := func() error {
		return loopdev.MountDevice(filepath.Join(t.dev, d.name), dir, how.Driver, flags, options)
	}
	if err := patiently(mount); err != nil {
		return err
	}
	defer func() {
		if unmounted := unix.Unmount(dir, 0); unmounted != nil && err == nil {
			err = fmt.Errorf("unmount %s: %w", d.path(), unmounted)
		}
	}()
	return t.fillFile(ctx, dir, bytes)
}

// fillFile makes the file in a directory. It gets its name when it is complete.
func (t *tool) fillFile(ctx context.Context, dir string, bytes int64) (err error) {
	name := filepath.Join(dir, statefile.Name)
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is a %s already; remove it first", statefile.Name)
	}
	anew := name + ".new"
	if err := os.Remove(anew); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(anew)
		}
	}()
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return err
	}
	if free := int64(stat.Bavail) * stat.Bsize; free < bytes {
		return fmt.Errorf("it has %s free, where %s are needed", bytesize.Text(free), bytesize.Text(bytes))
	}
	if err := t.writeZeros(ctx, anew, bytes); err != nil {
		return fmt.Errorf("write %s: %w", statefile.Name, err)
	}
	// What mke2fs discards would be a hole.
	if err := t.mke2fs(anew, "-E", "nodiscard"); err != nil {
		return err
	}
	if err := sync(anew); err != nil {
		return err
	}
	return os.Rename(anew, name)
}

// writeZeros makes a file with all of its blocks. What was written is on the disk before more follows, so that the
// progress is true.
func (t *tool) writeZeros(ctx context.Context, name string, bytes int64) error {
	const step, synced = 1 << 20, 32 << 20
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	shown := progress.New(t.Out)
	defer shown.Done()
	zeros := make([]byte, step)
	for done := int64(0); done < bytes; {
		n, err := file.Write(zeros[:min(step, bytes-done)])
		done += int64(n)
		if err == nil && done%synced == 0 {
			err = unix.Fdatasync(int(file.Fd()))
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		shown.Bytes("write "+statefile.Name, done, bytes)
	}
	return file.Sync()
}

func sync(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// lookAgain has everybody look at a device anew: init mounts its file system for guests again, and finds the file.
func (t *tool) lookAgain(d device) {
	_ = os.WriteFile(filepath.Join(t.sys, "class/block", d.name, "uevent"), []byte("change"), 0)
}

// announceFile waits until the volume in the new file is mounted, and says so, or says what has to be done for that.
func (t *tool) announceFile(d device) error {
	which := t.parameter()
	named := which != "" && strings.EqualFold(which, d.content.UUID)
	if named || (which == "" || which == "auto") && storage.IsTrusted(d.content.Label) {
		return t.await(d.path(), statefile.Name)
	}
	fmt.Fprintf(t.Out, "The file is there. It is the state volume when the parameter %s=%s names its file system",
		boot.KeyState, printable.Line(d.content.UUID))
	if which == "" || which == "auto" {
		fmt.Fprint(t.Out, ", or when that has a label that begins with ZERODISC-")
	}
	fmt.Fprintln(t.Out, ".")
	return nil
}
