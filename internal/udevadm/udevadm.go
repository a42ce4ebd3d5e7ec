// Package udevadm is the command of that name as systemd has it (udevadm(8)): it shows what the device manager of
// package udev knows, follows its events, waits for it, and has the kernel report devices again.
package udevadm

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/sysfs"
	"github.com/zerodisc/zerodisc/internal/udev"
)

// version is that of systemd whose udevadm this one follows. Scripts compare it.
const version = "252"

// tool is one call of the command.
type tool struct {
	sys    sysfs.FS // /sys
	dev    string   // /dev
	run    string   // udev.RunDir
	stdout io.Writer
}

// command is one of the tool's commands.
type command struct {
	run   func(t *tool, args []string) error
	usage string
}

// commands by name.
var commands = map[string]command{
	"info":    {(*tool).info, infoUsage},
	"monitor": {(*tool).monitor, monitorUsage},
	"settle":  {(*tool).settle, settleUsage},
	"trigger": {(*tool).trigger, triggerUsage},
}

const usage = `usage: udevadm COMMAND [OPTIONS] [ARGUMENTS]
  info      show what is known of devices
  monitor   show events as they come
  settle    wait until all devices are ready
  trigger   have the kernel report devices again
  --version, --help; udevadm COMMAND --help says more
`

// errUsage is a command line that cannot be understood.
var errUsage = errors.New("udevadm --help says how")

// errHelp and errVersion are requests that end a command before it begins.
var errHelp, errVersion = errors.New("help"), errors.New("version")

// Main runs the command and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	t := &tool{sys: "/sys", dev: "/dev", run: udev.RunDir, stdout: stdout}
	return t.main(args, stderr)
}

func (t *tool) main(args []string, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 1
	}
	text := usage
	err := fmt.Errorf("unknown command %q; there are %s: %w", args[0],
		strings.Join(slices.Sorted(maps.Keys(commands)), ", "), errUsage)
	switch c, ok := commands[args[0]]; {
	case ok:
		text = c.usage
		err = c.run(t, args[1:])
	case args[0] == "-h" || args[0] == "--help" || args[0] == "help":
		err = errHelp
	case args[0] == "-V" || args[0] == "--version" || args[0] == "version":
		err = errVersion
	case strings.HasPrefix(args[0], "-"):
		err = fmt.Errorf("unknown option %s: %w", args[0], errUsage)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errHelp):
		fmt.Fprint(t.stdout, text)
		return 0
	case errors.Is(err, errVersion):
		fmt.Fprintln(t.stdout, version)
		return 0
	}
	fmt.Fprintln(stderr, "udevadm:", err)
	return 1
}
