package shell

import (
	"context"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// umask is the command umask, which the interpreter lacks and ssh-copy-id uses. A shell is a process of its own, whose
// mask this is; a subshell has no other one.
func umask(ctx context.Context, args []string) ([]string, error) {
	if args[0] != "umask" {
		return args, nil
	}
	done, failed := []string{"true"}, []string{"false"}
	switch len(args) {
	case 1:
		mask := unix.Umask(0)
		unix.Umask(mask)
		fmt.Fprintf(interp.HandlerCtx(ctx).Stdout, "%04o\n", mask)
		return done, nil
	case 2:
		if mask, err := strconv.ParseUint(args[1], 8, 9); err == nil {
			unix.Umask(int(mask))
			return done, nil
		}
	}
	fmt.Fprintln(interp.HandlerCtx(ctx).Stderr, "umask: want an octal number such as 077")
	return failed, nil
}
