// Package logs keeps what everything on this host says, in one log: init's lines, the kernel's messages, Xen's, and
// what services print. Each source has two files in a directory of memory, so that a flood from one never costs
// the lines of another, and a rate that counts what it leaves out. Whoever reads, a command, a remote
// syslog's sender, the bundle of a report, reads the files: they outlast the process that writes them.
package logs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Level is how urgent a line is: the severities of RFC 5424, section 6.2.1, which the kernel has too.
type Level int

// The levels, most urgent first.
const (
	Emergency Level = iota
	Alert
	Critical
	Error
	Warning
	Notice
	Info
	Debug
)

var levelNames = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// otherLevels are other names that people know.
var otherLevels = map[string]Level{
	"emergency": Emergency, "critical": Critical, "error": Error, "warn": Warning, "informational": Info,
}

// String is the level's name as syslog(3) has it.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return strconv.Itoa(int(l))
	}
	return levelNames[l]
}

// ParseLevel reads a level's name or number.
func ParseLevel(text string) (Level, error) {
	text = strings.ToLower(text)
	if l, ok := otherLevels[text]; ok {
		return l, nil
	}
	for i, name := range levelNames {
		if text == name || text == strconv.Itoa(i) {
			return Level(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no level; levels are %s", text, strings.Join(levelNames, ", "))
}

// Entry is one line of the log.
type Entry struct {
	Source string
	Number uint64 // counts the lines of the source; one that is missing was lost
	// Up is when it was said, as the time since the kernel started: nobody knows what time of day it was before the
	// clock was set, and afterwards everybody does. Time works it out.
	Up    time.Duration
	Level Level
	Text  string // one printable line
}

// Time is when the entry was said, by a clock that shows now when the kernel has been up for so long.
func (e Entry) Time(now time.Time, up time.Duration) time.Time { return now.Add(e.Up - up) }

// maxText is how long a line is at most, bytes: a message of syslog should fit into 8 KiB.
const maxText = 4 << 10

// clean makes the text of an entry of anything.
func clean(text string) string {
	const more = "..."
	text = printable.Line(text)
	if len(text) <= maxText {
		return text
	}
	cut := maxText - len(more)
	for cut > 0 && text[cut]&0xc0 == 0x80 { // not within a character
		cut--
	}
	return text[:cut] + more
}

// line is the entry as its source's file has it.
func (e Entry) line() string {
	return fmt.Sprintf("%d %d %d %s\n", e.Number, e.Up.Microseconds(), e.Level, e.Text)
}

// parseLine reads a line of the file of a source, without its end.
func parseLine(source, line string) (Entry, bool) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) < 4 {
		return Entry{}, false
	}
	number, err := strconv.ParseUint(fields[0], 10, 64)
	up, err2 := strconv.ParseInt(fields[1], 10, 64)
	level, err3 := strconv.Atoi(fields[2])
	if err != nil || err2 != nil || err3 != nil || up < 0 || up > maxUp || level < 0 || level > int(Debug) {
		return Entry{}, false
	}
	return Entry{
		Source: source, Number: number, Up: time.Duration(up) * time.Microsecond, Level: Level(level),
		Text: clean(fields[3]),
	}, true
}

// maxUp is more than any machine is up, and far from what a duration cannot hold. Microseconds.
const maxUp = 100 * 365 * 24 * 3600 * 1e6
