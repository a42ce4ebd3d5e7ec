package board

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// page is a long text that is read in place of the board.
type page struct {
	title string
	text  []string // lines, printable
	top   int      // the first that is shown; more than there are for the last
}

// newPage is a page of text from outside, shown from its end.
func newPage(title, text string) *page {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	for i, line := range lines {
		lines[i] = printable.Line(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", "    "))
	}
	return &page{title: title, text: lines, top: len(lines)}
}

// lines is the screen.
func (p *page) lines(columns, rows int) []string {
	room := rows - 2
	p.top = max(0, min(p.top, len(p.text)-room))
	lines := []string{reverse + fit(" "+p.title, columns)}
	for i := p.top; i < p.top+room; i++ {
		line := ""
		if i < len(p.text) {
			line = runewidth.Truncate(p.text[i], columns, "~")
		}
		lines = append(lines, line)
	}
	where := fmt.Sprintf("lines %d to %d of %d", p.top+1, min(p.top+room, len(p.text)), len(p.text))
	return append(lines, reverse+fit(" Up, Down, PgUp, PgDn   q back   "+where, columns))
}

// press moves within the text, and says whether the page is left.
func (p *page) press(key Key, rows int) (leave bool) {
	switch key {
	case KeyUp, 'k':
		p.top--
	case KeyDown, 'j':
		p.top++
	case KeyPageUp, 'b':
		p.top -= rows - 3
	case KeyPageDown, ' ':
		p.top += rows - 3
	case 'q', KeyEnter, 'l', 'm':
		return true
	}
	p.top = max(0, p.top)
	return false
}
