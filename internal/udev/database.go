package udev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// RunDir is where udev's state is, as every program knows it that uses libudev.
const RunDir = "/run/udev"

// Entry is what the database has of a device: the text of a file in RunDir/data.
type Entry struct {
	Links       []string // below /dev
	Priority    int      // of the links
	Initialized int64    // microseconds of the monotonic clock
	Properties  Properties
}

// version of the database's format, as systemd has it since 247.
const version = 1

// text writes an entry as udev does.
func (e Entry) text() string {
	var b strings.Builder
	for _, link := range e.Links {
		fmt.Fprintf(&b, "S:%s\n", link)
	}
	if e.Priority != 0 {
		fmt.Fprintf(&b, "L:%d\n", e.Priority)
	}
	fmt.Fprintf(&b, "I:%d\n", e.Initialized)
	for _, pair := range e.Properties {
		fmt.Fprintf(&b, "E:%s\n", pair)
	}
	fmt.Fprintf(&b, "V:%d\n", version)
	return b.String()
}

// ParseEntry reads an entry. Lines that it does not know are passed over, as libudev does.
func ParseEntry(text string) Entry {
	var e Entry
	for line := range strings.Lines(text) {
		kind, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		switch kind {
		case "S":
			e.Links = append(e.Links, value)
		case "L":
			e.Priority, _ = strconv.Atoi(value)
		case "I":
			e.Initialized, _ = strconv.ParseInt(value, 10, 64)
		case "E":
			if key, v, ok := strings.Cut(value, "="); ok && key != "" {
				e.Properties.Set(key, v)
			}
		}
	}
	return e
}

// database keeps the entries. A file is written only when its text changes.
type database struct {
	dir   string            // RunDir/data
	texts map[string]string // by id
	made  bool              // the directory
}

func newDatabase(run string) *database {
	return &database{dir: filepath.Join(run, "data"), texts: map[string]string{}}
}

// put writes an entry. A reader sees the old one or the new one.
func (d *database) put(id string, e Entry) error {
	text := e.text()
	if d.texts[id] == text {
		return nil
	}
	if !d.made {
		if err := os.MkdirAll(d.dir, 0o755); err != nil {
			return err
		}
		d.made = true
	}
	temporary := filepath.Join(d.dir, ".#"+id)
	if err := write(temporary, text); err != nil {
		_ = unix.Unlink(temporary)
		return fmt.Errorf("database entry %s: %w", id, err)
	}
	if err := unix.Rename(temporary, filepath.Join(d.dir, id)); err != nil {
		return fmt.Errorf("database entry %s: %w", id, err)
	}
	d.texts[id] = text
	return nil
}

// write writes a file in as few system calls as there can be: the machine's devices all have one.
func write(file, text string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	n, err := unix.Write(fd, []byte(text))
	if err == nil && n < len(text) {
		err = unix.ENOSPC
	}
	return errors.Join(err, unix.Close(fd))
}

// remove takes an entry away.
func (d *database) remove(id string) error {
	if _, ok := d.texts[id]; !ok {
		return nil
	}
	delete(d.texts, id)
	if err := unix.Unlink(filepath.Join(d.dir, id)); err != nil && err != unix.ENOENT {
		return fmt.Errorf("database entry %s: %w", id, err)
	}
	return nil
}

// entry is what the database has of a record.
func (r *record) entry() Entry {
	return Entry{
		Links: slices.Sorted(slices.Values(r.links)), Priority: r.priority, Initialized: r.initialized,
		Properties: r.properties,
	}
}
