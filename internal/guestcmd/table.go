package guestcmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// table is text in columns.
type table struct {
	right []bool // columns whose text ends at the same place
	rows  [][]string
}

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = printable.Line(c)
	}
	t.rows = append(t.rows, cells)
}

// lines are the table's rows, each cut to width characters; 0 is no limit.
func (t *table) lines(width int) []string {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var lines []string
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < len(t.right) && t.right[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		lines = append(lines, cut(strings.TrimRight(b.String(), " "), width))
	}
	return lines
}

// cut cuts text to width characters; 0 is no limit.
func cut(text string, width int) string {
	runes := []rune(text)
	if width == 0 || len(runes) <= width {
		return text
	}
	return string(runes[:max(0, width-2)]) + ".."
}

// write writes a table, cut to the width of the terminal that it goes to.
func (t *table) write(to io.Writer) error {
	width := 0
	if _, ok := isTerminal(to); ok {
		width, _ = size(to)
	}
	_, err := fmt.Fprintln(to, strings.Join(t.lines(width), "\n"))
	return err
}

func isatty(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// size is the width and the height of a terminal, 80 by 24 where it does not say: a serial line.
func size(stream any) (width, height int) {
	if f, ok := isTerminal(stream); ok {
		width, height, _ = term.GetSize(int(f.Fd()))
	}
	if width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
