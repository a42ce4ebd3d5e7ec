package printable

import (
	"io"
	"strings"
)

// maxLine bounds what is kept of a line without end, bytes.
const maxLine = 64 << 10

// Writer passes lines on as Line makes them, but with their tabs. The last line needs Flush if it has no end.
type Writer struct {
	To   io.Writer
	rest []byte
}

// Write passes on what ends a line.
func (w *Writer) Write(p []byte) (int, error) {
	for i, c := range p {
		w.rest = append(w.rest, c)
		if c != '\n' && len(w.rest) < maxLine {
			continue
		}
		if err := w.Flush(); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// Flush passes on what there is of the last line.
func (w *Writer) Flush() error {
	text, ended := strings.CutSuffix(string(w.rest), "\n")
	w.rest = w.rest[:0]
	columns := strings.Split(text, "\t")
	for i, column := range columns {
		columns[i] = Line(column)
	}
	text = strings.Join(columns, "\t")
	if ended {
		text += "\n"
	}
	_, err := io.WriteString(w.To, text)
	return err
}
