package remaster

import (
	"io"
	"strings"
	"text/tabwriter"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// table is a text in columns for a terminal. Much of what is in it comes from a disc.
type table struct{ out *tabwriter.Writer }

func newTable(out io.Writer) table { return table{tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)} }

// row adds a line of cells, in which nothing can steer the terminal or break the table.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable.Line(cell)
	}
	io.WriteString(t.out, strings.Join(cells, "\t")+"\n")
}

// title starts a part of the table.
func (t table) title(text string) {
	t.row()
	t.row(text)
}

func (t table) flush() error { return t.out.Flush() }
