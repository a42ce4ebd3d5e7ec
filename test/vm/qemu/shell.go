package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/console"
)

// Xen's receive buffer for the serial console holds 128 bytes and loses the rest: type in bursts
// below that, with time between them to take them away.
const (
	burst      = 32
	burstPause = 40 * time.Millisecond
)

// Type types text on the serial console; "\r" is the return key.
func (p *Process) Type(text string) error {
	for text != "" {
		n := min(burst, len(text))
		if _, err := io.WriteString(p.keyboard, text[:n]); err != nil {
			return fmt.Errorf("type on the serial console: %w", err)
		}
		if text = text[n:]; text != "" {
			time.Sleep(burstPause)
		}
	}
	return nil
}

// Under emulation Xen's serial driver gives up on interrupts at times ("switched to polling"), and what
// was typed then is handed to dom0 only when more comes. A person presses Enter again; so do
// Enter and Shell, after nudgeAfter.
const nudgeAfter = 2 * time.Second

// Enter types a line and the return key, and after a while an empty line.
func (p *Process) Enter(line string) error {
	if err := p.Type(line + "\r"); err != nil {
		return err
	}
	time.Sleep(nudgeAfter)
	_ = p.Type("\r") // the line may have switched the machine off
	return nil
}

// waitNudging is WaitLine for the answer to something typed.
func (p *Process) waitNudging(ctx context.Context, mark console.Mark, answer *regexp.Regexp) error {
	try, cancel := context.WithTimeout(ctx, nudgeAfter)
	_, err := p.Console.WaitLine(try, mark, answer)
	cancel()
	if !errors.Is(err, console.ErrDeadline) {
		return err
	}
	if err := p.Type("\r"); err != nil {
		return err
	}
	_, err = p.Console.WaitLine(ctx, mark, answer)
	return err
}

// answerLimit is how long a shell that listens takes, at most, to answer an echo.
const answerLimit = 10 * time.Second

// Shell runs a command line in the shell on the serial console and returns what it printed,
// without empty lines, and without what the kernel, Xen and init said meanwhile.
func (p *Process) Shell(ctx context.Context, command string) (string, error) {
	if err := p.awaitShell(ctx); err != nil {
		return "", err
	}
	p.sentinels++
	mark := p.Console.Mark()
	begin, end := sentinel("begin", p.sentinels), sentinel("end", p.sentinels)
	if err := p.Type("echo " + begin.typed + "; " + command + "; echo " + end.typed + "\r"); err != nil {
		return "", err
	}
	if err := p.waitNudging(ctx, mark, end.printed); err != nil {
		return "", fmt.Errorf("shell command %q: %w", command, err)
	}
	return between(p.Console.Since(mark), begin.printed, end.printed), nil
}

// awaitShell makes sure, once, that a shell listens: it types until there is an answer.
func (p *Process) awaitShell(ctx context.Context) error {
	for !p.shellListens {
		p.sentinels++
		mark := p.Console.Mark()
		s := sentinel("shell", p.sentinels)
		if err := p.Type("\recho " + s.typed + "\r"); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, answerLimit)
		err := p.waitNudging(try, mark, s.printed)
		cancel()
		if err != nil && (!errors.Is(err, console.ErrDeadline) || ctx.Err() != nil) {
			return fmt.Errorf("no shell answers on the serial console: %w", err)
		}
		p.shellListens = err == nil
	}
	return nil
}

// ForgetShell says that the shell spoken to so far may be gone; the next Shell looks for one.
func (p *Process) ForgetShell() { p.shellListens = false }

// Stage2 returns the process id of stage2: the child that does init's work. Any thread of process 1
// may be its parent.
func (p *Process) Stage2(ctx context.Context) (string, error) {
	children, err := p.Shell(ctx, "cat /proc/1/task/*/children")
	if err != nil {
		return "", err
	}
	for _, pid := range strings.Fields(children) {
		argv, err := p.Shell(ctx, "cat /proc/"+pid+"/cmdline")
		if err != nil {
			return "", err
		}
		if strings.Contains(argv, "stage2") {
			return pid, nil
		}
	}
	return "", fmt.Errorf("no stage2 among process 1's children: %s", children)
}

// marker is a word whose typed form differs from its printed one, so that the terminal's echo of
// the typing, or a line editor's redrawing of it, is not taken for the answer.
type marker struct {
	typed   string
	printed *regexp.Regexp
}

func sentinel(name string, n int) marker {
	return marker{
		typed:   fmt.Sprintf(`zd-""%s-%d-`, name, n),
		printed: regexp.MustCompile(fmt.Sprintf(`zd-%s-%d-`, name, n)),
	}
}

// between returns the lines after the one with begin and before the one with end; what stands
// before end in its own line is the last of the output, which did not end with a line feed.
func between(lines []console.Line, begin, end *regexp.Regexp) string {
	var out []string
	inside := false
	for _, line := range lines {
		if at := end.FindStringIndex(line.Text); inside && at != nil {
			if at[0] > 0 {
				out = append(out, line.Text[:at[0]])
			}
			break
		}
		if inside && !console.IsForeign(line.Text) && !strings.HasPrefix(line.Text, "level=") {
			out = append(out, line.Text)
		}
		inside = inside || begin.MatchString(line.Text)
	}
	return strings.Join(out, "\n")
}
