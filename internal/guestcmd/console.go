package guestcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/api"
	"github.com/zerodisc/zerodisc/internal/client"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/vt"
)

// escape is what leaves a console, Ctrl-], as of telnet and xl.
const escape = 0x1d

// before is how much of what a guest has said is read for the last screen, bytes.
const before = 16 << 10

func (k *call) console(ctx context.Context, args []string) error {
	if err := k.want(args, 1); err != nil {
		return err
	}
	text, start, err := k.Client.ConsoleText(ctx, args[0], before)
	if err != nil {
		return err
	}
	width, height := size(k.Out)
	from := start + int64(len(text))
	c, err := k.Client.OpenConsole(ctx, args[0], api.ConsolePost{Width: width, Height: height, From: &from})
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintf(k.Err, "The console of %s. Ctrl-] leaves it.\r\n", printable.Line(args[0]))
	if in, ok := isTerminal(k.In); ok {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer k.Take(in)()
		defer func() { _ = term.Restore(int(in.Fd()), old) }()
		defer fmt.Fprint(k.Err, "\r\n")
	}
	out := k.screen()
	if _, err := out.Write(tail(text, height-2)); err != nil {
		return err
	}
	return k.converse(c, out)
}

// screen is where a guest's words go. Linux's own terminal obeys sequences that reach beyond it: they are left out.
func (k *call) screen() io.Writer {
	if os.Getenv("TERM") == "linux" {
		return &filtered{to: k.Out}
	}
	return k.Out
}

// filtered passes on what a guest may do to a screen of the machine's.
type filtered struct {
	to     io.Writer
	filter vt.Filter
}

func (f *filtered) Write(p []byte) (int, error) {
	if _, err := f.to.Write(f.filter.Append(nil, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// converse copies between the terminal and a console until somebody leaves, or the console ends.
func (k *call) converse(c *client.Console, out io.Writer) error {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	left, ended := make(chan error, 1), make(chan error, 1)
	go func() { left <- typed(c, k.In) }()
	go func() {
		_, err := io.Copy(out, c)
		ended <- err
	}()
	for {
		select {
		case <-resized:
			_ = c.Resize(size(k.Out)) // the guest cannot hear it anyway
		case err := <-left:
			return err
		case err := <-ended:
			return err
		}
	}
}

// typed copies what is typed until it ends or says so.
func typed(to io.Writer, from io.Reader) error {
	b := make([]byte, 4<<10)
	for {
		n, err := from.Read(b)
		keys, _, leave := bytes.Cut(b[:n], []byte{escape})
		if len(keys) > 0 {
			if _, err := to.Write(keys); err != nil {
				return err
			}
		}
		switch {
		case leave, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// tail is the last lines of text, the one without an end included.
func tail(text []byte, lines int) []byte {
	at := len(text)
	for range lines {
		at = bytes.LastIndexByte(text[:max(0, at-1)], '\n') + 1
		if at == 0 {
			break
		}
	}
	return text[at:]
}

func (k *call) logs(ctx context.Context, args []string) error {
	if err := k.want(args, 1); err != nil {
		return err
	}
	text, start, err := k.Client.ConsoleText(ctx, args[0], -1)
	if err != nil {
		return err
	}
	end := start + int64(len(text))
	if k.lines > 0 {
		text = tail(text, k.lines)
	}
	if k.json {
		return k.print(map[string]any{"name": args[0], "offset": end - int64(len(text)), "text": string(text)})
	}
	out := k.Out
	if _, ok := isTerminal(k.Out); ok && !k.raw {
		w := &printable.Writer{To: k.Out}
		defer w.Flush()
		out = &plainEnds{to: w}
	}
	if _, err := out.Write(text); err != nil || !k.follow {
		return err
	}
	c, err := k.Client.OpenConsole(ctx, args[0], api.ConsolePost{From: &end, ReadOnly: true})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.Copy(out, c)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// plainEnds passes lines on without the carriage returns at their ends, which a console has.
type plainEnds struct {
	to   io.Writer
	held int // carriage returns that may be an end's
}

func (w *plainEnds) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for _, c := range p {
		switch c {
		case '\r':
			w.held++
			continue
		case '\n':
		default:
			b.WriteString("\r"[:min(w.held, 1)])
		}
		w.held = 0
		b.WriteByte(c)
	}
	_, err := w.to.Write(b.Bytes())
	return len(p), err
}
