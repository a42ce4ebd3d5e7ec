package kmod

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// configDirs are where modprobe.d(5) says that settings of modules are. A file in an earlier directory takes the
// place of one with the same name in a later one.
var configDirs = []string{"/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d"}

// readConfig returns the text of all *.conf files in dirs, in the order of their names. A directory that is not there
// is none.
func readConfig(dirs []string) (string, error) {
	files := map[string]string{}
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "*.conf"))
		if err != nil {
			return "", err
		}
		for _, name := range names {
			if base := filepath.Base(name); files[base] == "" {
				files[base] = name
			}
		}
	}
	names := make([]string, 0, len(files))
	for base := range files {
		names = append(names, base)
	}
	slices.Sort(names)
	var all strings.Builder
	for _, base := range names {
		text, err := os.ReadFile(files[base])
		if err != nil {
			return "", err
		}
		all.Write(text)
		all.WriteByte('\n')
	}
	return all.String(), nil
}

// softDeps are the modules that are wanted before and after another one.
type softDeps struct{ pre, post []string }

// addConfig takes in lines of modprobe.d(5):
//
//	blacklist MODULE            it is not loaded for a device or another alias
//	options MODULE NAME=VALUE   parameters; those of the kernel command line come after them
//	softdep MODULE pre: A post: B
//	install MODULE /bin/true    it is not loaded, and that is no error
//	install MODULE /bin/false   it is not loaded
//
// Everything else, other commands after install among it, is a problem; it returns them.
func (p *Params) addConfig(text string) (problems []error) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if !p.addLine(fields) {
			problems = append(problems, fmt.Errorf("modprobe.d: %q is not supported", strings.Join(fields, " ")))
		}
	}
	return problems
}

// addLine takes in one line; false is one that it cannot.
func (p *Params) addLine(fields []string) bool {
	if len(fields) < 2 {
		return false
	}
	module, rest := Normalize(fields[1]), fields[2:]
	switch fields[0] {
	case "blacklist":
		p.blacklist[module] = true
	case "options":
		p.options[module] = slices.Concat(rest, p.options[module])
	case "softdep":
		p.softDeps[module] = parseSoftDeps(rest)
	case "install":
		if len(rest) != 1 {
			return false
		}
		switch filepath.Base(rest[0]) {
		case "true":
			p.skipped[module] = true
		case "false":
			p.denied[module] = true
		default:
			return false
		}
	default:
		return false
	}
	return true
}

// parseSoftDeps reads "pre: a b post: c".
func parseSoftDeps(fields []string) (s softDeps) {
	var list *[]string
	for _, field := range fields {
		switch {
		case field == "pre:":
			list = &s.pre
		case field == "post:":
			list = &s.post
		case list != nil:
			*list = append(*list, field)
		}
	}
	return s
}

// configure reads the host's settings of modules.
func (h Host) configure(p *Params) ([]error, error) {
	text, err := readConfig(h.Config)
	if err != nil {
		return nil, fmt.Errorf("settings of modules: %w", err)
	}
	return p.addConfig(text), nil
}
