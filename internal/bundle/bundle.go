// Package bundle gathers what is known about a host in one file, for whoever looks into a problem: state, logs, what
// the kernel and Xen say, guests' configurations, the network. Secrets are removed. Each piece is bounded in size and
// time, and what could not be gathered is said in the file.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// Piece is one part of a bundle. It is the output of a program, the files that a pattern matches, or a text.
type Piece struct {
	Name    string   // of the file in the bundle; of the directory for files
	Program []string // with its arguments
	Files   string   // pattern of filepath.Match
	Text    func(context.Context) ([]byte, error)
}

// Limits of a bundle.
type Limits struct {
	Piece   int64         // bytes of one file; the end of a longer one is kept
	Total   int64         // bytes of all
	Time    time.Duration // of one piece
	MaxFile int           // files of one pattern
}

// DefaultLimits keep a bundle below what an e-mail takes, and the host from being busy with it for long.
var DefaultLimits = Limits{Piece: 2 << 20, Total: 32 << 20, Time: 15 * time.Second, MaxFile: 100}

// writer writes a bundle.
type writer struct {
	limits   Limits
	tar      *tar.Writer
	dir      string // that all files of the bundle are in
	now      time.Time
	made     map[string]bool // directories
	left     int64
	problems []string
}

// problemsFile says what is not in the bundle.
const problemsFile = "problems.txt"

// maxProblems is how long it may be, bytes.
const maxProblems = 64 << 10

// Write writes a gzipped tar file with the pieces, in a directory called name, to out.
func Write(ctx context.Context, out io.Writer, name string, now time.Time, pieces []Piece, limits Limits) error {
	compressed := gzip.NewWriter(out)
	w := &writer{
		limits: limits, left: limits.Total, tar: tar.NewWriter(compressed), dir: name, now: now,
		made: map[string]bool{},
	}
	for _, p := range pieces {
		if err := w.add(ctx, p); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if len(w.problems) == 0 {
		w.problems = []string{"everything is here"}
	}
	w.left, w.limits.Piece = maxProblems, maxProblems
	err := w.file(problemsFile, []byte(strings.Join(w.problems, "\n")+"\n"))
	if err = errors.Join(err, w.tar.Close(), compressed.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (w *writer) problem(name string, err error) {
	w.problems = append(w.problems, name+": "+string(Clean([]byte(err.Error()))))
}

// add adds a piece. The error is that of writing the bundle.
func (w *writer) add(ctx context.Context, p Piece) error {
	ctx, cancel := context.WithTimeout(ctx, w.limits.Time)
	defer cancel()
	if p.Files != "" {
		return w.files(ctx, p)
	}
	text, err := w.gather(ctx, p)
	if err != nil {
		w.problem(p.Name, err)
	}
	if len(text) == 0 {
		return nil
	}
	return w.file(p.Name, text)
}

// gather waits for a piece no longer than it may take: a program can hang where nothing kills it, and so can a read.
func (w *writer) gather(ctx context.Context, p Piece) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if p.Text != nil {
			r.text, r.err = p.Text(ctx)
		} else {
			r.text, r.err = run(ctx, p.Program, w.limits.Piece)
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-time.After(w.limits.Time + time.Second):
		return nil, fmt.Errorf("it took longer than %v", w.limits.Time)
	}
}

// run returns what a program prints, to both of its outputs.
func run(ctx context.Context, program []string, limit int64) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.WaitDelay = time.Second
	out := &end{limit: 2 * int(limit)}
	cmd.Stdout, cmd.Stderr = out, out
	err := oom.Run(cmd)
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(program, " "), err)
	}
	return out.text, err
}

// end keeps the end of what is written to it.
type end struct {
	text  []byte
	limit int
}

func (e *end) Write(p []byte) (int, error) {
	e.text = append(e.text, p...)
	if more := len(e.text) - e.limit; more > 0 {
		e.text = slices.Delete(e.text, 0, more)
	}
	return len(p), nil
}

// files adds the files that a pattern matches, each under its own name.
func (w *writer) files(ctx context.Context, p Piece) error {
	names, err := filepath.Glob(p.Files)
	if err != nil {
		w.problem(p.Files, err)
		return nil
	}
	if more := len(names) - w.limits.MaxFile; more > 0 {
		w.problem(p.Files, fmt.Errorf("%d more files are left out", more))
		names = names[:w.limits.MaxFile]
	}
	for _, name := range names {
		text, err := w.gather(ctx, Piece{Text: func(context.Context) ([]byte, error) {
			return read(name, w.limits.Piece)
		}})
		if err != nil {
			w.problem(name, err)
			continue
		}
		if err := w.file(filepath.Join(p.Name, filepath.Base(name)), text); err != nil {
			return err
		}
	}
	return nil
}

// read reads the end of a regular file, or what there is of one in /proc or /sys.
func read(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no file")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > limit {
		if _, err := file.Seek(info.Size()-limit, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(file, limit))
}

// file adds a file to the bundle, without secrets and within its limits. Of a text that is too long the beginning goes,
// after secrets were removed from all of it.
func (w *writer) file(name string, text []byte) error {
	text = Clean(text)
	if limit := min(w.limits.Piece, w.left); int64(len(text)) > limit {
		w.problem(name, fmt.Errorf("only the last %d of %d bytes are here", limit, len(text)))
		text = text[int64(len(text))-limit:]
	}
	w.left -= int64(len(text))
	name = w.dir + "/" + name
	if err := w.directory(path.Dir(name)); err != nil {
		return err
	}
	header := tar.Header{
		Name: name, Mode: 0o600, Size: int64(len(text)), ModTime: w.now, Format: tar.FormatPAX,
	}
	if err := w.tar.WriteHeader(&header); err != nil {
		return err
	}
	_, err := w.tar.Write(text)
	return err
}

// directory adds a directory, which some programs do not make by themselves.
func (w *writer) directory(name string) error {
	if name == "." || w.made[name] {
		return nil
	}
	w.made[name] = true
	if err := w.directory(path.Dir(name)); err != nil {
		return err
	}
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700, ModTime: w.now})
}
