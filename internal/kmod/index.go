package kmod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// IndexName is the name of the index inside a directory of modules.
const IndexName = "modules.index"

// The index is text in sections. A section header is one line, "KIND [KEY] BYTES", followed by
// that many bytes of lines, so that a reader jumps over the aliases without looking at them:
//
//	zerodisc-modules 1
//	modules 123
//	e1000e 812 kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko ptp - -
//	builtin 45
//	8250
//	aliases pci 678
//	:v00008086d0000105Esv*sd*bc*sc*i* e1000e
//
// A module's line holds its name, its rank in link order, its path, the modules it needs in
// load order (each after what it needs itself), and those wanted before and after it; lists are
// joined by commas and "-" is the empty list. Aliases are bucketed by bus (what stands before
// the ":"), and in a bucket sorted by their literal start, which makes them searchable in place.
const (
	indexMagic    = "zerodisc-modules 1\n"
	maxIndexBytes = 32 << 20
	moduleFields  = 6
	emptyList     = "-"
)

// Module is one loadable module.
type Module struct {
	Name  string   // as in /proc/modules: with underscores
	Order int      // rank in link order (modules.order); of several matches the lowest loads first
	Path  string   // of the .ko file, relative to the index's directory
	Deps  []string // every module it needs, in load order
	Pre   []string // soft dependencies: names or aliases wanted before it
	Post  []string // soft dependencies: names or aliases wanted after it

	Aliases []string // alias patterns; set only for writing, Index finds them by Resolve
}

// Builtin is a module that is part of the kernel image.
type Builtin struct {
	Name    string
	Aliases []string
}

// Index answers which modules a name or alias stands for. It is safe for concurrent use.
type Index struct {
	modules []string // lines, sorted by name
	builtin []string // names, sorted
	buckets []*bucket
}

// OpenIndex reads the index of the directory of modules root.
func OpenIndex(root string) (*Index, error) {
	path := root + "/" + IndexName
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open module index: %w", err)
	}
	defer file.Close()
	index, err := ParseIndex(file)
	if err != nil {
		return nil, fmt.Errorf("read module index %s: %w", path, err)
	}
	return index, nil
}

// ParseIndex reads an index of at most 32 MiB. Errors name the line.
func ParseIndex(r io.Reader) (*Index, error) {
	var text strings.Builder
	if file, ok := r.(*os.File); ok {
		if info, err := file.Stat(); err == nil {
			text.Grow(int(min(max(info.Size(), 0), maxIndexBytes)) + 1)
		}
	}
	n, err := io.Copy(&text, io.LimitReader(r, maxIndexBytes+1))
	if err != nil {
		return nil, err
	}
	if n > maxIndexBytes {
		return nil, fmt.Errorf("larger than %d bytes", maxIndexBytes)
	}
	rest, ok := strings.CutPrefix(text.String(), indexMagic)
	if !ok {
		return nil, fmt.Errorf("line 1: want %q: not an index of this version", strings.TrimSpace(indexMagic))
	}
	return parseSections(rest)
}

// parseSections reads what follows the index's first line.
func parseSections(rest string) (*Index, error) {
	index := &Index{}
	whole := rest
	for rest != "" {
		at := 2 + strings.Count(whole[:len(whole)-len(rest)], "\n")
		header, body, next, err := cutSection(rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		if err := index.addSection(header, body); err != nil {
			return nil, fmt.Errorf("section at line %d: %w", at, err)
		}
		rest = next
	}
	return index, nil
}

// cutSection cuts the first section off text.
func cutSection(text string) (header []string, body, rest string, err error) {
	line, rest, _ := strings.Cut(text, "\n")
	header = strings.Fields(line)
	if len(header) < 2 || len(header) > 3 {
		return nil, "", "", fmt.Errorf("section header %.40q: want a kind and a size", line)
	}
	size, err := strconv.Atoi(header[len(header)-1])
	if err != nil || size < 0 || size > len(rest) {
		return nil, "", "", fmt.Errorf("section header %.40q: want a size of 0 to %d bytes", line, len(rest))
	}
	if size > 0 && rest[size-1] != '\n' {
		return nil, "", "", fmt.Errorf("section header %.40q: section does not end at the end of a line", line)
	}
	return header[:len(header)-1], rest[:size], rest[size:], nil
}

// addSection takes one section into the index.
func (x *Index) addSection(header []string, body string) error {
	switch {
	case header[0] == "modules" && len(header) == 1:
		x.modules = splitLines(body)
		return checkModules(x.modules)
	case header[0] == "builtin" && len(header) == 1:
		x.builtin = splitLines(body)
		if !slices.IsSorted(x.builtin) {
			return errors.New("built-in modules are not sorted")
		}
	case header[0] == "aliases" && len(header) == 2:
		key := header[1]
		if key == emptyList {
			key = ""
		}
		x.buckets = append(x.buckets, &bucket{key: key, text: body})
	default:
		return fmt.Errorf("unknown kind %.40q", strings.Join(header, " "))
	}
	return nil
}

// checkModules verifies what looking modules up relies on: the order and the number of fields.
func checkModules(lines []string) error {
	last := ""
	for i, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		if strings.Count(line, " ") != moduleFields-1 || name <= last {
			return fmt.Errorf("module %d, %.60q: want %d fields, sorted by name", i+1, line, moduleFields)
		}
		last = name
	}
	return nil
}

