package webstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

// Limits of a list. Guests have a handful of files; the limits keep a broken or hostile list from using
// up dom0's memory and time.
const (
	maxList  = 1 << 20 // bytes
	maxFiles = 4096
	maxPath  = 1024 // bytes
	maxName  = 255  // bytes of each part of a path, as in any file system
)

// file is one file of a guest.
type file struct {
	path string // below the store, valid for fs.ValidPath
	sum  [sha256.Size]byte
	size int64 // bytes; -1 if the server does not say
}

// guest is a guest directory of a list.
type guest struct {
	name  string // of the directory
	files []file // in the order of the list
}

// guestsOf returns the guest directories of a list, sorted by name. It skips files outside directories
// and hidden directories, as every store does. One path that no guest can have makes the list invalid:
// it was written for something else, or by an attacker.
func guestsOf(sums []sha256sums.Sum) ([]guest, error) {
	if len(sums) > maxFiles {
		return nil, fmt.Errorf("it has %d files; %d are the most", len(sums), maxFiles)
	}
	if err := checkPaths(sums); err != nil {
		return nil, err
	}
	files := map[string][]file{}
	for _, sum := range sums {
		name := strings.TrimPrefix(sum.Path, "./")
		directory, _, below := strings.Cut(name, "/")
		if below && !strings.HasPrefix(directory, ".") {
			files[directory] = append(files[directory], file{path: name, sum: sum.SHA256})
		}
	}
	var found []guest
	for name, files := range files {
		found = append(found, guest{name, files})
	}
	slices.SortFunc(found, func(a, b guest) int { return strings.Compare(a.name, b.name) })
	if len(found) == 0 {
		return nil, errors.New("it has no file in a guest's directory")
	}
	return found, nil
}

// checkPaths names the first path that cannot be written below one directory together with the others.
func checkPaths(sums []sha256sums.Sum) error {
	files, directories := map[string]bool{}, map[string]bool{}
	for _, sum := range sums {
		name := strings.TrimPrefix(sum.Path, "./")
		if fault := pathFault(name); fault != "" {
			return fmt.Errorf("the path %q %s", shorten(sum.Path, maxShown), fault)
		}
		if files[name] {
			return fmt.Errorf("the path %q is there twice", shorten(sum.Path, maxShown))
		}
		files[name] = true
		for up := path.Dir(name); up != "."; up = path.Dir(up) {
			directories[up] = true
		}
	}
	for name := range files {
		if directories[name] {
			return fmt.Errorf("the path %q is a file's and a directory's", shorten(name, maxShown))
		}
	}
	return nil
}

// pathFault says what is wrong with a path; "" if nothing is.
func pathFault(name string) string {
	unfit := func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }
	tooLong := func(part string) bool { return len(part) > maxName }
	switch {
	case !fs.ValidPath(name) || name == ".":
		return `is absolute or has an empty part, "." or ".."`
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unfit):
		return "has a backslash or a character that cannot be printed"
	case len(name) > maxPath || slices.ContainsFunc(strings.Split(name, "/"), tooLong):
		return fmt.Sprintf("is longer than %d bytes, or a part of it longer than %d", maxPath, maxName)
	}
	return ""
}

// maxShown is how much of a path a line on the console has, bytes.
const maxShown = 100

// shorten cuts text after longest bytes at most, between two characters.
func shorten(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	for longest > 0 && !utf8.RuneStart(text[longest]) {
		longest--
	}
	return text[:longest] + "..."
}
