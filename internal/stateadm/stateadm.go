// Package stateadm is the command zerodisc-state: it makes a disk or a partition the state volume, and shows what is on
// it. It is the one program of the disc that overwrites disks, so it shows first what would be lost, refuses what is in
// use, and asks.
package stateadm

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Config is what the command works with. All fields are to be set.
type Config struct {
	In       io.Reader
	Out, Err io.Writer
	// State reads the host's state.
	State func() (*host.Snapshot, error)
	// Mke2fs is the path of mke2fs(8).
	Mke2fs string
}

// tool is one call of the command.
type tool struct {
	Config
	sys, proc, dev string // where these file systems are
}

const usage = `usage: zerodisc-state                       show the state volume
       zerodisc-state create [-yes] DEVICE  make a disk or a partition the state volume
       zerodisc-state create [-yes] -size SIZE DEVICE
                                            make it a file of that size, 4G say, in the device's file system
Everything on the device is lost; with -size nothing is. The command shows it and asks first; -yes is for scripts.
`

var errUsage = errors.New("zerodisc-state -h says how")

// Main runs the command and returns its exit status.
func Main(args []string, c Config) int {
	t := &tool{Config: c, sys: "/sys", proc: "/proc", dev: "/dev"}
	err := t.run(args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.Out, usage)
		return 0
	}
	fmt.Fprintln(c.Err, "zerodisc-state:", err)
	return 1
}

func (t *tool) run(args []string) error {
	if len(args) == 0 || args[0] == "status" {
		return t.status()
	}
	flags := flag.NewFlagSet("zerodisc-state", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	yes, size := flags.Bool("yes", false, ""), flags.String("size", "", "")
	if args[0] != "create" {
		if err := flags.Parse(args); err != nil {
			return err
		}
		return fmt.Errorf("there is no command %q: %w", args[0], errUsage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("name one device: %w", errUsage)
	}
	if *size == "" {
		return t.create(flags.Arg(0), *yes)
	}
	bytes, err := bytesize.Parse(*size)
	if err != nil {
		return fmt.Errorf("-size %q: %w", *size, err)
	}
	return t.createFile(flags.Arg(0), bytes, *yes)
}

// create makes a device the state volume.
func (t *tool) create(name string, yes bool) error {
	now, err := t.State()
	if err != nil {
		return err
	}
	d, err := t.examine(name)
	if err != nil {
		return err
	}
	fmt.Fprint(t.Out, d.describe())
	if err := t.refuse(d, now); err != nil {
		return err
	}
	if !yes && !t.confirmed("All that is on "+d.path()+" will be lost.") {
		return errUnchanged
	}
	if err := t.letGo(d); err != nil {
		return err
	}
	device, err := t.format(d)
	if err != nil {
		return err
	}
	return t.announce(device)
}

var errUnchanged = errors.New("nothing was changed")

// confirmed says what will be done, and asks whether to go on.
func (t *tool) confirmed(what string) bool {
	fmt.Fprintf(t.Out, "%s Type yes to go on: ", what)
	answer, _ := bufio.NewReader(t.In).ReadString('\n')
	return strings.TrimSpace(answer) == "yes"
}

// status shows the state volume.
func (t *tool) status() error {
	now, err := t.State()
	if err != nil {
		return err
	}
	v := now.Host.State
	if v.Problem != "" {
		name := strings.TrimSpace(v.Device + " " + v.File)
		if name == "" {
			name = "state volume"
		}
		fmt.Fprintf(t.Out, "%s: %s; %s\n", name, v.Problem, v.Remedy)
	}
	if v.Mount == "" {
		if v.Problem == "" {
			fmt.Fprintln(t.Out, "There is no state volume: what guests write is lost when the machine ends.\n"+
				"zerodisc-state create DEVICE makes one.")
		}
		return nil
	}
	fmt.Fprintf(t.Out, "%s at %s, %s, %s free\n",
		strings.TrimSpace(v.Device+" "+v.File), v.Mount, bytesize.Text(v.Bytes), bytesize.Text(v.Free))
	entries, err := os.ReadDir(boot.StateGuests)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			fmt.Fprintf(t.Out, "  guest %-16s %s\n", printable.Line(e.Name()),
				bytesize.Text(allocated(filepath.Join(boot.StateGuests, e.Name()))))
		}
	}
	return nil
}
