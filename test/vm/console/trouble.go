package console

import (
	"fmt"
	"regexp"
)

// Trouble is a line after which waiting is pointless: somebody on the way from the firmware to
// init has given up.
type Trouble struct {
	Who  string // who gave up
	Line string // what it said
}

func (t *Trouble) Error() string { return fmt.Sprintf("%s: %s", t.Who, t.Line) }

// troubles lists the last words known. A guest's, which reach the serial line with a (dN)
// prefix, end no boot of the host.
var troubles = []struct {
	who  string
	line *regexp.Regexp
}{
	{"firmware", regexp.MustCompile(`No bootable device|No bootable option or device was found|^Shell> `)},
	{"GRUB", regexp.MustCompile(`^error: .*(not found|no such|out of memory|not loaded|unknown)` +
		`|Failed to boot both default and fallback|^grub rescue>`)},
	{"Xen", regexp.MustCompile(`Panic on CPU \d|Not enough RAM for domain 0|Xen BUG at |Could not construct domain 0`)},
	{"dom0's kernel", regexp.MustCompile(`Kernel panic - not syncing|allocation is too small for kernel image` +
		`|Attempted to kill init`)},
}

var guestPrefix = regexp.MustCompile(`^\(d[1-9]\d*\) `)

// findTrouble returns the trouble that text reports, or nil.
func findTrouble(text string) *Trouble {
	if guestPrefix.MatchString(text) {
		return nil
	}
	for _, t := range troubles {
		if t.line.MatchString(text) {
			return &Trouble{Who: t.who, Line: text}
		}
	}
	return nil
}
