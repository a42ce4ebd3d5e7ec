package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/zerodisc/zerodisc/boot"
)

// usageError says what is wrong with the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// flags returns a set for the command's flags.
func (c command) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("mkiso", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // parse writes the help to where it is asked for, and errors are returned
	return flags
}

// call is how the command is called.
func (c command) call() string {
	if c.name == "" {
		return "mkiso"
	}
	return "mkiso " + c.name
}

// parse parses args, in which flags may stand behind the arguments, and returns the want arguments. Help
// that was asked for goes to out; the error is flag.ErrHelp then.
func (c command) parse(flags *flag.FlagSet, args []string, want int, out io.Writer) ([]string, error) {
	var rest []string
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			c.help(flags, out)
			return nil, err
		} else if err != nil {
			return nil, c.misused("%v", err)
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	if len(rest) != want {
		return nil, c.misused("%d arguments %q, want %d", len(rest), rest, want)
	}
	return rest, nil
}

// misused is the error for a command line that makes no sense.
func (c command) misused(format string, args ...any) error {
	return usageError(fmt.Sprintf(format, args...) + "; " + c.call() + " -h shows how it is used")
}

// help shows how the command is used; the one that builds, which has no name, shows all.
func (c command) help(flags *flag.FlagSet, out io.Writer) {
	fmt.Fprintf(out, "%s: %s\n", strings.TrimSpace(c.call()+" "+c.args), c.does)
	if c.name == "" {
		overview(out)
	}
	flags.SetOutput(out)
	flags.PrintDefaults()
}

// overview lists the commands.
func overview(out io.Writer) {
	fmt.Fprintln(out, "\nCommands, each with its own -h:")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", c.call(), c.does)
	}
	_ = table.Flush()
	fmt.Fprintln(out, "\nFlags of a build:")
}

// help shows how mkiso, or the command that is named, is used.
func help(ctx context.Context, _ command, args []string, out io.Writer) error {
	asked := builder()
	if len(args) > 0 {
		var err error
		if asked, err = find(args[0]); err != nil {
			return err
		}
	}
	if asked.name == "help" {
		asked = builder()
	}
	return asked.run(ctx, asked, []string{"-h"}, out)
}

// version shows the version, and the commit where the Go command has noted it.
func version(_ context.Context, c command, args []string, out io.Writer) error {
	if _, err := c.parse(c.flags(), args, 0, out); err != nil {
		return err
	}
	revision := ""
	info, _ := debug.ReadBuildInfo()
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = " (" + setting.Value + ")"
		}
	}
	_, err := fmt.Fprintf(out, "mkiso %s%s, %s\n", boot.Version, revision, info.GoVersion)
	return err
}

// appendTo is the value of a flag that may be given several times.
func appendTo(list *[]string) func(string) error {
	return func(value string) error {
		*list = append(*list, value)
		return nil
	}
}
