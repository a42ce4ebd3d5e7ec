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

// lastLine passes on lines about a server and keeps the last one that it has said itself, for whoever wants to know why
// it has failed. The supervisor's lines have another prefix.
type lastLine struct {
	to     io.Writer
	prefix string
	text   atomic.Pointer[string]
}

func (w *lastLine) Write(line []byte) (int, error) {
	if text, isOwn := strings.CutPrefix(strings.TrimSpace(string(line)), w.prefix); isOwn {
		w.text.Store(&text)
	}
	return w.to.Write(line)
}

// err is the last line, nil where there was none.
func (w *lastLine) err() error {
	if text := w.text.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}
