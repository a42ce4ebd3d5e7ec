//go:build linux

package main

import (
	"context"
	"io"
	"strings"

	"github.com/zerodisc/zerodisc/internal/disc"
)

// build makes a disc from Debian's packages and the sources around it.
func build(ctx context.Context, c command, args []string, out io.Writer) error {
	opts := disc.Options{Out: out}
	flags := c.flags()
	flags.StringVar(&opts.Output, "o", "build/zerodisc.iso", "write the image to `FILE`")
	flags.BoolVar(&opts.Erase, "erase", false, eraseHelp)
	flags.StringVar(&opts.Netboot, "netboot", "", "write a tree to boot machines from the network to `DIR`, too")
	flags.Func("guests", "add the guest or the guests in `DIR` (repeatable)", appendTo(&opts.Guests))
	flags.Func("config", configHelp, oneOf(&opts.Settings, &opts.Config))
	flags.Func("with", "add what a disc usually lacks, by `NAME` (repeatable): "+strings.Join(disc.OptionNames(), ", "),
		appendTo(&opts.With))
	flags.StringVar(&opts.Cmdline, "cmdline", "", "add `TEXT` to dom0's kernel command line")
	flags.StringVar(&opts.XenCmdline, "xen-cmdline", "", "add `TEXT` to Xen's command line")
	flags.StringVar(&opts.Lock, "lock", "", "hold to the packages in `FILE`; where it is not there, write it")
	flags.StringVar(&opts.Release, "release", "",
		"put the image, the netboot tree, the bill of materials and the sums into `DIR`, too")
	flags.BoolVar(&opts.Size, "size", false, "say what takes how many bytes, down to the categories of modules")
	flags.StringVar(&opts.Mirror, "mirror", "",
		"take Debian's packages from `URL` (default: the mirror of this machine's apt)")
	flags.StringVar(&opts.Suite, "suite", "trixie", "build from the Debian release `NAME`")
	flags.BoolVar(&opts.Offline, "offline", false, "use only what the cache holds")
	flags.StringVar(&opts.CacheDir, "cache", "build/cache", "keep packages and intermediate files in `DIR`")
	flags.BoolVar(&opts.Verbose, "v", false, "say more")
	if _, err := c.parse(flags, args, 0, out); err != nil {
		return err
	}
	return disc.Build(ctx, opts)
}
