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

// match resolves the list: the category of each module it names, by module name.
func (t *moduleTree) match(name string, spec io.Reader) (map[string]string, error) {
	chosen := map[string]string{}
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
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
	}
	return chosen, lines.Err()
}

// apply adds to chosen what the pattern matches or, after "!", takes it out again.
func (t *moduleTree) apply(pattern, category string, chosen map[string]string) error {
	positive, exclude := strings.CutPrefix(pattern, "!")
	expression, err := compileModulePattern(positive)
	if err != nil {
		return err
	}
	matched := false
	for name, file := range t.files {
		if !expression.MatchString(modulePath(file, positive)) {
			continue
		}
		_, has := chosen[name]
		switch {
		case exclude && has:
			delete(chosen, name)
			matched = true
		case !exclude:
			chosen[name] = cmp.Or(chosen[name], category)
			matched = true
		}
	}
	switch {
	case matched:
		return nil
	case exclude:
		return fmt.Errorf("%q takes out nothing that was selected above it; remove the line", pattern)
	}
	return fmt.Errorf("%q matches no module of this kernel; correct or remove the line", pattern)
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
	if pattern == "" || strings.ContainsAny(pattern, " \t!") {
		return nil, fmt.Errorf("%q is not a pattern: want one path with * or **, or one module name", pattern)
	}
	dir, base := path.Split(pattern)
	quoted := regexp.QuoteMeta(dir + kmod.Normalize(base))
	quoted = strings.ReplaceAll(quoted, `\*\*`, `.+`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
	return regexp.Compile("^" + quoted + "$")
}
