package payload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// call is one run of a program in the private root.
type call struct {
	args    []string
	dir     string                // "" for the current one
	percent func(percent float64) // told how far downloads are; nil for a program that needs no network
}

// config is the file that APT_CONFIG names.
func (a *apt) config() string { return filepath.Join(a.dir, configName) }

// run executes apt and returns its standard output. The error condenses what apt complained of.
func (a *apt) run(ctx context.Context, c call) ([]byte, error) {
	if c.percent != nil {
		var stop func()
		ctx, c.percent, stop = a.watchStall(ctx, c.percent)
		defer stop()
	}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG="+a.config())
	// apt starts helpers for each protocol: a group of their own lets all of them be ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.percent != nil {
		stop, err := watchStatus(cmd, c.percent)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s not found: this needs a Debian machine or one derived from it", c.args[0])
	case err != nil:
		return nil, fmt.Errorf("%s: %w", filepath.Base(c.args[0]), condense(stdout.String(), stderr.String(), err))
	}
	return stdout.Bytes(), nil
}

// patience is how often the timeout passes without a byte before a mirror is given up. apt's own
// count is for each file: with a mirror that died it would take more than an hour for the
// packages of a disc.
const patience = 3

// watchStall returns a context that ends when the percentages that pass through the returned function
// have not grown for too long.
func (a *apt) watchStall(ctx context.Context, percent func(float64)) (context.Context, func(float64), func()) {
	limit := patience * a.timeout
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("the mirror has sent nothing for %v: try again later, or use another -mirror", limit))
	})
	most := -1.0
	watched := func(p float64) {
		if p > most {
			most = p
			timer.Reset(limit)
		}
		percent(p)
	}
	return ctx, watched, func() {
		timer.Stop()
		cancel(nil)
	}
}

// watchStatus gives cmd a status pipe (APT::Status-Fd) and passes on the percentages of
// its lines "dlstatus:FILE:PERCENT:text".
func watchStatus(cmd *exec.Cmd, percent func(float64)) (stop func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make status pipe: %w", err)
	}
	cmd.ExtraFiles = []*os.File{w} // descriptor 3
	cmd.Args = slices.Insert(cmd.Args, 1, "-o", "APT::Status-Fd=3")
	done := make(chan struct{})
	go func() {
		defer close(done)
		readStatus(r, percent)
	}()
	return func() {
		w.Close()
		// Should a helper of apt outlive it with the pipe open, do not wait for it.
		r.SetReadDeadline(time.Now().Add(time.Second))
		<-done
		r.Close()
	}, nil
}

func readStatus(r io.Reader, percent func(float64)) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), ":", 4)
		if len(f) < 3 || f[0] != "dlstatus" {
			continue
		}
		if p, err := strconv.ParseFloat(f[2], 64); err == nil {
			percent(p)
		}
	}
}
