package guests

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Guest is a guest directory that was read: its configuration and where the files are that the
// configuration names.
type Guest struct {
	Name   string // unique among the guests that run together
	Dir    string // absolute
	File   string // the configuration, absolute
	Config *Config
	// Trusted says that whoever wrote the configuration may do in dom0 what root may: it is from the boot medium, say.
	// Other guests are held to settings, and to files, that cannot leave the guest. It is the caller's to set.
	Trusted bool
	// Root is where the file system is mounted that the guest is on, "" where its links may lead anywhere.
	Root string
	// Override is what the host's owner wants of the guest in place of its configuration. It is the caller's to set.
	Override Override
}

// Trust marks all guests of a store as trusted, see Guest.Trusted, and returns them.
func Trust(guests []*Guest) []*Guest {
	for _, guest := range guests {
		guest.Trusted = true
	}
	return guests
}

// maxNameBytes keeps NAME.cfg and Xen's log files guest-NAME.log within a file name's 255 bytes.
const maxNameBytes = 200

// Load reads the guest in the directory dir, which has to hold exactly one *.cfg. An error is
// an *Error.
func Load(dir string) (*Guest, error) { return LoadFrom("", dir) }

// LoadFrom is Load for a guest on a file system that is mounted at root: no link in the guest's directory leads out of
// it.
func LoadFrom(root, dir string) (*Guest, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, asError(err, filepath.Base(dir), dir)
	}
	guest, err := load(root, absolute)
	if err != nil {
		return nil, asError(err, filepath.Base(absolute), absolute)
	}
	return guest, nil
}

func load(root, dir string) (*Guest, error) {
	file, err := findConfig(dir)
	if err == nil && root != "" {
		if err = Within(root, file); err != nil {
			err = newError(file, Pos{}, err.Error(), "put the file itself there", err)
		}
	}
	if err != nil {
		return nil, err
	}
	reader, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	config, err := Parse(file, reader)
	if err != nil {
		return nil, err
	}
	name, err := guestName(config, dir)
	if err != nil {
		return nil, err
	}
	return &Guest{Name: name, Dir: dir, File: file, Config: config, Root: root}, nil
}

// maxEntries bounds what is read of a guest's directory: on a foreign disk one can have any number of names.
const maxEntries = 4096

