package logs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// mark is the name of the file that has how far a source was read. It is no source's: no source has a dot in its name.
type mark string

const markSuffix = ".next"

// write writes over what is there: a full file system leaves it as it is.
func (m mark) write(next uint64) {
	file, err := os.OpenFile(string(m), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return // lines come twice after a crash
	}
	defer file.Close() // it is in memory
	_, _ = fmt.Fprintf(file, "%020d\n", next)
}

// read returns 0 where nothing was written.
func (m mark) read() uint64 {
	text, err := os.ReadFile(string(m))
	if err != nil {
		return 0
	}
	next, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return next
}
