// Command mkiso builds the zerodisc image: it takes Debian's packages through apt, compiles the
// userland, and packs Xen, the dom0 kernel, the initrd and the guests into one ISO that boots on
// BIOS and UEFI machines. It needs no root rights.
//
//	mkiso [-o FILE] [-netboot DIR] [-guests DIR]... [-config FILE] [-with NAME]...
//	      [-cmdline TEXT] [-xen-cmdline TEXT] [-lock FILE] [-release DIR] [-size]
//	      [-mirror URL] [-suite NAME] [-offline] [-cache DIR] [-v]
//
// It is run from within the sources. SOURCE_DATE_EPOCH, when set, dates everything on the disc.
//
// What it does with a disc that is there already needs neither sources nor packages:
//
//	mkiso add IN.iso [-guest DIR]... [-config FILE] [-replace] -o OUT.iso
//	mkiso inspect ISO
//	mkiso verify ISO
//	mkiso serve [-dir DIR] [-interface NAME] [-port N] [-range FIRST-LAST]
//
// An ISO may also be a device that carries one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// commands are what mkiso can do besides building a disc.
var commands = map[string]func(ctx context.Context, args []string) error{
	"add":     add,
	"inspect": inspect,
	"verify":  verify,
	"serve":   serve,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "mkiso: interrupted")
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "mkiso: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(ctx, args[1:])
		}
	}
	return build(ctx, args)
}
