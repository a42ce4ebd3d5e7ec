package imageserver

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
)

// sourceWriter puts the lines of a server under LogSource. Each Write is one line.
type sourceWriter struct{ to io.Writer }

func (w sourceWriter) Write(line []byte) (int, error) {
	_, err := io.WriteString(w.to, LogSource+": "+string(line))
	return len(line), err
}

// lastLine passes on a server's lines and keeps the last one, for whoever wants to know why it has failed.
type lastLine struct {
	to   io.Writer
	text atomic.Pointer[string]
}

func (w *lastLine) Write(line []byte) (int, error) {
	_, text, _ := strings.Cut(strings.TrimSpace(string(line)), ": ") // after the service's name
	w.text.Store(&text)
	return w.to.Write(line)
}

// err is the last line, nil where there was none.
func (w *lastLine) err() error {
	if text := w.text.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}
