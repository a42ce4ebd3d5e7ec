package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// screen is what the consoles show: lines that scroll, and below them one that is drawn anew in its
// place, as long as there is something to follow.
type screen struct {
	out io.Writer

	mu     sync.Mutex
	status string // "" for none
}

// statusWidth is how long a status may be, in characters: every terminal has 80 columns, and a cursor
// in the last would wrap.
const statusWidth = 79

// startOver goes to the beginning of the line and erases it (ECMA-48 CR, EL), which the kernel's own
// terminal and every emulator on a serial line understand.
const startOver = "\r\x1b[K"

// Write writes whole lines above the status.
func (s *screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := lines
	if s.status != "" {
		text = slices.Concat([]byte(startOver), lines, []byte(s.status))
	}
	if _, err := s.out.Write(text); err != nil {
		return 0, err
	}
	return len(lines), nil
}

// show replaces the status; "" takes it away.
func (s *screen) show(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != "" || status != "" {
		fmt.Fprint(s.out, startOver, status)
	}
	s.status = status
}
