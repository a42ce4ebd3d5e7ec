package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// outputDelay bounds the waiting for a dead daemon's output while a descendant of it holds the
// pipe open.
const outputDelay = time.Second

// process is one started process.
type process struct {
	cmd    *exec.Cmd
	output *followed  // of a lasting one
	exited chan error // gets one value: why it ended, never nil
}

// execute starts the daemon's program in a session of its own, so that a Ctrl-C on the console does not reach
// it and it outlives a crash of this process.
func execute(spec Spec) (*process, error) {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = outputDelay
	p := &process{cmd: cmd, exited: make(chan error, 1)}
	switch {
	case spec.Lasting != "":
		fifo, err := openFIFO(spec.Lasting)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", spec.Name, err)
		}
		defer fifo.Close()
		cmd.Stdout, cmd.Stderr = fifo, fifo
		if p.output, err = follow(spec); err != nil {
			return nil, fmt.Errorf("start %s: %w", spec.Name, err)
		}
	case spec.Output != nil:
		out := &lines{prefix: spec.Name + ": ", to: spec.Output}
		cmd.Stdout, cmd.Stderr = out, out // equal writers share one pipe and one copying goroutine
	}
	start := oom.Start
	if spec.Limits != nil {
		start = spec.Limits.Start
	}
	if err := start(cmd); err != nil {
		if p.output != nil {
			p.output.fifo.Close()
		}
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	go p.wait()
	if spec.OOMScoreAdj != 0 {
		p.protect(spec.OOMScoreAdj, spec.Output)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) exit() <-chan error { return p.exited }

// wait reports the end of the process and flushes its last line.
func (p *process) wait() {
	err := p.cmd.Wait()
	if out, ok := p.cmd.Stdout.(*lines); ok {
		out.flush()
	}
	if p.output != nil {
		p.output.end()
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		err = errors.New("exit status 0")
	}
	p.exited <- err
}

// protect sets the process's standing with the kernel's out-of-memory killer. A failure is worth
// a line, not a daemon.
func (p *process) protect(score int, out io.Writer) {
	if err := oom.Set(p.pid(), score); err != nil && out != nil {
		fmt.Fprintf(out, "process %d: %v\n", p.pid(), err)
	}
}

func (p *process) terminate(timeout time.Duration) { terminate(p, timeout) }
