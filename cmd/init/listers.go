package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// listers are commands of u-root's that print names, and what the kernel has made of them. A name on a foreign disk may
// hold escape sequences, which could type on a root console. Other systems' commands escape them, u-root's do not.
var listers = []string{
	"blkid", "cpio", "df", "dmesg", "du", "find", "head", "losetup", "ls", "md5sum", "mount", "ps", "readlink",
	"realpath", "shasum", "tar", "umount", "unmount",
}

// isLister says whether a command is one whose output has to be made printable: a terminal gets it.
func isLister(name string) bool {
	return slices.Contains(listers, name) && (term.IsTerminal(unix.Stdout) || term.IsTerminal(unix.Stderr))
}

// list runs a command with its output made printable as far as it goes to a terminal, and returns its exit status.
func list(name string, args []string) int {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = name
	cmd.Stdin = os.Stdin
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGQUIT) // the command gets them, too, and ends
	isTerminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return runPrintable(cmd, os.Stdout, os.Stderr, isTerminal)
}

func runPrintable(cmd *exec.Cmd, stdout, stderr *os.File, isTerminal func(*os.File) bool) int {
	var flush []func() error
	filter := func(to *os.File) io.Writer {
		if !isTerminal(to) {
			return to
		}
		w := &printable.Writer{To: to}
		flush = append(flush, w.Flush)
		return w
	}
	cmd.Stdout, cmd.Stderr = filter(stdout), filter(stderr)
	err := oom.Run(cmd)
	for _, f := range flush {
		err = errors.Join(err, f())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", cmd.Args[0], err))
	}
	return 0
}
