package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/netserve"
	"github.com/zerodisc/zerodisc/internal/progress"
	"github.com/zerodisc/zerodisc/internal/remaster"
)

// eraseHelp describes the flag output.EraseFlag.
const eraseHelp = "let -o name a whole disk (/dev/sdX): everything on it is lost"

// configHelp describes the flag -config.
const configHelp = "give the disc the settings in `FILE` (docs/booting.md), or with .yaml at its end " +
	"the configuration (docs/configuration.md); it may be given for both"

// oneOf is the value of -config: what ends with .yaml is a configuration.
func oneOf(settings, config *string) func(string) error {
	return func(name string) error {
		to := settings
		if ext := strings.ToLower(filepath.Ext(name)); ext == ".yaml" || ext == ".yml" {
			to = config
		}
		if *to != "" {
			return fmt.Errorf("%s was given already", *to)
		}
		*to = name
		return nil
	}
}

// check says what is wrong with a configuration.
func check(_ context.Context, c command, args []string, out io.Writer) error {
	flags := c.flags()
	schema := flags.Bool("schema", false, "print the JSON Schema of a configuration instead, for editors")
	want := 1
	if slices.Contains(args, "-schema") || slices.Contains(args, "--schema") {
		want = 0
	}
	rest, err := c.parse(flags, args, want, out)
	if err != nil {
		return err
	}
	if *schema {
		text, err := config.Schema()
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	return remaster.CheckConfig(out, rest[0])
}

// add puts guests and settings onto a disc that is there.
func add(ctx context.Context, c command, args []string, out io.Writer) error {
	show := progress.New(out)
	defer show.Done()
	opts := remaster.AddOptions{Progress: show.Bytes, Note: show.Note}
	flags := c.flags()
	flags.Func("guest", "add the guest or the guests in `DIR` (repeatable)", appendTo(&opts.Guests))
	flags.Func("config", configHelp, oneOf(&opts.Settings, &opts.Config))
	flags.BoolVar(&opts.Replace, "replace", false, "take the place of guests of the same name")
	flags.StringVar(&opts.Out, "o", "", "write the new disc to `FILE`")
	flags.BoolVar(&opts.Erase, "erase", false, eraseHelp)
	rest, err := c.parse(flags, args, 1, out)
	if err != nil {
		return err
	}
	opts.In = rest[0]
	switch {
	case opts.Out == "":
		return c.misused("-o OUT.iso is missing, the file for the new disc")
	case len(opts.Guests) == 0 && opts.Settings == "" && opts.Config == "":
		return c.misused("there is nothing to add; name a guest with -guest DIR or settings with -config FILE")
	}
	return remaster.Add(ctx, opts)
}

// inspect says what is on a disc.
func inspect(_ context.Context, c command, args []string, out io.Writer) error {
	rest, err := c.parse(c.flags(), args, 1, out)
	if err != nil {
		return err
	}
	return remaster.Inspect(out, rest[0])
}

// verify checks every sum of a disc.
func verify(ctx context.Context, c command, args []string, out io.Writer) error {
	rest, err := c.parse(c.flags(), args, 1, out)
	if err != nil {
		return err
	}
	show := progress.New(out)
	defer show.Done()
	return remaster.Verify(ctx, out, rest[0], func(read, total int64) { show.Bytes("reading "+rest[0], read, total) })
}

// serve boots the PCs next to this one from a netboot tree.
func serve(ctx context.Context, c command, args []string, out io.Writer) error {
	opts := netserve.Options{Out: out}
	flags := c.flags()
	flags.StringVar(&opts.Dir, "dir", "build/netboot", "serve the netboot tree in `DIR`")
	flags.StringVar(&opts.Interface, "interface", "",
		"answer on the network interface `NAME` (default: the only one there is)")
	flags.IntVar(&opts.HTTPPort, "port", 0, "serve HTTP on port `N` (default: 80, or one from 8080 on)")
	flags.StringVar(&opts.Range, "range", "",
		"give addresses `FIRST-LAST` away: for a cable with no other DHCP server on it")
	if _, err := c.parse(flags, args, 0, out); err != nil {
		return err
	}
	return netserve.Serve(ctx, opts)
}
