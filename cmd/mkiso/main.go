// Command mkiso builds the zerodisc image: it takes Debian's packages through apt, compiles the
// userland, and packs Xen, the dom0 kernel, the initrd and the guests into one ISO that boots on
// BIOS and UEFI machines. It needs no root rights.
//
//	mkiso [-o FILE] [-erase] [-netboot DIR] [-guests DIR]... [-config FILE]... [-with NAME]...
//	      [-cmdline TEXT] [-xen-cmdline TEXT] [-lock FILE] [-release DIR] [-size]
//	      [-mirror URL] [-suite NAME] [-offline] [-cache DIR] [-v]
//
// It is run from within the sources. SOURCE_DATE_EPOCH, when set, dates everything on the disc. What it
// is asked for is checked before anything is built.
//
// Discs that exist need neither sources nor packages:
//
//	mkiso add IN.iso [-guest DIR]... [-config FILE]... [-replace] [-erase] -o OUT.iso
//	mkiso check FILE|ISO
//	mkiso check -schema
//	mkiso inspect ISO
//	mkiso verify ISO
//	mkiso serve [-dir DIR] [-interface NAME] [-port N] [-range FIRST-LAST]
//	mkiso version
//	mkiso help [COMMAND]
//
// An ISO may also be a device that carries one. With -erase -o may name a whole disk, which is overwritten unless it
// is in use; without, mkiso says what is on the disk and writes nothing.
//
// The exit code is 0 when all went well, 2 when the command line makes no sense, and else 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// command is something that mkiso does.
type command struct {
	name string
	args string // as usage shows them
	does string
	run  func(ctx context.Context, c command, args []string, out io.Writer) error
}

// commands are what mkiso can do besides building a disc.
func commands() []command {
	return []command{
		{"add", "IN.iso [-guest DIR]... [-config FILE]... [-replace] [-erase] -o OUT.iso",
			"make a disc with more guests or other settings", add},
		{"check", "FILE|ISO", "say what is wrong with a configuration, or with a disc's", check},
		{"inspect", "ISO", "show what is on a disc", inspect},
		{"verify", "ISO", "compare every byte of a disc with its sums", verify},
		{"serve", "[-dir DIR] [-interface NAME] [-port N] [-range FIRST-LAST]",
			"start the PCs next to this one from a netboot tree", serve},
		{"version", "", "show the version", version},
		{"help", "[COMMAND]", "show how mkiso or one of its commands is used", help},
	}
}

// builder is the command that needs no name.
func builder() command { return command{args: "[FLAGS]", does: "build a disc", run: build} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs mkiso with args and returns its exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	err := dispatch(ctx, args, out)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "mkiso: %v\n", err)
		return 2
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "mkiso: interrupted")
		return 1
	}
	fmt.Fprintf(errOut, "mkiso: %v\n", err)
	return 1
}

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return builder().run(ctx, builder(), args, out)
	}
	c, err := find(args[0])
	if err != nil {
		return err
	}
	return c.run(ctx, c, args[1:], out)
}

// find finds a command by its name.
func find(name string) (command, error) {
	var names []string
	for _, c := range commands() {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return command{}, usageError(fmt.Sprintf(
		"there is no command %q; there are %s, and without a command mkiso builds a disc",
		name, strings.Join(names, ", ")))
}
