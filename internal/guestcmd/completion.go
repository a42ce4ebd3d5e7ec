package guestcmd

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/client"
)

// completeWord is the command that shells call: it prints what the last of the words may become.
const completeWord = "complete"

const bashCompletion = `_guest() {
	mapfile -t COMPREPLY < <(guest complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _guest guest
`

func (k *call) completion(_ context.Context, args []string) error {
	if len(args) != 1 || args[0] != "bash" {
		return usagef("usage: guest completion bash")
	}
	_, err := fmt.Fprint(k.Out, bashCompletion)
	return err
}

// completePatience is how long a completion waits for the names of guests: a person has a finger on the key.
const completePatience = 2 * time.Second

func complete(ctx context.Context, words []string, c Config) int {
	ctx, cancel := context.WithTimeout(ctx, completePatience)
	defer cancel()
	for _, candidate := range Complete(ctx, words, c.Client) {
		fmt.Fprintln(c.Out, candidate)
	}
	return exitOK
}

// Complete returns what the last of the words behind guest may become. It asks the host for the names of guests.
func Complete(ctx context.Context, words []string, c *client.Client) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	said, last := words[:len(words)-1], words[len(words)-1]
	var candidates []string
	chosen, rest := find(said)
	switch {
	case chosen == nil:
		candidates = nextWords(said)
	case strings.HasPrefix(last, "-"):
		candidates = flagNames(*chosen)
	default:
		candidates = arguments(ctx, *chosen, positional(rest), c)
	}
	return slices.DeleteFunc(candidates, func(w string) bool { return !strings.HasPrefix(w, last) })
}

// nextWords are the next words of commands that begin so.
func nextWords(said []string) (next []string) {
	for _, c := range commands {
		words := strings.Fields(c.name)
		if len(words) > len(said) && slices.Equal(words[:len(said)], said) {
			next = append(next, words[len(said)])
		}
	}
	return next
}

func flagNames(c command) (names []string) {
	k := &call{command: c}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	k.declare(flags)
	flags.VisitAll(func(f *flag.Flag) { names = append(names, "-"+f.Name) })
	return names
}

// positional leaves flags out.
func positional(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.HasPrefix(w, "-") })
}

// arguments are what the next argument of a command may be.
func arguments(ctx context.Context, c command, said []string, from *client.Client) []string {
	shape := strings.Fields(c.args)
	at := min(len(said), max(0, len(shape)-1))
	switch {
	case len(shape) == 0 || len(said) >= len(shape) && !strings.HasSuffix(c.args, "..."):
		return nil
	case strings.HasPrefix(shape[at], "NAME"):
		return guestNames(ctx, said, from)
	case shape[at] == "disk|nic":
		return []string{"disk", "nic"}
	case shape[at] == "bash":
		return []string{"bash"}
	case shape[at] == "[COMMAND]":
		return nextWords(said)
	}
	return nil
}

// guestNames are the names of guests that were not said yet.
func guestNames(ctx context.Context, said []string, from *client.Client) (names []string) {
	guests, err := from.Guests(ctx, false)
	if err != nil {
		return nil // there is nothing to say it to
	}
	for _, g := range guests {
		if !slices.Contains(said, g.Name) {
			names = append(names, g.Name)
		}
	}
	return names
}
