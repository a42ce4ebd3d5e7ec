// Package checksum holds the files of a medium to its list of SHA-256 sums, for "check this disc". What
// cannot be read counts as damaged and does not keep the rest from being read.
package checksum

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Checker checks one medium.
type Checker struct {
	Medium fs.FS // its root, where the list is
	// Damaged is called for each file that is missing, cannot be read, or has other contents than were
	// written.
	Damaged func(file string, err error)
	// Progress is called after every block that was read, several times a second.
	Progress func(Progress)
	// Patience is how long the medium has to be silent before it is given up; 0 is two minutes. A drive that
	// tries a scratched place again and again may take one.
	Patience time.Duration
}

const usualPatience = 2 * time.Minute

// Result is what a check found.
type Result struct {
	Files    int      // in the list
	Bytes    int64    // that they have together, as far as they are there
	Damaged  int      // files of the list, and directories that cannot be read
	Unlisted []string // files that the list does not name, and that were not checked for that
}

// blockSize is how much is read at a time, bytes: what a CD drive of 1x gives in a second and a half.
const blockSize = 256 << 10

var errContents = errors.New("its contents are not those that were written (the SHA-256 sum differs)")

// Run reads every file that the list names. The error says that the list is of no use, that the medium does not
// answer any more, or that ctx ended; damaged files are none. What hangs in the kernel is left behind.
func (c *Checker) Run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	run := &run{Checker: c, ctx: ctx, start: time.Now(), block: make([]byte, blockSize), beat: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- run.all() }()
	err := run.await(done)
	cancel()
	select {
	case <-done: // closed, or with what comes after await gave up
		return run.result, err
	case <-time.After(lingering):
		return Result{}, err
	}
}

// lingering is how long a check that was called off may take to notice.
const lingering = time.Second

// await waits for the end of the check as long as the medium answers.
func (r *run) await(done chan error) error {
	patience := cmp.Or(r.Patience, usualPatience)
	for {
		select {
		case err := <-done:
			close(done)
			return err
		case <-r.beat:
		case <-time.After(patience):
			return fmt.Errorf("the medium has not answered for %v", patience)
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// all is the check, in the goroutine that reads the medium.
func (r *run) all() error {
	sums, err := r.list()
	if err != nil {
		return err
	}
	r.result.Files = len(sums)
	r.look(sums)
	for _, sum := range sums {
		if err := r.check(sum); r.ctx.Err() != nil {
			return r.ctx.Err()
		} else if err != nil {
			r.damaged(sum.Path, err)
		}
	}
	return nil
}

// list reads the list. Its paths come out as fs.FS has them.
func (c *Checker) list() ([]sha256sums.Sum, error) {
	file, err := c.Medium.Open(boot.MediumSums)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the medium has no list %s to check its files against: %w", boot.MediumSums, err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sums, err := sha256sums.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", boot.MediumSums, err)
	}
	if len(sums) == 0 {
		return nil, fmt.Errorf("%s is damaged: it is empty", boot.MediumSums)
	}
	for i, sum := range sums {
		sums[i].Path = path.Clean(sum.Path)
		if !fs.ValidPath(sums[i].Path) {
			return nil, fmt.Errorf("%s is damaged: %q is no file of the medium", boot.MediumSums, sum.Path)
		}
	}
	return sums, nil
}

// run is a check under way.
type run struct {
	*Checker
	ctx    context.Context
	start  time.Time
	sizes  map[string]int64 // bytes, by path; of files that are there
	done   int64            // bytes of the files before the present one
	block  []byte
	beat   chan struct{} // gets a value when the medium has answered
	result Result
}

// alive notes that the medium has answered, and reports whether the check goes on.
func (r *run) alive() bool {
	select {
	case r.beat <- struct{}{}:
	default:
	}
	return r.ctx.Err() == nil
}

// look walks through the medium: what there is to read, and what the list does not name.
func (r *run) look(sums []sha256sums.Sum) {
	r.sizes = map[string]int64{}
	listed := map[string]bool{}
	for _, sum := range sums {
		listed[sum.Path] = true
	}
	_ = fs.WalkDir(r.Medium, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case !r.alive():
			return r.ctx.Err()
		case err != nil:
			r.damaged(name, err)
			return fs.SkipDir
		case entry.IsDir():
		case name == boot.MediumSums: // no list can have its own sum
		case !listed[name]:
			r.result.Unlisted = append(r.result.Unlisted, name)
		default:
			r.measure(name, entry)
		}
		return nil
	})
}

// measure notes a file's size. One that has none is met again when it is to be read.
func (r *run) measure(name string, entry fs.DirEntry) {
	if info, err := entry.Info(); err == nil {
		r.sizes[name] = info.Size()
		r.result.Bytes += info.Size()
	}
}

// check reads a file and compares its sum.
func (r *run) check(sum sha256sums.Sum) error {
	defer func() { r.done += r.sizes[sum.Path] }()
	file, err := r.Medium.Open(sum.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	var read int64
	for {
		n, err := file.Read(r.block)
		hash.Write(r.block[:n])
		read += int64(n)
		r.progress(sum.Path, min(read, r.sizes[sum.Path]))
		if err == io.EOF {
			break
		}
		if err := cmp.Or(r.ctx.Err(), err); err != nil {
			return err
		}
	}
	if [sha256.Size]byte(hash.Sum(nil)) != sum.SHA256 {
		return errContents
	}
	return nil
}

func (r *run) damaged(file string, err error) {
	if r.ctx.Err() != nil {
		return // it was called off: nobody listens
	}
	r.result.Damaged++
	if r.Damaged != nil {
		r.Damaged(file, err)
	}
}

// progress reports how far the check is: read bytes into file.
func (r *run) progress(file string, read int64) {
	if r.alive() && r.Progress != nil {
		r.Progress(Progress{Done: r.done + read, Total: r.result.Bytes, Elapsed: time.Since(r.start), File: file})
	}
}
