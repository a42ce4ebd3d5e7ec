package logs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ring is the file of a source, and the one before it. When the file is half as large as the limit it takes the older
// one's place: whoever reads it has it to its end, and nothing is copied or moved within a file.
type ring struct {
	name  string
	limit int64 // bytes of both files

	file *os.File // nil while it cannot be opened
	size int64
}

// olderSuffix is what the name of the older file ends with.
const olderSuffix = ".1"

// write appends a line. What has no room is lost; the number of the next line shows that.
func (r *ring) write(line string) {
	if r.file != nil && r.size+int64(len(line)) > r.limit/2 {
		_ = r.file.Close() // it is in memory
		r.file = nil
		if err := os.Rename(r.name, r.name+olderSuffix); err != nil {
			_ = os.Remove(r.name)
		}
	}
	if r.file == nil && !r.open() {
		return
	}
	n, err := r.file.WriteString(line)
	if err != nil && n > 0 {
		_ = r.file.Truncate(r.size) // no half line
		return
	}
	r.size += int64(n)
}

func (r *ring) open() bool {
	if err := os.MkdirAll(filepath.Dir(r.name), 0o755); err != nil {
		return false
	}
	file, err := os.OpenFile(r.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return false
	}
	r.file, r.size = file, info.Size()
	return true
}

// last is the number of the last line in the files, 0 where there is none.
func (r *ring) last() uint64 {
	for _, name := range []string{r.name, r.name + olderSuffix} {
		text, err := tail(name, 2*maxText)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if e, ok := parseLine("", lines[len(lines)-1]); ok {
			return e.Number
		}
	}
	return 0
}

// tail reads the last bytes of a file.
func tail(name string, length int64) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	text := make([]byte, min(length, info.Size()))
	n, err := file.ReadAt(text, info.Size()-int64(len(text)))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return string(text[:n]), err
}