// splitLines cuts text, which ends with a newline unless empty, into lines.
func splitLines(text string) []string {
	lines := make([]string, 0, strings.Count(text, "\n"))
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		lines = append(lines, line)
		text = rest
	}
	return lines
}

// Module looks a loadable module up by its name.
func (x *Index) Module(name string) (Module, bool) {
	name = Normalize(name)
	i, ok := slices.BinarySearchFunc(x.modules, name, func(line, name string) int {
		have, _, _ := strings.Cut(line, " ")
		return strings.Compare(have, name)
	})
	if !ok {
		return Module{}, false
	}
	return parseModule(x.modules[i]), true
}

// parseModule reads a line that checkModules accepted.
func parseModule(line string) Module {
	var fields [moduleFields]string
	for i := range fields {
		fields[i], line, _ = strings.Cut(line, " ")
	}
	order, _ := strconv.Atoi(fields[1]) // an unreadable rank is rank 0: the order of matches is a preference
	return Module{
		Name:  fields[0],
		Order: order,
		Path:  fields[2],
		Deps:  splitList(fields[3]),
		Pre:   splitList(fields[4]),
		Post:  splitList(fields[5]),
	}
}

func splitList(field string) []string {
	if field == "" || field == emptyList {
		return nil
	}
	return strings.Split(field, ",")
}

// Builtin reports whether the module called name is part of the kernel image.
func (x *Index) Builtin(name string) bool {
	_, ok := slices.BinarySearch(x.builtin, Normalize(name))
	return ok
}

// Resolve returns the modules that name stands for: the module called so, else those with an
// alias that matches, in link order. Known is true, too, where all of them are built in and
// nothing has to be loaded.
func (x *Index) Resolve(name string) (modules []Module, known bool) {
	name = Normalize(name)
	if module, ok := x.Module(name); ok {
		return []Module{module}, true
	}
	if x.Builtin(name) {
		return nil, true
	}
	for _, bucket := range x.buckets {
		rest, ok := strings.CutPrefix(name, bucket.key)
		if !ok {
			continue
		}
		bucket.search(rest, func(target string) {
			known = true
			module, ok := x.Module(target)
			if ok && !slices.ContainsFunc(modules, func(m Module) bool { return m.Name == target }) {
				modules = append(modules, module)
			}
		})
	}
	sort.SliceStable(modules, func(i, j int) bool { return modules[i].Order < modules[j].Order })
	return modules, known
}

// bucket holds the aliases of one bus.
type bucket struct {
	key  string // the text all aliases start with
	text string // lines "REST MODULE", sorted by the literal start of REST

	split sync.Once
	lines []string
}

// linear is the number of aliases below which trying each is cheaper than narrowing further.
const linear = 8

// search calls found with the module of each alias that matches s. It narrows the sorted lines
// byte by byte to those whose literal start s shares: of Debian's 4,700 PCI aliases about a
// dozen are left to be matched.
func (b *bucket) search(s string, found func(module string)) {
	b.split.Do(func() { b.lines = splitLines(b.text) })
	lines := b.lines
	for at := 0; at < len(s) && len(lines) > linear; at++ {
		ended := sort.Search(len(lines), func(i int) bool { return literalAt(lines[i], at) >= 0 })
		matchLines(lines[:ended], s, found)
		lines = lines[ended:]
		want := int(s[at])
		from := sort.Search(len(lines), func(i int) bool { return literalAt(lines[i], at) >= want })
		to := from + sort.Search(len(lines)-from, func(i int) bool { return literalAt(lines[from+i], at) > want })
		lines = lines[from:to]
	}
	matchLines(lines, s, found)
}

// matchLines matches s against each line's pattern.
func matchLines(lines []string, s string, found func(module string)) {
	for _, line := range lines {
		cut := strings.LastIndexByte(line, ' ') // a pattern may hold spaces, a module name cannot
		if cut >= 0 && Match(line[:cut], s) {
			found(line[cut+1:])
		}
	}
}

// literalAt is the byte at position at of the line's literal start, -1 where that has ended.
func literalAt(line string, at int) int {
	if at >= len(line) || strings.IndexByte(metaBytes, line[at]) >= 0 {
		return -1
	}
	return int(line[at])
}
