package bundle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

const usage = `Usage: zerodisc-report [-o FILE]

Gathers what is known about this host in a .tar.gz file, without secrets: its state and logs, what the kernel and
Xen say, guests' configurations, the network. Read it before you send it: names and addresses are in it.

  zerodisc-report > report.tgz
  zerodisc-report -o /state/report.tgz
  ssh root@HOST zerodisc-report > report.tgz

`

// Main is the command zerodisc-report. terminal says that out is one. It returns an exit status.
func Main(ctx context.Context, args []string, pieces []Piece, out, errs io.Writer, terminal bool) int {
	flags := flag.NewFlagSet("zerodisc-report", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() { fmt.Fprint(errs, usage); flags.PrintDefaults() }
	file := flags.String("o", "", "write to `file`, not to standard output")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *file == "" && terminal || flags.NArg() > 0:
		fmt.Fprint(errs, usage)
		return 2
	}
	now := time.Now()
	write := func(to io.Writer) error {
		return Write(ctx, to, now.UTC().Format("zerodisc-report-20060102-150405"), now, pieces, DefaultLimits)
	}
	if err := toFile(*file, out, write); err != nil {
		fmt.Fprintln(errs, "zerodisc-report:", err)
		return 1
	}
	return 0
}

// toFile has write write to a new file, or to out where none is named. What could not be written whole does not stay.
func toFile(name string, out io.Writer, write func(io.Writer) error) error {
	if name == "" {
		return write(out)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
