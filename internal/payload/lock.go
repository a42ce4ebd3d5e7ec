package payload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
)

// lockFormat is a lock file's first line: format and version.
const lockFormat = "zerodisc-lock: 1"

// lockComment tells who opens a lock file what it is.
const lockComment = `# The exact packages of a build. Written by mkiso -lock; delete it to have it made anew.
# A package: NAME VERSION ARCHITECTURE BYTES SHA256, below it the source packages it comes from.
`

// Keys of lines in a lock file. No package name has a colon.
const (
	lockSuite = "suite:"
	lockRoot  = "root:"
	lockSum   = "sha256:" // the last line: of all that is before it
)

// ReadLock reads a lock file; the error is fs.ErrNotExist when there is none.
func ReadLock(file string) (*Resolution, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	res, err := parseLock(text)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w: restore the file, or delete it to have it made anew", file, err)
	}
	return res, nil
}

// WriteLock writes a lock file; a failure leaves an older one as it was.
func WriteLock(file string, res *Resolution) error {
	if err := atomicfile.WriteBytes(file, formatLock(res)); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return nil
}

// formatLock writes a resolution as text that diffs well: a line for each root, package and source.
func formatLock(res *Resolution) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, lockFormat)
	b.WriteString(lockComment)
	fmt.Fprintln(&b, lockSuite, res.Suite)
	for _, root := range res.Roots {
		fmt.Fprintln(&b, lockRoot, root)
	}
	for _, p := range res.Packages {
		fmt.Fprintln(&b, p.Name, p.Version, p.Arch, p.Size, p.SHA256)
		for _, s := range p.Sources {
			fmt.Fprintf(&b, "\t%s %s\n", s.Name, s.Version)
		}
	}
	fmt.Fprintf(&b, "%s %x\n", lockSum, sha256.Sum256(b.Bytes()))
	return b.Bytes()
}

// parseLock reads exactly what formatLock writes: its sum finds lines that were edited, merged or
// lost. The error names the line.
func parseLock(text []byte) (*Resolution, error) {
	first, _, _ := strings.Cut(string(text), "\n")
	if first != lockFormat {
		return nil, fmt.Errorf("line 1: %.40q is not %q, as the locks of this mkiso begin", first, lockFormat)
	}
	res := &Resolution{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if err := parseLockLine(res, strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := res.check(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	return res, checkWritten(text, formatLock(res))
}

// parseLockLine adds one line to what was read before.
func parseLockLine(res *Resolution, line string) error {
	fields := strings.Fields(line)
	switch {
	case line == lockFormat, strings.HasPrefix(line, "#"), strings.HasPrefix(line, lockSum+" "):
		return nil // checkWritten looks at these
	case strings.HasPrefix(line, "\t") && len(fields) == 2 && len(res.Packages) > 0:
		return addSource(&res.Packages[len(res.Packages)-1], Source{fields[0], fields[1]})
	case len(fields) == 5:
		return addPackage(res, fields)
	case len(fields) != 2:
	case fields[0] == lockSuite && res.Suite == "":
		res.Suite = fields[1]
		return nil
	case fields[0] == lockRoot:
		res.Roots = append(res.Roots, fields[1])
		return nil
	}
	return fmt.Errorf("%.80q is no line of a lock", line)
}

func addSource(p *Package, s Source) error {
	p.Sources = append(p.Sources, s)
	return s.check()
}

// addPackage adds the package of NAME VERSION ARCHITECTURE BYTES SHA256.
func addPackage(res *Resolution, fields []string) error {
	size, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return fmt.Errorf("package %s: size %q is no number of bytes", fields[0], fields[3])
	}
	p := Package{Name: fields[0], Version: fields[1], Arch: fields[2], Size: size, SHA256: fields[4]}
	if last := len(res.Packages) - 1; last >= 0 && res.Packages[last].Name >= p.Name {
		return fmt.Errorf("package %s comes after %s", p.Name, res.Packages[last].Name)
	}
	res.Packages = append(res.Packages, p)
	return p.checkBinary()
}

// checkWritten compares a lock with how its contents are written; the error names the first line
// that differs.
func checkWritten(text, written []byte) error {
	if bytes.Equal(text, written) {
		return nil
	}
	same := 0
	for same < min(len(text), len(written)) && text[same] == written[same] {
		same++
	}
	n := 1 + bytes.Count(text[:same], []byte("\n"))
	if same >= bytes.LastIndex(written, []byte(lockSum)) {
		return fmt.Errorf("line %d: the sum is not that of the lines above: one was edited, added or lost", n)
	}
	return fmt.Errorf("line %d: not as it was written", n)
}

// loadByLock is resolveAndLoad held to the lock file, which it writes when there is none.
func loadByLock(ctx context.Context, opts Options, roots []string) (*Tree, error) {
	res, err := ReadLock(opts.LockFile)
	if errors.Is(err, fs.ErrNotExist) {
		tree, err := resolveAndLoad(ctx, opts, roots)
		if err != nil {
			return nil, err
		}
		return tree, WriteLock(opts.LockFile, tree.Resolution)
	}
	if err != nil {
		return nil, err
	}
	if err := res.isFor(opts.Suite, roots); err != nil {
		return nil, fmt.Errorf("lock %s: %w: delete it to have it made anew, or name another", opts.LockFile, err)
	}
	tree, err := loadExact(ctx, opts, res)
	switch {
	case errors.Is(err, errGone):
		return nil, fmt.Errorf("lock %s: %w: the archive has moved on; delete the lock to build from what it has now",
			opts.LockFile, err)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", opts.LockFile, err)
	}
	return tree, keepResolution(opts, res)
}

// isFor says how a lock's suite and roots differ from those of a build.
func (r *Resolution) isFor(suite string, roots []string) error {
	if r.Suite != suite {
		return fmt.Errorf("it is for the suite %s, the build for %s", r.Suite, suite)
	}
	without := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
	}
	if added := without(roots, r.Roots); len(added) > 0 {
		return fmt.Errorf("it was made without %s", strings.Join(added, ", "))
	}
	if dropped := without(r.Roots, roots); len(dropped) > 0 {
		return fmt.Errorf("it was made with %s, which this build does not take", strings.Join(dropped, ", "))
	}
	return nil
}

// loadExact loads packages that were resolved in another build. What the archive's index does not have
// is looked for again in a new one: the lock may be younger than the index at hand.
func loadExact(ctx context.Context, opts Options, res *Resolution) (*Tree, error) {
	tree, err := load(ctx, opts, res)
	if !errors.Is(err, errGone) {
		return tree, err
	}
	a, err := newAPT(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := a.update(ctx, opts); err != nil {
		return nil, err
	}
	return load(ctx, opts, res)
}

// lockExt is the end of the names of resolutions in the cache that come from lock files.
const lockExt = ".lock"

// keepResolution has prune spare the packages of a lock, which the archive may not have any more.
func keepResolution(opts Options, res *Resolution) error {
	return WriteLock(opts.path("resolutions", res.key()+lockExt), res)
}
