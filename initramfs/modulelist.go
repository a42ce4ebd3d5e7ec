package initramfs

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/zerodisc/zerodisc/internal/kmod"
)

// choices are what a list of modules asks for.
type choices struct {
	firmware bool              // the disc carries firmware
	category map[string]string // of each module that the list names, by module name
	needy    map[string]bool   // names of those that do nothing without firmware
}

// match resolves the list.
func (t *moduleTree) match(name string, spec io.Reader, firmware bool) (choices, error) {
	chosen := choices{firmware: firmware, category: map[string]string{}, needy: map[string]bool{}}
	category := ""
	lines := bufio.NewScanner(spec)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(text)
		if heading, ok := strings.CutPrefix(text, "["); ok {
			category = strings.TrimSuffix(heading, "]")
			continue
		}
		if text == "" {
			continue
		}
		if err := t.apply(text, category, chosen); err != nil {
			return choices{}, fmt.Errorf("%s:%d: %w", name, number, err)
		}
	}
	return chosen, lines.Err()
}

// apply does what a line of the list says to all modules that its pattern matches.
func (t *moduleTree) apply(line, category string, chosen choices) error {
	mark, pattern := splitMark(line)
	expression, err := compileModulePattern(pattern)
	if err != nil {
		return err
	}
	matched := false
	for name, file := range t.files {
		if expression.MatchString(modulePath(file, pattern)) && chosen.take(mark, name, category) {
			matched = true
		}
	}
	switch {
	case matched:
		return nil
	case mark != "":
		return fmt.Errorf("%q takes out nothing that was selected above it; remove the line", line)
	}
	return fmt.Errorf("%q matches no module of this kernel; correct or remove the line", line)
}

// Marks that a line begins with when it is about what lines above it selected.
const (
	takeOut       = "!"
	needsFirmware = "?" // takes out too, unless the disc carries firmware
)

// splitMark splits a line of the list into its mark, "" for none, and its pattern.
func splitMark(line string) (mark, pattern string) {
	for _, known := range []string{takeOut, needsFirmware} {
		if rest, ok := strings.CutPrefix(line, known); ok {
			return known, rest
		}
	}
	return "", line
}

// take does to the module what a line with the mark does, and reports whether that made a difference to it.
func (c choices) take(mark, name, category string) bool {
	_, has := c.category[name]
	switch {
	case mark == "":
		c.category[name] = cmp.Or(c.category[name], category)
		return true
	case !has:
		return false
	case mark == needsFirmware && c.firmware:
		c.needy[name] = true
	default:
		delete(c.category, name)
	}
	return true
}

// modulePath is what a pattern is compared with: the module's path below kernel/ or, where the
// pattern has no slash, the module's name alone.
func modulePath(file, pattern string) string {
	if !strings.Contains(pattern, "/") {
		return moduleName(file)
	}
	return path.Join(path.Dir(strings.TrimPrefix(file, "kernel/")), moduleName(file))
}

// compileModulePattern translates a pattern: "**" matches across directories, "*" within a name.
func compileModulePattern(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || strings.ContainsAny(pattern, " \t!?") {
		return nil, fmt.Errorf("%q is not a pattern: want one path with * or **, or one module name", pattern)
	}
	dir, base := path.Split(pattern)
	quoted := regexp.QuoteMeta(dir + kmod.Normalize(base))
	quoted = strings.ReplaceAll(quoted, `\*\*`, `.+`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
	return regexp.Compile("^" + quoted + "$")
}
