package main

import (
	"context"
	"errors"
	"os"

	"github.com/zerodisc/zerodisc/internal/netserve"
	"github.com/zerodisc/zerodisc/internal/progress"
	"github.com/zerodisc/zerodisc/internal/remaster"
)

// add puts guests and settings onto a disc that is there.
func add(ctx context.Context, args []string) error {
	show := progress.New(os.Stdout)
	defer show.Done()
	opts := remaster.AddOptions{Progress: show.Bytes}
	flags := newFlags("mkiso add IN.iso [-guest DIR]... [-config FILE] [-replace] -o OUT.iso")
	flags.Func("guest", "add the guest or the guests in `DIR` (repeatable)", appendTo(&opts.Guests))
	flags.StringVar(&opts.Settings, "config", "", "give the disc the settings in `FILE` (docs/booting.md)")
	flags.BoolVar(&opts.Replace, "replace", false, "take the place of guests of the same name")
	flags.StringVar(&opts.Out, "o", "", "write the new disc to `FILE`")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	if opts.In = rest[0]; opts.Out == "" {
		return errors.New("add: -o OUT.iso is missing: the file for the new disc")
	}
	return remaster.Add(ctx, opts)
}

// inspect says what is on a disc.
func inspect(_ context.Context, args []string) error {
	rest, err := parse(newFlags("mkiso inspect ISO"), args, 1)
	if err != nil {
		return err
	}
	return remaster.Inspect(os.Stdout, rest[0])
}

// verify checks every sum of a disc.
func verify(ctx context.Context, args []string) error {
	rest, err := parse(newFlags("mkiso verify ISO"), args, 1)
	if err != nil {
		return err
	}
	show := progress.New(os.Stdout)
	defer show.Done()
	return remaster.Verify(ctx, os.Stdout, rest[0], func(read, total int64) { show.Bytes("reading "+rest[0], read, total) })
}

// serve boots the PCs next to this one from a netboot tree.
func serve(ctx context.Context, args []string) error {
	opts := netserve.Options{Out: os.Stdout}
	flags := newFlags("mkiso serve [-dir DIR] [-interface NAME] [-port N] [-range FIRST-LAST]")
	flags.StringVar(&opts.Dir, "dir", "build/netboot", "serve the netboot tree in `DIR`")
	flags.StringVar(&opts.Interface, "interface", "", "answer on the network interface `NAME` (default: the only one there is)")
	flags.IntVar(&opts.HTTPPort, "port", 0, "serve HTTP on port `N` (default: 80, or one from 8080 on)")
	flags.StringVar(&opts.Range, "range", "", "give addresses `FIRST-LAST` away: for a cable with no other DHCP server on it")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	return netserve.Serve(ctx, opts)
}
