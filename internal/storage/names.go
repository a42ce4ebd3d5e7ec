package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
