// Package timezone has the rules of all time zones in five kilobytes of the disc, where the time zone database takes
// 450: for each name only the rule that holds today. Times of the past are shown by today's rules, which is right for
// logs of a machine that has just started. Where the clock follows Ramadan (Morocco, Western Sahara, Palestine) no rule
// says when.
package timezone

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// zones has a name and the rule that ends its file in the time zone database (RFC 9636 section 3.3) in each line.
// TestZones -update makes it of the Go release's copy of the database.
//
//go:embed zones.txt
var zones string

// Names lists all time zones.
func Names() []string {
	var names []string
	for line := range strings.Lines(zones) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names
}

// rule is the rule of a time zone, as in the environment variable TZ (POSIX.1-2024, 8.3); "" where there is none of
// that name.
func rule(name string) string {
	for line := range strings.Lines(zones) {
		if zone, rule, _ := strings.Cut(line, " "); zone == name {
			return strings.TrimSpace(rule)
		}
	}
	return ""
}

// Known says whether there is a time zone of that name.
func Known(name string) bool { return rule(name) != "" }

// File is what belongs into /etc/localtime for a time zone: a file of the time zone database's form (RFC 9636) with
// nothing but its rule. Go's programs and the C library's read it.
func File(name string) ([]byte, error) {
	rule := rule(name)
	if rule == "" {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	abbreviation, offset, err := standard(rule)
	if err != nil {
		return nil, fmt.Errorf("time zone %s: %w", name, err)
	}
	var b bytes.Buffer
	for _, width := range []int{4, 8} { // bytes of a time: in the part for old readers, and in the other one
		b.WriteString("TZif2")
		b.Write(make([]byte, 15))
		// UT indicators, standard indicators, leap seconds, transitions, kinds of time, letters
		for _, count := range []uint32{0, 0, 0, 1, 1, uint32(len(abbreviation) + 1)} {
			_ = binary.Write(&b, binary.BigEndian, count) // a Buffer takes everything
		}
		// The C library heeds the rule only after a transition: there is one to the same time in 1970.
		b.Write(make([]byte, width+1))
		_ = binary.Write(&b, binary.BigEndian, int32(offset/time.Second))
		b.Write([]byte{0, 0}) // no daylight saving time; the abbreviation is the first
		b.WriteString(abbreviation + "\x00")
	}
	b.WriteString("\n" + rule + "\n")
	return b.Bytes(), nil
}

// standard is the abbreviation and the offset from UTC of a rule's standard time.
func standard(rule string) (abbreviation string, offset time.Duration, err error) {
	end := strings.IndexAny(rule, "+-0123456789")
	if quoted, ok := strings.CutPrefix(rule, "<"); ok {
		abbreviation, rule, _ = strings.Cut(quoted, ">")
	} else if end > 0 {
		abbreviation, rule = rule[:end], rule[end:]
	}
	sign := -time.Second // a rule counts to the west
	if west, ok := strings.CutPrefix(rule, "-"); ok {
		sign, rule = time.Second, west
	}
	digits := len(rule) - len(strings.TrimLeft(rule, "0123456789:"))
	var h, m int
	if n, err := fmt.Sscanf(rule[:digits], "%d:%d", &h, &m); n == 0 {
		return "", 0, fmt.Errorf("rule %q: %w", rule, err)
	}
	return abbreviation, sign * time.Duration(3600*h+60*m), nil
}
