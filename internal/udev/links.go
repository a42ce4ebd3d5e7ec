package udev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// claim is a device's wish for a link.
type claim struct {
	device   string // path in sysfs
	node     string // below /dev
	priority int
}

// links are the symbolic links below /dev. Several devices may claim one: the highest priority has it, and of several
// with that the first, for as long as it is there.
type links struct {
	dev    string             // /dev
	claims map[string][]claim // by link, the one that has it first
	made   map[string]string  // link to the node it leads to
	dirs   map[string]int     // directories that were made here, and how many links they hold
}

func newLinks(dev string) *links {
	return &links{dev: dev, claims: map[string][]claim{}, made: map[string]string{}, dirs: map[string]int{}}
}

// reserved are directories of /dev with a purpose, made yet or not. No other name may come to be one of them.
var reserved = []string{"block", "bus", "char", "disk", "input", "mapper", "md", "net", "pts", "serial", "shm", "xen"}

// update gives a device the links that it shall have in place of those that it had. The error joins those of all links.
func (l *links) update(device, node string, had, wanted []string, priority int) error {
	var errs []error
	for _, link := range had {
		if !slices.Contains(wanted, link) {
			errs = append(errs, l.drop(link, device))
		}
	}
	for _, link := range wanted {
		if !filepath.IsLocal(link) || path.Clean(link) != link {
			errs = append(errs, fmt.Errorf("link %s: not below /dev", printable.Line(link)))
			continue
		}
		errs = append(errs, l.claim(link, claim{device, node, priority}))
	}
	return errors.Join(errs...)
}

// claim enters a device's wish and makes the link lead to whom it belongs.
func (l *links) claim(link string, c claim) error {
	list := l.claims[link]
	if i := slices.IndexFunc(list, func(other claim) bool { return other.device == c.device }); i >= 0 {
		list[i] = c // it does not lose its place by reporting again
	} else {
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b claim) int { return b.priority - a.priority })
	l.claims[link] = list
	return l.show(link)
}

// drop takes back a device's wish; the next one takes over.
func (l *links) drop(link, device string) error {
	list := slices.DeleteFunc(l.claims[link], func(c claim) bool { return c.device == device })
	if len(list) == 0 {
		delete(l.claims, link)
		return l.remove(link)
	}
	l.claims[link] = list
	return l.show(link)
}

// show makes a link lead to the node of the first that claims it.
func (l *links) show(link string) error {
	node := l.claims[link][0].node
	if l.made[link] == node {
		return nil
	}
	if err := l.free(link); err != nil {
		return err
	}
	target, err := filepath.Rel(path.Dir("/"+link), "/"+node)
	if err != nil {
		return err
	}
	at := filepath.Join(l.dev, link)
	_, had := l.made[link]
	if had {
		err = replace(target, at)
	} else if err = l.makeDirs(link); err == nil {
		err = symlink(target, at)
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if !had {
		l.count(link, 1)
	}
	l.made[link] = node
	return nil
}

// free refuses a link in whose place something else is. A name may come from a foreign disk, as a volume group's
// does: it must not take the place of what belongs in /dev.
func (l *links) free(link string) error {
	top, _, nested := strings.Cut(link, "/")
	if _, ours := l.dirs[top]; !nested || ours || slices.Contains(reserved, top) {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(l.dev, top)); err == nil {
		return fmt.Errorf("link %s: /dev/%s is something else", link, top)
	}
	return nil
}

// makeDirs makes the directories that lead to a link.
func (l *links) makeDirs(link string) error {
	if _, ours := l.dirs[path.Dir(link)]; ours || path.Dir(link) == "." {
		return nil
	}
	return os.MkdirAll(filepath.Join(l.dev, path.Dir(link)), 0o755)
}

// count keeps count of the links in the directories above one.
func (l *links) count(link string, by int) {
	for dir := path.Dir(link); dir != "."; dir = path.Dir(dir) {
		l.dirs[dir] += by
		if l.dirs[dir] == 0 {
			delete(l.dirs, dir)
			_ = os.Remove(filepath.Join(l.dev, dir)) // fails where something else is in it
		}
	}
}

// symlink makes a link where none is, or an older one: the one that an earlier run has left.
func symlink(target, at string) error {
	err := os.Symlink(target, at)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := os.Lstat(at); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return errors.New("something that is no link is in its place")
	}
	return replace(target, at)
}

// replace puts a link in the place of another without a moment between.
func replace(target, at string) error {
	temporary := filepath.Join(filepath.Dir(at), ".#"+filepath.Base(at))
	if len(filepath.Base(temporary)) > 255 {
		temporary = filepath.Join(filepath.Dir(at), ".#udev")
	}
	_ = os.Remove(temporary)
	if err := os.Symlink(target, temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, at); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

// remove takes a link away.
func (l *links) remove(link string) error {
	if _, made := l.made[link]; !made {
		return nil // it could not be made
	}
	delete(l.made, link)
	err := os.Remove(filepath.Join(l.dev, link))
	l.count(link, -1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: %w", link, err)
	}
	return nil
}
