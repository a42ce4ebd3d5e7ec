package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zerodisc/zerodisc/internal/blkid"
)

// maxNameBytes bounds the name of a mount's directory.
const maxNameBytes = 64

// names are the names of a volume's directory, the best first: its label, its UUID, that of its device. Two disks
// may have the same label, or be copies of each other.
func names(device string, content blkid.Content) []string {
	device = filepath.Base(device)
	var list []string
	for _, name := range []string{content.Label, content.UUID} {
		if name = fileName(name); name != "" {
			list = append(list, name)
		}
	}
	if label := fileName(content.Label); label != "" {
		list = append(list, label+"-"+device)
	}
	return append(list, device)
}

// reserved are names in the directory of mounts that have another meaning.
var reserved = []string{"boot"}

// fileName makes a name for a directory of a label, "" where there is none.
func fileName(label string) string {
	fit := func(r rune) rune {
		if r == '/' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}
	name := strings.TrimSpace(strings.Map(fit, strings.ToValidUTF8(label, "_")))
	for len(name) > maxNameBytes {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
		name = "_" + name[1:]
	}
	for _, taken := range reserved {
		if name == taken {
			name += "_"
		}
	}
	return name
}

// Place makes a directory in parent, by the first of the names that no other mount has, as far as they make one.
func Place(parent string, names ...string) (dir string, err error) {
	for i := 0; i < maxSameName; i++ {
		for _, name := range names {
			if name = fileName(name); name == "" {
				continue
			}
			if i > 0 {
				name += "-" + strconv.Itoa(i+1)
			}
			dir = filepath.Join(parent, name)
			if made, err := makeDir(dir); made || err != nil {
				return dir, err
			}
		}
	}
	return "", fmt.Errorf("there is no name left for it in %s", parent)
}

// maxSameName is how many mounts may have the same names.
const maxSameName = 16

// makeDir makes a directory, and says whether there was none.
func makeDir(dir string) (bool, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return false, err
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func removeDir(dir string) error { return os.Remove(dir) }