// readDir is the names in a guest's directory, of which it may have at most maxEntries.
func readDir(dir string) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("%s has more than %d names", dir, maxEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// findConfig returns the one configuration in dir.
func findConfig(dir string) (string, error) {
	entries, err := readDir(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, entry := range entries {
		if isConfig(dir, entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	switch len(names) {
	case 1:
		return filepath.Join(dir, names[0]), nil
	case 0:
		return "", newError(dir, Pos{}, "there is no *.cfg in this guest directory",
			"add one, or remove the directory", nil)
	default:
		const shown = 5
		list := strings.Join(names[:min(len(names), shown)], ", ")
		if len(names) > shown {
			list += ", ..."
		}
		return "", newError(dir, Pos{}, "there are several configurations: "+list,
			"keep one *.cfg, and give each further guest a directory of its own", nil)
	}
}

// isConfig says whether name in dir is a visible *.cfg file. Capitals count as small letters:
// that is how FAT may return a name. Other file types are not opened: a pipe would block.
func isConfig(dir, name string) bool {
	if isHidden(name) || !strings.EqualFold(filepath.Ext(name), ".cfg") {
		return false
	}
	info, err := os.Stat(filepath.Join(dir, name))
	return err != nil || info.Mode().IsRegular()
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// guestName returns the configuration's name or, without one, the directory's.
func guestName(config *Config, dir string) (string, error) {
	value, ok, err := config.Text("name")
	if err != nil {
		return "", err
	}
	name, remedy := value.Text, "choose another name"
	if !ok {
		name = filepath.Base(dir)
		remedy = "write name = \"NAME\", since the directory's name does not serve"
	}
	if fault := nameFault(name); fault != "" {
		return "", config.errorf(value.Pos, remedy, "%q cannot be a guest's name: %s", name, fault)
	}
	return name, nil
}

// nameFault says what is wrong with a guest's name, "" when nothing is. xl takes any name; these
// rules keep out those that xl could not be given back, or that make no file name.
func nameFault(name string) string {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	unfit := func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }
	switch {
	case strings.TrimSpace(name) == "":
		return "it is empty"
	case len(name) > maxNameBytes:
		return fmt.Sprintf("it is longer than %d bytes", maxNameBytes)
	case strings.ContainsFunc(name, unfit) || !utf8.ValidString(name):
		return "it holds a slash or a character that cannot be printed"
	case name[0] == '-' || name[0] == '.':
		return "it starts with - or ."
	case !strings.ContainsFunc(name, notDigit):
		return "it is a number, which xl takes for a domain id"
	case name == "Domain-0":
		return "it is dom0's own"
	}
	return ""
}

// Scan reads every guest in the stores, directories whose subdirectories are guests. It returns
// the guests by name and one error for each directory that is none; neither stops the others. A
// store that does not exist is empty. Of two guests with one name the first stays: an earlier
// store comes before a later one.
func Scan(stores ...string) ([]*Guest, []*Error) {
	var found []*Guest
	var faults []*Error
	for _, store := range stores {
		guests, errs := scanStore(store)
		found = append(found, guests...)
		faults = append(faults, errs...)
	}
	found, twice := dropDuplicates(found)
	return found, append(faults, twice...)
}

// Collect reads the guests that a disc is to carry: each of dirs is a guest directory (one with a
// *.cfg) or a store. Errors are as for Scan.
func Collect(dirs ...string) ([]*Guest, []*Error) {
	var found []*Guest
	var faults []*Error
	for _, dir := range dirs {
		if !IsGuest(dir) {
			guests, errs := scanStore(dir)
			if len(guests)+len(errs) == 0 {
				errs = []*Error{newError(dir, Pos{}, "there are no guests in this directory",
					"name a directory with a *.cfg, or one whose subdirectories have one", nil)}
			}
			found, faults = append(found, guests...), append(faults, errs...)
			continue
		}
		guest, err := Load(dir)
		if err != nil {
			faults = append(faults, asError(err, "", dir))
			continue
		}
		found = append(found, guest)
	}
	found, twice := dropDuplicates(found)
	return found, append(faults, twice...)
}

// IsGuest says whether dir is a guest directory, good or bad, and no store.
func IsGuest(dir string) bool {
	entries, err := readDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return isConfig(dir, e.Name()) })
}

func scanStore(store string) (guests []*Guest, faults []*Error) {
	entries, err := os.ReadDir(store)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		faults = append(faults, asError(err, "", store))
	}
	for _, entry := range entries {
		guest, err := scanEntry(store, entry.Name())
		if err != nil {
			faults = append(faults, asError(err, entry.Name(), filepath.Join(store, entry.Name())))
		}
		if guest != nil {
			guests = append(guests, guest)
		}
	}
	return guests, faults
}

// scanEntry loads the guest called name in store. What is hidden or no directory is no guest; a
// configuration lying there without a directory is a mistake worth telling.
func scanEntry(store, name string) (*Guest, error) {
	if isHidden(name) {
		return nil, nil
	}
	path := filepath.Join(store, name)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return Load(path)
	case isConfig(store, name):
		return nil, newError(path, Pos{}, "the configuration is not in a directory of its own",
			"move it to "+strings.TrimSuffix(path, filepath.Ext(path))+"/", nil)
	}
	return nil, nil
}

// dropDuplicates keeps the first guest of each name, and sorts by name.
func dropDuplicates(guests []*Guest) (kept []*Guest, faults []*Error) {
	first := map[string]*Guest{}
	for _, guest := range guests {
		if other := first[guest.Name]; other != nil {
			fault := guest.Config.errorf(guest.namePos(), "give one of them another name",
				"the name %q is taken by %s", guest.Name, other.File)
			faults = append(faults, asError(fault, guest.Name, guest.File))
			continue
		}
		first[guest.Name] = guest
		kept = append(kept, guest)
	}
	slices.SortFunc(kept, func(a, b *Guest) int { return cmp.Compare(a.Name, b.Name) })
	return kept, faults
}

// namePos is where the name is set, zero when it is the directory's.
func (g *Guest) namePos() Pos {
	if setting := g.Config.Lookup("name"); setting != nil {
		return setting.Value.Pos
	}
	return Pos{}
}
