package shell

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// completeLine returns what stays of a line up to the cursor, and what may follow that.
func (c Config) completeLine(line, dir string) (head string, candidates []string) {
	begin := strings.LastIndexAny(line, ";|&(`\n") + 1 // of the command: quotes are not looked into
	words := strings.Fields(line[begin:])
	if len(words) == 0 || strings.HasSuffix(line, " ") {
		words = append(words, "")
	}
	last := words[len(words)-1]
	head = strings.TrimSuffix(line, last)
	if len(words) == 1 && !strings.Contains(last, "/") {
		return head, commands(last)
	}
	if len(words) > 1 {
		candidates = spaced(c.Complete(words[0], words[1:]))
	}
	if len(candidates) == 0 {
		candidates = files(last, dir)
	}
	return head, candidates
}

// spaced ends words, so that the next one can follow.
func spaced(words []string) []string {
	for i := range words {
		words[i] += " "
	}
	return words
}

// commands are the programs in PATH that begin so.
func commands(prefix string) (names []string) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), prefix) {
				continue
			}
			info, err := os.Stat(filepath.Join(dir, e.Name()))
			if err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return spaced(slices.Compact(names))
}

// files are the files that begin so, directories with a slash at their end.
func files(prefix, dir string) (names []string) {
	parent, start := filepath.Split(prefix)
	where := parent
	if !filepath.IsAbs(parent) {
		where = filepath.Join(dir, parent)
	}
	entries, _ := os.ReadDir(where)
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, start) || strings.HasPrefix(name, ".") && start == "" || !plain(name) {
			continue
		}
		end := " "
		if info, err := os.Stat(filepath.Join(where, name)); err == nil && info.IsDir() {
			end = "/"
		}
		names = append(names, parent+name+end)
	}
	return names
}

// plain says whether a name can be typed as it is. Others, which may hold escape sequences, are not offered.
func plain(name string) bool {
	for _, r := range name {
		isWord := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !isWord && !strings.ContainsRune("._-+:@%,=", r) {
			return false
		}
	}
	return true
}
