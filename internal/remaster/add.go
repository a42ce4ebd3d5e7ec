package remaster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/guestdir"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/output"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/sha256sums"
	"github.com/zerodisc/zerodisc/internal/sourcedate"
)

// AddOptions say what a new disc has more than an old one.
type AddOptions struct {
	In       string   // the old disc: an ISO image or a device
	Out      string   // the new disc; it may take the place of In
	Guests   []string // directories: guests, or stores of guests
	Settings string   // file that replaces the disc's settings; "" keeps them
	Config   string   // file that replaces the disc's zerodisc.yaml; "" keeps it
	Replace  bool     // guests take the place of the disc's with the same name or directory
	Erase    bool     // Out may be a disk, which is overwritten
	// Progress, when not nil, is called with what is being done and the bytes done so far and in all.
	Progress func(step string, done, total int64)
	Note     func(line string) // called with what a person should know; nil for nobody
}

// Add makes the disc opts.Out: opts.In with more guests or other settings. It boots from everything
// that the old one does. Beside the old build id it has a medium id of its own, by which dom0 tells
// it from the old disc, and which says what was added: the same inputs make the same bytes. What it
// takes from the old disc is held to the sums there; damage is an error. An error or a cancelled context
// leaves no partial disc behind, and an older file at opts.Out as it was.
func Add(ctx context.Context, opts AddOptions) error {
	if len(opts.Guests) == 0 && opts.Settings == "" && opts.Config == "" {
		return errors.New("there is nothing to add: name a guest, a file of settings or a configuration")
	}
	if opts.Progress == nil {
		opts.Progress = func(string, int64, int64) {}
	}
	if opts.Note == nil {
		opts.Note = func(string) {}
	}
	if err := opts.checkOut(); err != nil {
		return err
	}
	disc, err := openZerodisc(opts.In)
	if err != nil {
		return err
	}
	defer disc.Close()
	a := &adder{AddOptions: opts, disc: disc, want: map[string][sha256.Size]byte{}}
	if a.date, err = sourcedate.Or(disc.ModTime); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		a.readSums, a.readSettings, a.takeGuests, a.readConfig, a.keepFiles, a.hashAdded, a.addMade, a.makeBootable,
		a.write,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (o AddOptions) out() output.File {
	return output.File{Flag: "-o", Name: o.Out, Image: true, Erase: o.Erase}
}

// checkOut looks at the place of the new disc before anything is read.
func (o AddOptions) checkOut() error {
	if o.out().OnDisk(o.In) {
		return fmt.Errorf("-o %s: the old disc is on it, and cannot be read while it is overwritten; "+
			"write a file, and then that to the disk", o.Out)
	}
	if err := o.out().Check(); err != nil {
		return err
	}
	return output.Distinct(
		output.Place{Flag: "-o", Name: o.Out, Written: true}, output.Place{Flag: "-config", Name: o.Settings},
		output.Place{Flag: "-config", Name: o.Config})
}

// adder holds what the steps hand on.
type adder struct {
	AddOptions
	disc     *zerodisc
	files    []*iso9660.Content // of the old disc
	text     []byte             // settings.txt
	settings grub.Settings
	dropped  map[string]bool // directories of guests that are replaced
	added    []iso9660.File
	date     time.Time
	mediumID string
	img      iso9660.Image
	want     map[string][sha256.Size]byte // of files that must come out unchanged, by path
}

// readSums takes the old disc's sums, and checks what else is taken from it.
func (a *adder) readSums(ctx context.Context) error {
	text, err := a.disc.sumsText()
	if err != nil {
		return fmt.Errorf("%s: %w; an older mkiso made it, and it cannot be checked", a.In, err)
	}
	sums, err := sha256sums.Parse(bytes.NewReader(text))
	if err != nil {
		return a.damaged("%s: %v", boot.MediumSums, err)
	}
	for _, sum := range sums {
		a.want[sum.Path] = sum.SHA256
	}
	want, err := a.disc.ReadFile(boot.MediumStructure, maxText)
	if err != nil {
		return a.damaged("%v", err)
	}
	structure, err := a.disc.Structure(ctx)
	if err != nil {
		return err
	}
	if err := structure.Err; err != nil {
		return a.damaged("%s: %v", structureName, err)
	}
	if string(want) == string(iso9660.StructureText(structure.SHA256)) {
		return nil
	}
	if _, err := a.disc.repartitioned(ctx, want); err != nil {
		return a.damaged("its %s are not as they were written (%v)", structureName, err)
	}
	return nil
}

func (a *adder) damaged(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w; see mkiso verify", a.In, fmt.Sprintf(format, args...), ErrDamaged)
}

// readSettings takes the file of settings, or the disc's own.
func (a *adder) readSettings(context.Context) (err error) {
	switch {
	case a.Settings != "":
		a.text, a.settings, err = grub.ReadSettings(a.Settings)
		return err
	case a.disc.Lookup(boot.MediumSettingsText) == nil:
		a.text = grub.SettingsTemplate()
		return nil
	}
	if a.text, err = a.disc.ReadFile(boot.MediumSettingsText, grub.MaxSettings); err != nil {
		return err
	}
	a.settings, err = grub.ParseSettings(a.In+": "+boot.MediumSettingsText, bytes.NewReader(a.text))
	return err
}

// takeGuests checks the guests, and lists their files and what they replace.
func (a *adder) takeGuests(context.Context) error {
	a.files = contents(a.disc.Disc)
	old := guestsOf(a.disc.Disc, a.files)
	inTheWay := present(old)
	if a.Replace {
		inTheWay = guestdir.Present{}
	}
	taken, err := guestdir.Take(a.Guests, inTheWay)
	if err != nil {
		return err
	}
	a.added = taken.Files
	for _, line := range taken.Summary() {
		a.Note(line)
	}
	a.dropped = map[string]bool{}
	for _, guest := range taken.Guests {
		for _, g := range old {
			if g.name == guest.Name || g.dir == filepath.Base(guest.Dir) {
				a.dropped[g.dir] = true
			}
		}
	}
	return nil
}

// readConfig takes the configuration, if its text makes sense.
func (a *adder) readConfig(context.Context) error {
	if a.Config == "" {
		return nil
	}
	text, err := config.ReadFile(a.Config)
	a.added = append(a.added, iso9660.File{Path: boot.ConfigName, Content: iso9660.Bytes(text)})
	return err
}

// madeAnew are files of the old disc that the new one has others of.
var madeAnew = []string{boot.MediumSums, boot.MediumStructure, boot.MediumSettings, boot.MediumSettingsText}

// keepFiles takes over the files of the old disc that stay.
func (a *adder) keepFiles(context.Context) error {
	for i, f := range a.disc.Files {
		if f.Irregular {
			return fmt.Errorf("%s: %q is no file: no zerodisc disc has that", a.In, f.Path)
		}
		if a.goes(f.Path) {
			delete(a.want, f.Path)
			continue
		}
		if _, ok := a.want[f.Path]; !ok {
			return a.damaged("%q is not in %s", f.Path, boot.MediumSums)
		}
		a.img.Files = append(a.img.Files, iso9660.File{Path: f.Path, Content: a.files[i], Executable: f.Executable})
	}
	for name := range a.want {
		if a.disc.Lookup(name) == nil {
			return a.damaged("%q is missing", name)
		}
	}
	return nil
}

// goes says whether a file of the old disc is not on the new one.
func (a *adder) goes(name string) bool {
	if id, ok := strings.CutPrefix(name, boot.MediumIDDir+"/"); ok {
		return id != a.disc.built.ID
	}
	if below, ok := strings.CutPrefix(name, boot.MediumGuests+"/"); ok {
		dir, _, inside := strings.Cut(below, "/")
		return inside && a.dropped[dir]
	}
	return slices.Contains(madeAnew, name) || name == boot.ConfigName && a.Config != ""
}

// suffixDigits is how many hexadecimal digits of a hash tell a remastered disc from others of its build.
const suffixDigits = 8

// hashAdded hashes what is added and names the disc by it.
func (a *adder) hashAdded(ctx context.Context) error {
	const step = "reading what is added"
	var done, total int64
	for _, f := range a.added {
		total += f.Content.Size
	}
	sum := sha256.New()
	text := func(kind, text string) { fmt.Fprintf(sum, "%s %d %s\n", kind, len(text), text) }
	text("disc", a.disc.mediumID())
	text("settings", string(a.text))
	for _, dir := range slices.Sorted(maps.Keys(a.dropped)) {
		text("replaced", dir)
	}
	slices.SortFunc(a.added, func(x, y iso9660.File) int { return cmp.Compare(x.Path, y.Path) })
	for _, f := range a.added {
		digest, err := hashContent(ctx, f.Content, func(n int) {
			done += int64(n)
			a.Progress(step, done, total)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", printable.Line(f.Path), err)
		}
		a.want[f.Path] = digest
		text("file", fmt.Sprintf("%x %t %s", digest, f.Executable, f.Path))
	}
	a.mediumID = fmt.Sprintf("%s-%x", a.disc.built.ID, sum.Sum(nil)[:suffixDigits/2])
	return nil
}

// hashContent reads a content and tells progress how many bytes were read more.
func hashContent(ctx context.Context, c *iso9660.Content, progress func(n int)) (digest [sha256.Size]byte, err error) {
	r, err := c.Open()
	if err != nil {
		return digest, err
	}
	defer r.Close()
	sum, buffer := sha256.New(), make([]byte, 256<<10)
	for {
		if ctx.Err() != nil {
			return digest, context.Cause(ctx)
		}
		n, err := r.Read(buffer)
		sum.Write(buffer[:n])
		progress(n)
		if errors.Is(err, io.EOF) {
			return [sha256.Size]byte(sum.Sum(nil)), nil
		}
		if err != nil {
			return digest, err
		}
	}
}

// addMade adds the guests and what follows from the settings.
func (a *adder) addMade(context.Context) error {
	config, err := a.settings.Config(a.mediumID)
	if err != nil {
		return err
	}
	a.img.Files = append(a.img.Files, a.added...)
	a.img.Files = append(a.img.Files,
		iso9660.File{Path: boot.MediumSettingsText, Content: iso9660.Bytes(a.text)},
		iso9660.File{Path: boot.MediumSettings, Content: iso9660.Bytes(config)},
		iso9660.File{Path: path.Join(boot.MediumIDDir, a.mediumID), Content: iso9660.Bytes(nil)})
	a.img.VolumeID = a.disc.VolumeID
	a.img.Sums, a.img.Structure = boot.MediumSums, boot.MediumStructure
	a.img.ModTime = a.date
	return nil
}

// makeBootable takes over the boot images. That for BIOS changes when its place does, so it is
// checked here.
func (a *adder) makeBootable(ctx context.Context) error {
	images := map[iso9660.Platform]*iso9660.Content{}
	for _, p := range platforms {
		entry, ok := a.disc.bootEntry(p.platform)
		if !ok {
			return fmt.Errorf("%s: it has no boot image for %s", a.In, p.name)
		}
		i := a.disc.fileAt(entry.LBA)
		if i < 0 || a.files[i].IsTail() {
			return fmt.Errorf("%s: its boot image for %s at sector %d is no file", a.In, p.name, entry.LBA)
		}
		f, content := a.disc.Files[i], a.files[i]
		images[p.platform] = content
		if p.platform != iso9660.BIOS {
			continue
		}
		digest, err := hashContent(ctx, content, func(int) {})
		if err != nil {
			return fmt.Errorf("%s: %s: %w", a.In, printable.Line(f.Path), err)
		}
		if digest != a.want[f.Path] {
			return a.damaged("%s", printable.Line(f.Path))
		}
		delete(a.want, f.Path)
	}
	mbr := make([]byte, bootSector)
	if n, err := a.disc.file.ReadAt(mbr, 0); n < len(mbr) {
		return fmt.Errorf("%s: read sector 0: %w", a.In, err)
	}
	made := grub.Made{MediumID: a.mediumID, BIOS: images[iso9660.BIOS], EFI: images[iso9660.EFI], MBR: mbr}
	if err := made.AddTo(&a.img); err != nil {
		return fmt.Errorf("%s: %w", a.In, err)
	}
	return nil
}

// write writes the disc, and gives it its name if what was written is what was to be.
func (a *adder) write(ctx context.Context) error {
	layout, err := a.img.Layout()
	if err != nil {
		return err
	}
	return a.out().Write(layout.Size(), func(to io.Writer) error {
		sums, err := a.img.Write(ctx, to, func(written, total int64) {
			a.Progress("writing the image", written, total)
		})
		if err != nil {
			return err
		}
		for _, sum := range sums {
			if want, ok := a.want[sum.Path]; ok && want != sum.SHA256 {
				err = errors.Join(err, a.changed(sum.Path))
			}
		}
		// Windows does not rename over a file that is open, and Out may be In.
		return errors.Join(err, a.disc.Close())
	})
}

// changed explains a file that does not have the sum it should have.
func (a *adder) changed(name string) error {
	if slices.ContainsFunc(a.added, func(f iso9660.File) bool { return f.Path == name }) {
		return fmt.Errorf("%s: %w", printable.Line(name), iso9660.ErrSize)
	}
	return a.damaged("%s", printable.Line(name))
}
