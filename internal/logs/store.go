package logs

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the limits of a Store. The zero value of one takes the default named.
type Options struct {
	Dir        string // of the files, which is made
	Limit      int64  // bytes of a source's files; 256 KiB
	MaxSources int    // what others say is of the source Other; 24
	Burst      int    // lines that a source may write at once; 2000
	Rate       int    // lines a second beyond that; 50
	Uptime     func() time.Duration
}

// Other is the source of what sources say that come when there are too many.
const Other = "other"

// Store takes lines. It never fails and never waits for more than a file in memory: what has no room, or comes too
// fast, is counted, and a line says how much it was.
type Store struct {
	options Options

	mu      sync.Mutex // guards sources and what is in them
	sources map[string]*source
	left    chan struct{} // one element: something was left out
}

// Open returns a Store, which goes on where an earlier one has ended.
func Open(options Options) *Store {
	if options.Limit == 0 {
		options.Limit = 256 << 10
	}
	if options.MaxSources == 0 {
		options.MaxSources = 24
	}
	if options.Burst == 0 {
		options.Burst = 2000
	}
	if options.Rate == 0 {
		options.Rate = 50
	}
	if options.Uptime == nil {
		options.Uptime = Uptime
	}
	return &Store{options: options, sources: map[string]*source{}, left: make(chan struct{}, 1)}
}

// Uptime is the time since the kernel started.
func Uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Add adds a line. Any text will do.
func (s *Store) Add(source string, level Level, text string) {
	s.AddAt(source, s.options.Uptime(), level, text)
}

// AddAt adds a line that was said when the kernel was up for so long.
func (s *Store) AddAt(source string, up time.Duration, level Level, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.get(source)
	from.add(Entry{Up: up, Level: level, Text: clean(text)}, s.options)
	if from.dropped > 0 {
		select {
		case s.left <- struct{}{}:
		default:
		}
	}
}

// Reached notes how far something was read whose lines a source has, in its own numbers: a message's, a byte's. It
// outlasts this Store, so that whoever reads on after a crash adds no line twice.
func (s *Store) Reached(source string, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get(source).mark.write(next)
}

// From is where to read on: what Reached has noted last for the source, 0 where it has noted nothing.
func (s *Store) From(source string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(source).mark.read()
}

func (s *Store) get(name string) *source {
	name = sourceName(name)
	if known := s.sources[name]; known != nil {
		return known
	}
	if len(s.sources) >= s.options.MaxSources {
		name = Other
		if known := s.sources[name]; known != nil {
			return known
		}
	}
	from := &source{name: name, allowance: float64(s.options.Burst), filled: s.options.Uptime()}
	from.ring = ring{name: filepath.Join(s.options.Dir, name), limit: s.options.Limit}
	from.mark = mark(from.ring.name + markSuffix)
	from.next = from.ring.last() + 1
	s.sources[name] = from
	return from
}

// sourceName makes the name of a file of any name.
func sourceName(name string) string {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(allowed, r) {
			return r
		}
		return '-'
	}, name)
	if name == "" || len(name) > 64 {
		return Other
	}
	return name
}

// tellPause is how soon a line says what was left out where nothing else comes.
const tellPause = 5 * time.Second

// Run says what was left out of sources that have fallen silent, until ctx ends.
func (s *Store) Run(ctx context.Context) {
	defer s.tellDropped()
	for more := false; ; {
		if !more {
			select {
			case <-s.left:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(tellPause):
		case <-ctx.Done():
			return
		}
		more = s.tellDropped()
	}
}

// tellDropped says what can be said by now of what was left out, and whether there is more.
func (s *Store) tellDropped() (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.sources)) {
		from := s.sources[name]
		from.fill(s.options)
		from.tell(s.options.Uptime())
		more = more || from.dropped > 0
	}
	return more
}

// source is one of the log's sources. The mutex of Store guards it.
type source struct {
	name      string
	ring      ring
	mark      mark
	next      uint64        // number of the next line
	allowance float64       // lines that it may write now
	filled    time.Duration // when allowance was worked out
	dropped   int           // since the last line that said so
}

func (from *source) add(e Entry, o Options) {
	from.fill(o)
	from.tell(o.Uptime())
	if from.allowance < 1 {
		from.dropped++
		return
	}
	from.allowance--
	from.write(e)
}

// fill works out how many lines the source may write.
func (from *source) fill(o Options) {
	now := o.Uptime()
	gained := (now - from.filled).Seconds() * float64(o.Rate)
	from.allowance, from.filled = min(from.allowance+gained, float64(o.Burst)), now
}

// enough is how many lines there must be room for before a line says what was left out: one for each line that gets
// through would be half of a flood.
const enough = 20

// tell says what was left out.
func (from *source) tell(now time.Duration) {
	if from.dropped == 0 || from.allowance < enough {
		return
	}
	text := fmt.Sprintf("%d lines left out: too many at once", from.dropped)
	from.dropped = 0
	from.write(Entry{Up: now, Level: Warning, Text: text})
}

// write writes a line to the source's files. If it finds no room there, its number is missing.
func (from *source) write(e Entry) {
	e.Source, e.Number = from.name, from.next
	from.next++
	from.ring.write(e.line())
}

// Writer returns what adds to source whole lines of logfmt, as init's logger writes them: "level=INFO msg=...".
func (s *Store) Writer(source string) *Writer { return &Writer{store: s, source: source} }

// Writer adds lines of one source.
type Writer struct {
	store  *Store
	source string
}

// Write adds the lines of p. It never fails.
func (w *Writer) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		level, text := logfmtLevel(strings.TrimSuffix(line, "\n"))
		w.store.Add(w.source, level, text)
	}
	return len(p), nil
}

// logfmtLevel takes the level off a line of logfmt. A line without one is for information.
func logfmtLevel(line string) (Level, string) {
	rest, ok := strings.CutPrefix(line, "level=")
	if !ok {
		return Info, line
	}
	name, text, _ := strings.Cut(rest, " ")
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return Info, line
	}
	switch {
	case level >= slog.LevelError:
		return Error, text
	case level >= slog.LevelWarn:
		return Warning, text
	case level >= slog.LevelInfo:
		return Info, text
	}
	return Debug, text
}

// Logfmt is a line as a Writer has taken it, without its end.
func (e Entry) Logfmt() string {
	level := slog.LevelInfo
	switch {
	case e.Level <= Error:
		level = slog.LevelError
	case e.Level == Warning:
		level = slog.LevelWarn
	case e.Level == Debug:
		level = slog.LevelDebug
	}
	return "level=" + level.String() + " " + e.Text
}

// Services returns what adds lines that begin with their source, "NAME: LINE\n", as package supervise writes
// them.
func (s *Store) Services() *ServiceWriter { return &ServiceWriter{s} }

// ServiceWriter adds lines of services.
type ServiceWriter struct{ store *Store }

// Write adds the lines of p. It never fails.
func (w *ServiceWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		name, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok || strings.Contains(name, " ") {
			name, text = Other, strings.TrimSuffix(line, "\n")
		}
		w.store.Add(name, Info, text)
	}
	return len(p), nil
}
