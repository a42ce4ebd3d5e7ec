package logs

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Reader reads the files of a Store, which may be another process's. It is not for several goroutines at a time.
type Reader struct {
	dir     string
	sources map[string]*position
}

// position is how far a source was read.
type position struct {
	file    *os.File // the one that is read, which may have become the older one
	rest    string   // of a line whose end is not written yet
	number  uint64   // of the last line
	started bool     // a line was read
}

// NewReader returns a Reader of everything in dir, from the beginning.
func NewReader(dir string) *Reader { return &Reader{dir: dir, sources: map[string]*position{}} }

// Close closes the reader's files.
func (r *Reader) Close() {
	for _, p := range r.sources {
		if p.file != nil {
			_ = p.file.Close() // for reading only
		}
	}
}

// Read returns what was added since the last call, all sources together in the order of their times, and how many
// lines were lost before they could be read.
func (r *Reader) Read() (entries []Entry, lost uint64, err error) {
	names, err := r.names()
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		p := r.sources[name]
		if p == nil {
			p = &position{}
			r.sources[name] = p
		}
		more, missed := r.read(name, p)
		entries = append(entries, more...)
		lost += missed
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Up, b.Up) })
	return entries, lost, nil
}

// names lists the sources.
func (r *Reader) names() ([]string, error) {
	dir, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range dir {
		name := strings.TrimSuffix(entry.Name(), olderSuffix)
		if entry.Type().IsRegular() && name == sourceName(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, err
}

// read reads what one source has that is new.
func (r *Reader) read(name string, p *position) (entries []Entry, lost uint64) {
	add := func(e Entry) {
		if p.started && e.Number <= p.number {
			return
		}
		if p.started {
			lost += e.Number - p.number - 1
		}
		p.number, p.started = e.Number, true
		entries = append(entries, e)
	}
	current := filepath.Join(r.dir, name)
	p.drain(name, add)
	if p.is(current) {
		return entries, lost
	}
	// There is another file now: the one that was read is the older one, or gone.
	for _, file := range []string{current + olderSuffix, current} {
		if !p.is(file) && p.open(file) {
			p.drain(name, add)
		}
	}
	return entries, lost
}

// is says whether the file called name is the one that is read.
func (p *position) is(name string) bool {
	if p.file == nil {
		return false
	}
	here, err := p.file.Stat()
	there, err2 := os.Stat(name)
	return err == nil && err2 == nil && os.SameFile(here, there)
}

// open goes on with another file, from its beginning.
func (p *position) open(name string) bool {
	next, err := os.Open(name)
	if err != nil {
		return false
	}
	if p.file != nil {
		_ = p.file.Close() // for reading only
	}
	p.file, p.rest = next, ""
	return true
}

// drain gives every whole line to add, from where the file was read to. What is no entry is skipped.
func (p *position) drain(source string, add func(Entry)) {
	if p.file == nil {
		return
	}
	reader := bufio.NewReader(p.file)
	for {
		line, err := reader.ReadString('\n')
		p.rest += line
		if err != nil { // at its end, for now
			p.rest = p.rest[:min(len(p.rest), 2*maxText)]
			return
		}
		if e, ok := parseLine(source, strings.TrimSuffix(p.rest, "\n")); ok {
			add(e)
		}
		p.rest = ""
	}
}

// Follow gives tell what there is and then what comes, as Read returns it, until ctx ends or tell fails.
func (r *Reader) Follow(ctx context.Context, every time.Duration, tell func([]Entry, uint64) error) error {
	for {
		entries, lost, err := r.Read()
		if err == nil && (len(entries) > 0 || lost > 0) {
			err = tell(entries, lost)
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
