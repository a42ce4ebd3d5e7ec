package guestcmd

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// overview is what guest prints without arguments.
func overview() string {
	var b strings.Builder
	b.WriteString("usage: guest COMMAND [ARGUMENT...]\n\n")
	for _, c := range commands {
		does, _, _ := strings.Cut(c.does, ";")
		fmt.Fprintf(&b, "  %-11s %s\n", c.name, strings.TrimSpace(does))
	}
	b.WriteString("\nguest help COMMAND explains one. Every command takes -o json. Exit status: 0 done, 1 failed,\n" +
		"2 wrong usage, 3 no such guest, 4 not possible in its state, 5 timeout, 6 host unreachable.\n")
	return b.String()
}

// explain is the help of a command.
func explain(c command) string {
	var b strings.Builder
	k := &call{command: c}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	k.declare(flags)
	fmt.Fprintf(&b, "usage: %s\n\n%s\n\n", strings.TrimSpace("guest "+c.name+" [FLAG...] "+c.args), sentence(c.does))
	flags.VisitAll(func(f *flag.Flag) {
		value, does := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + strings.ToUpper(value)
		}
		if f.Name == "o" {
			value, does = " FORMAT", "table or json"
		}
		fmt.Fprintf(&b, "  -%-18s %s\n", f.Name+value, does)
	})
	b.WriteString("\nexamples:\n")
	for _, e := range c.examples {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

func (k *call) help(_ context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(k.Out, overview())
		return nil
	}
	c, _ := find(args)
	if c == nil {
		return usagef("there is no command %q; guest help lists all", strings.Join(args, " "))
	}
	fmt.Fprint(k.Out, explain(*c))
	return nil
}
