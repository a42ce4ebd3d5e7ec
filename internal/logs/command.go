package logs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const usage = `Usage: logs [-f] [-source NAME,NAME] [-level LEVEL] [-since TIME] [-n COUNT] [-o FORMAT]

Shows what the host has logged: init's lines, the kernel's messages, Xen's, and what services print.

  logs -n 50                      the newest 50 lines
  logs -f -source kernel,xen      the kernel's and Xen's lines, and those that come
  logs -level warning -since 10m  what went wrong in the last ten minutes
  logs -o json                    a line of JSON for each entry

`

// followPause is the time between two looks of logs -f.
const followPause = 300 * time.Millisecond

// Main is the command logs. It returns an exit status.
func Main(ctx context.Context, args []string, dir string, out, errs io.Writer) int {
	err := run(ctx, args, dir, out, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	}
	fmt.Fprintln(errs, "logs:", err)
	return 1
}

// request is what the command line asks for.
type request struct {
	filter Filter
	last   int
	follow bool
	format Format
}

func run(ctx context.Context, args []string, dir string, out, errs io.Writer) error {
	q, err := parse(args, errs, time.Now(), Uptime())
	if err != nil {
		return err
	}
	reader := NewReader(dir)
	defer reader.Close()
	entries, _, err := reader.Read()
	if err != nil {
		return err
	}
	if err := known(q.filter.Sources, entries); err != nil && !q.follow {
		return err
	}
	if err := q.print(out, q.filter.Select(entries, q.last)); err != nil || !q.follow {
		return err
	}
	return reader.Follow(ctx, followPause, func(more []Entry, lost uint64) error {
		if lost > 0 {
			fmt.Fprintf(errs, "logs: %d lines were lost\n", lost)
		}
		return q.print(out, q.filter.Select(more, -1))
	})
}

func parse(args []string, errs io.Writer, now time.Time, up time.Duration) (request, error) {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() { fmt.Fprint(errs, usage); flags.PrintDefaults() }
	follow := flags.Bool("f", false, "go on with what comes")
	sources := flags.String("source", "", "only these `sources`: init, kernel, xen, or a service; with commas")
	level := flags.String("level", "", "only lines at least as urgent as `level`: err, warning, info, ...")
	since := flags.String("since", "", "only lines since `time`: 10m, 15:04, \"2006-01-02 15:04\"")
	last := flags.Int("n", -1, "only the newest `count` lines")
	format := flags.String("o", "short", "`format`: short or json")
	if err := flags.Parse(args); err != nil {
		return request{}, err
	}
	if flags.NArg() > 0 {
		return request{}, fmt.Errorf("%q: want flags only, see logs -h", flags.Arg(0))
	}
	q := request{last: *last, follow: *follow, format: Formats[*format]}
	if q.format == nil {
		names := strings.Join(slices.Sorted(maps.Keys(Formats)), ", ")
		return request{}, fmt.Errorf("%q is no format; formats are %s", *format, names)
	}
	if *sources != "" {
		q.filter.Sources = strings.Split(*sources, ",")
	}
	if *level != "" {
		l, err := ParseLevel(*level)
		if err != nil {
			return request{}, err
		}
		q.filter.Level = &l
	}
	if *since != "" {
		t, err := ParseSince(*since, now, up)
		if err != nil {
			return request{}, err
		}
		q.filter.Since = t
	}
	return q, nil
}

// known says which of the sources asked for has said nothing.
func known(asked []string, entries []Entry) error {
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Source] = true
	}
	for _, name := range asked {
		if !there[name] {
			names := strings.Join(slices.Sorted(maps.Keys(there)), ", ")
			return fmt.Errorf("nothing comes from %q; sources are %s", name, names)
		}
	}
	return nil
}

func (q request) print(out io.Writer, entries []Entry) error {
	now, up := time.Now(), Uptime()
	var text strings.Builder
	for _, e := range entries {
		text.WriteString(q.format(e, e.Time(now, up)))
	}
	_, err := io.WriteString(out, text.String())
	return err
}
