package remaster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// structureName is what a person calls all that is no file's.
const structureName = "directories and boot records"

// ErrDamaged is what Verify reports of a disc that is not as it was written.
var ErrDamaged = errors.New("the disc is damaged: write it anew, or get it anew")

// Verify holds every byte of a disc, an ISO image or a device, to the sums that it carries itself
// (package iso9660). What is not as it was written is named on out, a line each, and makes an error
// that wraps ErrDamaged. progress, when not nil, is told the bytes read so far and in all. That a stick got
// partitions of its owner's behind the disc is no damage; out names them.
//
// The disc is read by our own reader. That of kdomanski/iso9660 (0.4.0), which the tests compare it
// with, shows a file of 4 GiB and more as several of one name, loses the Rock Ridge names in directories of
// more than one sector, such as /COPYRIGHT, and panics where a directory cannot be read.
func Verify(ctx context.Context, out io.Writer, name string, progress func(read, total int64)) error {
	m, err := openMedium(name)
	var unreadable *fs.PathError
	if errors.As(err, &unreadable) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w; either its %s are damaged, or it is no zerodisc disc", err, structureName)
	}
	defer m.Close()
	if m.Lookup(boot.MediumSums) == nil {
		return fmt.Errorf("%s: there is no %s on this disc: an older mkiso made it, or it is no zerodisc disc",
			name, boot.MediumSums)
	}
	files, structure, err := m.Sums(ctx, progress)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	v := &verdict{out: out, found: map[string]iso9660.FileSum{}}
	for _, f := range files {
		v.found[f.Path] = f
	}
	v.list(m, files)
	v.structure(ctx, m, structure)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	if v.damaged > 0 {
		return fmt.Errorf("%s: %d damaged: %w", name, v.damaged, ErrDamaged)
	}
	fmt.Fprintf(out, "ok: %d files, %s\n", len(files), bytesize.Text(m.Size()))
	if v.changed != "" {
		fmt.Fprintln(out, printable.Line("changed since it was written: "+v.changed))
	}
	return nil
}

// verdict tells what is damaged and counts it.
type verdict struct {
	out     io.Writer
	found   map[string]iso9660.FileSum // by path
	listed  map[string]sha256sums.Sum  // by path
	damaged int
	changed string // what a partition tool changed, which is no damage; "" for nothing
}

func (v *verdict) tell(name, format string, args ...any) {
	v.damaged++
	fmt.Fprintln(v.out, printable.Line(name+": "+fmt.Sprintf(format, args...)))
}

// list compares the files with the disc's list of sums. The list of an undamaged disc is, byte for
// byte, the one that its files make.
func (v *verdict) list(m *medium, files []iso9660.FileSum) {
	text, err := m.sumsText()
	if err != nil {
		v.tell(boot.MediumSums, "%v", err)
		return
	}
	before := v.damaged
	v.parse(string(text))
	for _, name := range slices.Sorted(maps.Keys(v.listed)) {
		v.compare(v.listed[name])
	}
	var others []iso9660.Sum
	for _, f := range files {
		if f.Path == boot.MediumSums {
			continue
		}
		others = append(others, f.Sum)
		if _, ok := v.listed[f.Path]; !ok {
			v.tell(f.Path, "is on the disc but not in %s", boot.MediumSums)
		}
	}
	want, err := iso9660.FormatSums(others)
	if v.damaged == before && (err != nil || string(want) != string(text)) {
		v.tell(boot.MediumSums, "is not as it was written")
	}
}

// parse reads the lines of the list.
func (v *verdict) parse(text string) {
	v.listed = map[string]sha256sums.Sum{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		sums, err := sha256sums.Parse(strings.NewReader(line))
		switch {
		case err != nil:
			_, reason, _ := strings.Cut(err.Error(), ": ")
			v.tell(boot.MediumSums, "line %d: %s", number, reason)
		case len(sums) == 1:
			v.listed[sums[0].Path] = sums[0]
		}
	}
}

// fewBits is how many of the 256 bits of two sums differ when one of them was damaged. Of two files,
// however alike, about 128 do, and never so few.
const fewBits = 16

// compare holds a file to its line in the list.
func (v *verdict) compare(sum sha256sums.Sum) {
	f, ok := v.found[sum.Path]
	switch {
	case !ok:
		v.tell(sum.Path, "is in %s but not on the disc", boot.MediumSums)
	case f.Err != nil:
		v.tell(sum.Path, "%v", f.Err)
	case f.SHA256 == sum.SHA256:
	case differingBits(f.SHA256, sum.SHA256) <= fewBits:
		v.tell(boot.MediumSums, "its line for %s is damaged; that file is as it was written", sum.Path)
	default:
		v.tell(sum.Path, "is not as it was written: its SHA-256 sum differs")
	}
}

func differingBits(a, b [32]byte) int {
	n := 0
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// structure compares everything else.
func (v *verdict) structure(ctx context.Context, m *medium, found iso9660.FileSum) {
	text, err := m.ReadFile(boot.MediumStructure, maxText)
	switch want := string(iso9660.StructureText(found.SHA256)); {
	case found.Err != nil:
		v.tell(structureName, "%v", found.Err)
	case err != nil:
		v.tell(structureName, "their sum is missing: %v", err)
	case string(text) == want:
	case v.found[boot.MediumStructure].SHA256 != v.listed[boot.MediumStructure].SHA256:
		// It is the sum's own file that is damaged, and was named.
	default:
		if v.changed, err = m.repartitioned(ctx, text); err != nil {
			v.tell(structureName, "are not as they were written: their SHA-256 sum differs (%v)", err)
		}
	}
}
