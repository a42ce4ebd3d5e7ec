package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

// errUsage says that what is wrong with the command line has been told.
var errUsage = errors.New("usage")

func newFlags(usage string) *flag.FlagSet {
	flags := flag.NewFlagSet("mkiso", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: %s\n", usage)
		flags.PrintDefaults()
	}
	return flags
}

// parse parses args, in which flags may stand behind the arguments, and returns the want arguments.
func parse(flags *flag.FlagSet, args []string, want int) ([]string, error) {
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errUsage
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	if len(rest) != want {
		fmt.Fprintf(os.Stderr, "mkiso: %d arguments %q, want %d\n", len(rest), rest, want)
		flags.Usage()
		return nil, errUsage
	}
	return rest, nil
}

// appendTo is the value of a flag that may be given several times.
func appendTo(list *[]string) func(string) error {
	return func(value string) error {
		*list = append(*list, value)
		return nil
	}
}
