package vifrules

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// files are the contents of Rules.Dir: one file, so that its parts always fit together.
type files struct {
	path   string
	config Config
	vifs   []Vif
	stale  bool // the kernel's rules may be others than these
	// generation is the number of the kernel's rules when they were these.
	generation uint32
}

// stored is the file.
type stored struct {
	Config Config
	Vifs   []Vif
}

// locked runs do with the files and the kernel's tables while nobody else changes either.
func (r Rules) locked(do func(*files, *tables) error) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return fmt.Errorf("network rules: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(r.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("network rules: %w", err)
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return fmt.Errorf("lock network rules: %w", err)
	}
	f, err := r.read()
	if err != nil {
		return err
	}
	t, err := openTables()
	if err != nil {
		return err
	}
	defer t.close()
	return do(f, t)
}

// flock waits for the lock. Nobody keeps it for long: all that is done under it is talking to the kernel.
func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Path returns the file that changes whenever a vif comes or goes, or the configuration changes.
func (r Rules) Path() string { return filepath.Join(r.Dir, "rules.json") }

func (r Rules) read() (*files, error) {
	f := &files{path: r.Path()}
	_, err := os.Stat(f.stalePath())
	f.stale = err == nil
	number, _ := os.ReadFile(f.generationPath()) // without it the rules are looked at
	if len(number) == 4 {
		f.generation = binary.BigEndian.Uint32(number)
	}
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("network rules: %w", err)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("network rules: %s: %w", f.path, err)
	}
	f.config, f.vifs = s.Config, s.Vifs
	return f, nil
}

// stalePath is a file that exists while the kernel's rules may be others than the files'.
func (f *files) stalePath() string { return f.path + ".stale" }

// generationPath is a file with files.generation.
func (f *files) generationPath() string { return f.path + ".generation" }

func (f *files) noteGeneration(number uint32) error {
	if err := os.WriteFile(f.generationPath(), binary.BigEndian.AppendUint32(nil, number), 0o600); err != nil {
		return fmt.Errorf("network rules: %w", err)
	}
	return nil
}

// save keeps what the rules are to be. Until [files.enforced] they count as not in force.
func (f *files) save() error {
	if err := os.WriteFile(f.stalePath(), nil, 0o600); err != nil {
		return fmt.Errorf("network rules: %w", err)
	}
	text, err := json.MarshalIndent(stored{f.config, f.vifs}, "", "\t")
	if err != nil {
		return fmt.Errorf("network rules: %w", err)
	}
	if err := os.WriteFile(f.path+".new", text, 0o600); err != nil {
		return fmt.Errorf("network rules: %w", err)
	}
	return os.Rename(f.path+".new", f.path)
}

// enforced notes that the kernel has the rules.
func (f *files) enforced() error { return os.Remove(f.stalePath()) }

// forgetGone takes out the vifs whose interfaces are no more: nobody says so when a domain is destroyed.
func (f *files) forgetGone() {
	f.vifs = slices.DeleteFunc(f.vifs, func(v Vif) bool {
		_, err := netlink.LinkByName(v.Name)
		_, gone := errors.AsType[netlink.LinkNotFoundError](err)
		return gone
	})
}

// add adds a vif, in the place of one of that name.
func (f *files) add(v Vif) {
	f.remove(v.Name)
	f.vifs = append(f.vifs, v)
	slices.SortFunc(f.vifs, func(a, b Vif) int { return cmp.Compare(a.Name, b.Name) })
}

func (f *files) remove(name string) {
	f.vifs = slices.DeleteFunc(f.vifs, func(v Vif) bool { return v.Name == name })
}

func (f *files) has(name string) bool {
	return slices.ContainsFunc(f.vifs, func(v Vif) bool { return v.Name == name })
}

// vif returns that of a name, or one that has nothing but the name.
func (f *files) vif(name string) Vif {
	at := slices.IndexFunc(f.vifs, func(v Vif) bool { return v.Name == name })
	if at < 0 {
		return Vif{Name: name}
	}
	return f.vifs[at]
}

// names are the guests' by UUID.
func (f *files) names() map[string]string {
	names := map[string]string{}
	for _, v := range f.vifs {
		names[v.UUID] = v.Guest
	}
	for uuid, guest := range f.config.Guests {
		if guest.Name != "" {
			names[uuid] = guest.Name
		}
	}
	return names
}
