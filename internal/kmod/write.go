package kmod

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteIndex writes the index of the given modules: the same bytes for the same modules in any
// order. Names are normalized; it refuses what the format cannot hold.
func WriteIndex(w io.Writer, modules []Module, builtin []Builtin) error {
	if err := checkWritable(modules, builtin); err != nil {
		return fmt.Errorf("write module index: %w", err)
	}
	var out strings.Builder
	out.WriteString(indexMagic)
	writeSection(&out, "modules", moduleLines(modules))
	writeSection(&out, "builtin", builtinLines(builtin))
	buckets := bucketAliases(modules, builtin)
	for _, key := range slices.Sorted(maps.Keys(buckets)) {
		writeSection(&out, "aliases "+cmp.Or(key, emptyList), buckets[key])
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write module index: %w", err)
	}
	return nil
}

func writeSection(out *strings.Builder, header string, lines []string) {
	size := 0
	for _, line := range lines {
		size += len(line) + 1
	}
	fmt.Fprintf(out, "%s %d\n", header, size)
	for _, line := range lines {
		out.WriteString(line)
		out.WriteByte('\n')
	}
}

// checkWritable refuses white space and commas where the format uses them as separators, and
// modules given twice.
func checkWritable(modules []Module, builtin []Builtin) error {
	seen := map[string]bool{}
	for _, m := range modules {
		if seen[m.Name] {
			return fmt.Errorf("module %q: given twice", m.Name)
		}
		seen[m.Name] = true
		words := slices.Concat([]string{m.Name, m.Path}, m.Deps, m.Pre, m.Post)
		for _, word := range words {
			if word == "" || strings.ContainsAny(word, " \t\r\n,") {
				return fmt.Errorf("module %q: %q is empty or has white space or a comma", m.Name, word)
			}
		}
		if err := checkAliases(m.Name, m.Aliases); err != nil {
			return err
		}
	}
	for _, b := range builtin {
		if b.Name == "" || strings.ContainsAny(b.Name, " \t\r\n") {
			return fmt.Errorf("built-in module %q: empty or has white space", b.Name)
		}
		if err := checkAliases(b.Name, b.Aliases); err != nil {
			return err
		}
	}
	return nil
}

func checkAliases(module string, aliases []string) error {
	for _, alias := range aliases {
		if alias == "" || strings.ContainsAny(alias, "\t\r\n") {
			return fmt.Errorf("module %q: alias %q is empty or has a control character", module, alias)
		}
	}
	return nil
}

func moduleLines(modules []Module) []string {
	lines := make([]string, 0, len(modules))
	for _, m := range modules {
		lines = append(lines, fmt.Sprintf("%s %d %s %s %s %s", Normalize(m.Name), m.Order, m.Path,
			joinList(m.Deps), joinList(m.Pre), joinList(m.Post)))
	}
	// Sorted by name alone: a space sorts before every byte of a name.
	slices.Sort(lines)
	return lines
}

func joinList(names []string) string {
	if len(names) == 0 {
		return emptyList
	}
	return Normalize(strings.Join(names, ","))
}

func builtinLines(builtin []Builtin) []string {
	names := make([]string, 0, len(builtin))
	for _, b := range builtin {
		names = append(names, Normalize(b.Name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// bucketAliases sorts all aliases into the lines of their buckets.
func bucketAliases(modules []Module, builtin []Builtin) map[string][]string {
	buckets := map[string][]string{}
	add := func(module string, aliases []string) {
		for _, alias := range aliases {
			alias = Normalize(alias)
			key := bucketKey(alias)
			buckets[key] = append(buckets[key], alias[len(key):]+" "+Normalize(module))
		}
	}
	for _, m := range modules {
		add(m.Name, m.Aliases)
	}
	for _, b := range builtin {
		add(b.Name, b.Aliases)
	}
	for key, lines := range buckets {
		slices.SortFunc(lines, compareAliases)
		buckets[key] = slices.Compact(lines)
	}
	return buckets
}

// bucketKey is the part of an alias pattern that names the bus: what stands before its first
// ":" or metacharacter ("acpi*:PNP0303:*" and "acpi:PNP0A03" share a bucket), "" for an alias
// that names no bus, such as fs-ext4 or block-major-8-*.
func bucketKey(alias string) string {
	if !strings.Contains(alias, ":") {
		return ""
	}
	return alias[:strings.IndexAny(alias, metaBytes+":")]
}

// compareAliases orders lines by literal start, then by the rest.
func compareAliases(a, b string) int {
	return cmp.Or(strings.Compare(literal(a), literal(b)), strings.Compare(a, b))
}

func literal(line string) string {
	return line[:strings.IndexAny(line, metaBytes)]
}
