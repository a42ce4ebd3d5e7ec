// Package shell is the shell of the consoles, sh: mvdan.cc/sh, which knows the language of POSIX' shell and much of
// bash's, behind a line editor with history and completion of commands, files and guests. u-root's gosh is built of the
// same parts, but has no way to complete what follows a command, gives up a command that goes on in the next line, and
// leaves the terminal without echo to the programs that it starts.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/peterh/liner"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Config is what the shell works with. All fields are to be set.
type Config struct {
	In       *os.File
	Out, Err io.Writer
	// Complete returns what the last of the words behind a command may become. Where that is nothing it may be a file.
	Complete func(command string, words []string) []string
}

// usage of the command. It is started as a login shell, too, whose first argument is then -l.
const usage = "usage: sh [-l] [-c COMMAND | FILE] [ARGUMENT...]\n"

// Main runs the shell and returns its exit status.
func Main(args []string, c Config) int {
	for len(args) > 0 && (args[0] == "-l" || args[0] == "-i") {
		args = args[1:]
	}
	var err error
	switch {
	case len(args) > 1 && args[0] == "-c":
		err = c.script(strings.NewReader(args[1]), "", args[min(3, len(args)):])
	case len(args) > 0 && strings.HasPrefix(args[0], "-"):
		fmt.Fprint(c.Err, usage)
		return 2
	case len(args) > 0:
		err = c.file(args[0], args[1:])
	case term.IsTerminal(int(c.In.Fd())):
		err = c.interactive()
	default:
		err = c.script(c.In, "", nil)
	}
	if status, ok := interp.IsExitStatus(err); ok {
		return int(status)
	}
	if err != nil {
		fmt.Fprintln(c.Err, "sh:", err)
		return 1
	}
	return 0
}

func (c Config) runner(args []string) (*interp.Runner, error) {
	return interp.New(interp.StdIO(c.In, c.Out, c.Err), interp.Params(append([]string{"--"}, args...)...),
		interp.CallHandler(umask))
}

func (c Config) file(name string, args []string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return c.script(file, name, args)
}

func (c Config) script(from io.Reader, name string, args []string) error {
	runner, err := c.runner(args)
	if err != nil {
		return err
	}
	program, err := syntax.NewParser().Parse(from, name)
	if err != nil {
		return err
	}
	return runner.Run(context.Background(), program)
}

// prompts of a command, and of one that goes on.
const prompt, continued = "$ ", "> "

// interactive reads commands from a terminal until its end.
func (c Config) interactive() error {
	// A program that is interrupted is not the shell's end. Ignored, the signal would be ignored by programs, too.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT)
	runner, err := c.runner(nil)
	if err != nil {
		return err
	}
	cooked, err := liner.TerminalMode()
	if err != nil {
		return err
	}
	editor := liner.NewLiner()
	defer editor.Close()
	editing, err := liner.TerminalMode()
	if err != nil {
		return err
	}
	editor.SetCtrlCAborts(true)
	editor.SetTabCompletionStyle(liner.TabPrints)
	editor.SetWordCompleter(func(line string, at int) (string, []string, string) {
		before := string([]rune(line)[:at])
		head, candidates := c.completeLine(before, runner.Dir)
		return head, candidates, string([]rune(line)[at:])
	})
	h := openHistory(editor)
	var status error
	for !runner.Exited() {
		program, err := c.read(editor, h)
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Fprintln(c.Err, "sh:", err)
			continue
		}
		_ = cooked.ApplyMode() // programs want a terminal that echoes
		status = c.run(runner, program)
		_ = editing.ApplyMode()
	}
	return status
}

// run runs the statements of a program. Run as a whole, it would be the end of the runner.
func (c Config) run(runner *interp.Runner, program *syntax.File) (status error) {
	for _, statement := range program.Stmts {
		status = runner.Run(context.Background(), statement)
		if _, isStatus := interp.IsExitStatus(status); status != nil && !isStatus {
			fmt.Fprintln(c.Err, "sh:", status)
		}
		if runner.Exited() {
			break
		}
	}
	return status
}

// read reads a command, which may be several lines. Ctrl-C drops it; Ctrl-D at its beginning is io.EOF.
func (c Config) read(editor *liner.State, h history) (*syntax.File, error) {
	text, ask := "", prompt
	for {
		line, err := editor.Prompt(ask)
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			return &syntax.File{}, nil
		case err == io.EOF && text == "":
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, io.EOF // the terminal is gone
		}
		h.add(editor, line)
		text += line + "\n"
		program, failed := syntax.NewParser().Parse(strings.NewReader(text), "")
		if !syntax.IsIncomplete(failed) || err == io.EOF {
			return program, failed
		}
		ask = continued
	}
}

// history is the file that keeps what was typed, for the next shell on any console.
type history string

func openHistory(editor *liner.State) history {
	h := history(filepath.Join(os.TempDir(), "sh.history"))
	if file, err := os.Open(string(h)); err == nil {
		defer file.Close()
		_, _ = editor.ReadHistory(file) // a shell without history is one
	}
	return h
}

func (h history) add(editor *liner.State, line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	editor.AppendHistory(line)
	file, err := os.OpenFile(string(h), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	_, _ = editor.WriteHistory(file)
}
