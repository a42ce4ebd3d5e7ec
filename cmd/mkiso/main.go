// Command mkiso builds the zerodisc image: it takes Debian's packages through apt, compiles the
// userland, and packs Xen, the dom0 kernel, the initrd and the guests into one ISO that boots on
// BIOS and UEFI machines. It needs no root rights.
//
//	mkiso [-o FILE] [-netboot DIR] [-guests DIR]... [-cmdline TEXT] [-xen-cmdline TEXT]
//	      [-mirror URL] [-suite NAME] [-offline] [-cache DIR] [-v]
//
// It is run from within the sources. SOURCE_DATE_EPOCH, when set, dates everything on the disc.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/zerodisc/zerodisc/internal/disc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "mkiso: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	opts := disc.Options{Out: os.Stdout}
	flag.StringVar(&opts.Output, "o", "build/zerodisc.iso", "write the image to `FILE`")
	flag.StringVar(&opts.Netboot, "netboot", "", "write a tree to boot machines from the network to `DIR`, too")
	flag.Func("guests", "add the guest or the guests in `DIR` (repeatable)", func(dir string) error {
		opts.Guests = append(opts.Guests, dir)
		return nil
	})
	flag.StringVar(&opts.Cmdline, "cmdline", "", "add `TEXT` to dom0's kernel command line")
	flag.StringVar(&opts.XenCmdline, "xen-cmdline", "", "add `TEXT` to Xen's command line")
	flag.StringVar(&opts.Mirror, "mirror", "", "take Debian's packages from `URL` (default: the mirror of this machine's apt)")
	flag.StringVar(&opts.Suite, "suite", "trixie", "build from the Debian release `NAME`")
	flag.BoolVar(&opts.Offline, "offline", false, "use only what the cache holds")
	flag.StringVar(&opts.CacheDir, "cache", "build/cache", "keep packages and intermediate files in `DIR`")
	flag.BoolVar(&opts.Verbose, "v", false, "say more")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see mkiso -h", flag.Arg(0))
	}
	return disc.Build(ctx, opts)
}
