package xen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Runner runs a program to its end and returns what it wrote. Tests replace it.
type Runner func(ctx context.Context, program string, args ...string) (stdout, stderr []byte, err error)

// killDelay is what a program has between SIGTERM, when its context ends, and SIGKILL; also
// the time to wait for its output while a child of it still holds the pipe.
const killDelay = 2 * time.Second

// Exec is the Runner that runs programs. It returns some seconds after ctx ends at the latest, even when the
// program hangs in the kernel where nothing can kill it; who waits for a hung program waits alone.
func Exec(ctx context.Context, program string, args ...string) ([]byte, []byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ended := make(chan error, 1)
	go func() { ended <- oom.Run(cmd) }()
	select {
	case err := <-ended:
		return stdout.Bytes(), stderr.Bytes(), verdict(ctx, err)
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return stdout.Bytes(), stderr.Bytes(), verdict(ctx, err)
	case <-time.After(2 * killDelay):
		return nil, nil, fmt.Errorf("it cannot be killed: %w", ctx.Err())
	}
}

// verdict is a program's end as the caller wants to know it.
func verdict(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // the program itself ended well
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// programError joins what a program said with how it ended.
func programError(stderr []byte, err error) error {
	if said := cleanError(string(stderr)); said != "" {
		return fmt.Errorf("%s (%w)", said, err)
	}
	return err
}

// logPrefix is what Xen's logger puts before a message: "libxl: error:
// libxl_device.c:1259:device_hotplug_child_death_cb: Domain 3:", and "script: " of a hotplug error.
var logPrefix = regexp.MustCompile(`^(?:libxl|xc|xl|xenguest|libxl-save-helper): \w+: ` +
	`(?:[\w.-]+:\d+:\w+: )?(?:Domain \d+:)?(?:script: )?`)

// consequences follow from an error that was printed before them.
var consequences = []string{
	"Parsing config", "cannot (re-)build domain", "exited with error status",
	"Non-existant domain", "Non-existent domain", "Unable to destroy guest", "Destruction of domain failed",
	"unable to add disk devices", "unable to add vif devices",
}

// Limits of a cleaned error: it goes onto one console line.
const (
	maxErrorLines = 3
	maxErrorBytes = 600
)

// cleanError reduces what a Xen program printed to what a person needs: the last few messages
// without the logger's prefixes, repetitions and mere consequences.
func cleanError(stderr string) string {
	var messages, all []string
	for _, line := range strings.Split(stderr, "\n") {
		line = strings.TrimSpace(logPrefix.ReplaceAllString(strings.TrimSpace(line), ""))
		if line == "" {
			continue
		}
		all = append(all, line)
		if !isConsequence(line) && !slices.Contains(messages, line) {
			messages = append(messages, line)
		}
	}
	if len(messages) == 0 {
		messages = all[max(0, len(all)-1):]
	}
	messages = messages[max(0, len(messages)-maxErrorLines):]
	return truncate(printable.Line(strings.Join(messages, "; ")), maxErrorBytes)
}

func isConsequence(line string) bool {
	return slices.ContainsFunc(consequences, func(part string) bool { return strings.Contains(line, part) })
}

// truncate cuts text to limit bytes or a little less, never inside a character.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
