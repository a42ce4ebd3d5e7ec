// Package guestcmd is the command guest: it shows guests, orders what is to become of them, and opens their
// consoles. All it does goes through the host's API (package client).
package guestcmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/client"
)

// Config is what the command works with. All fields are to be set.
type Config struct {
	Client   *client.Client
	In       io.Reader // files where they are to be used as terminals
	Out, Err io.Writer
	// Take keeps all other lines from a terminal, while a view has it, until give is called.
	Take func(terminal *os.File) (give func())
}

// command is one of the things that guest can do. docs/operations.md describes them.
type command struct {
	name     string // one or two words
	args     string // what follows
	does     string
	examples []string
	flags    func(*flag.FlagSet, *options)
	run      func(*call, context.Context, []string) error
}

// commands in the order of the help.
var commands []command

func init() {
	commands = []command{
		{"list", "", "show all guests", []string{"guest list", "guest list -o json"}, nil, (*call).list},
		{"show", "NAME", "show all that is known of a guest",
			[]string{"guest show web"}, nil, (*call).show},
		{"top", "", "show what guests use, and again until q is typed; once where the output is no terminal",
			[]string{"guest top", "guest top -every 5s", "guest top > usage.txt"}, topFlags, (*call).top},
		{"start", "NAME...", "start guests that have ended or were not started",
			[]string{"guest start web db", "guest start -all"}, orderFlags, orderAll("start")},
		{"stop", "NAME...", "have guests shut down",
			[]string{"guest stop web", "guest stop -timeout 2m -force db"}, forceFlags, orderAll("stop")},
		{"restart", "NAME...", "have guests shut down and start them anew",
			[]string{"guest restart web"}, forceFlags, orderAll("restart")},
		{"pause", "NAME...", "have guests stand still in memory",
			[]string{"guest pause web"}, orderFlags, orderAll("pause")},
		{"resume", "NAME...", "have paused guests go on",
			[]string{"guest resume web"}, orderFlags, orderAll("resume")},
		{"destroy", "NAME...", "end guests at once, as if their plug were pulled",
			[]string{"guest destroy web"}, orderFlags, orderAll("destroy")},
		{"console", "NAME", "open a guest's console; Ctrl-] leaves it",
			[]string{"guest console web"}, nil, (*call).console},
		{"logs", "NAME", "print what a guest has said on its console",
			[]string{"guest logs web", "guest logs -f web", "guest logs -n 20 web"}, logsFlags, (*call).logs},
		{"set", "NAME", "change a guest's memory or its number of processors",
			[]string{"guest set web -memory 512M", "guest set web -vcpus 2"}, setFlags, (*call).set},
		{"attach", "NAME disk|nic SPEC", "give a guest a disk or a NIC, described as in xl.cfg(5)",
			[]string{
				"guest attach web disk phy:/dev/sdb,xvdb,w",
				"guest attach web nic bridge=xenbr0",
			}, waitFlags, (*call).attach},
		{"detach", "NAME disk|nic DEVICE", "take a disk or a NIC away: its name in the guest, or its MAC",
			[]string{
				"guest detach web disk xvdb",
				"guest detach web nic 00:16:3e:01:02:03",
			}, waitFlags, (*call).detach},
		{"disk save", "NAME [DISK FILE]", "save a guest that runs, with its disks as they are, on the state volume; " +
			"or one of its disks as a raw image",
			[]string{"guest disk save web", "guest disk save -replace web", "guest disk save web xvda /state/web.img"},
			saveFlags, (*call).save},
		{"rename", "NAME OTHER", "give a guest another name",
			[]string{"guest rename web web1"}, waitFlags, (*call).rename},
		{"events", "", "print what happens to guests and to the host, a line of JSON each, until Ctrl-C",
			[]string{"guest events", "guest events -type lifecycle,logging"}, eventsFlags, (*call).events},
		{"completion", "bash", "print what teaches bash to complete this command",
			[]string{"eval \"$(guest completion bash)\""}, nil, (*call).completion},
		{"help", "[COMMAND]", "explain a command", []string{"guest help stop"}, nil, (*call).help},
	}
}

// options are what the flags of a command say.
type options struct {
	json    bool
	all     bool
	force   bool
	replace bool
	follow  bool
	raw     bool
	lines   int
	memory  string
	vcpus   int
	types   string
	every   time.Duration
	timeout seconds
}

// call is one call of the command.
type call struct {
	Config
	options
	command command
}

// Main runs the command and returns its exit status, one of the codes of exit.go.
func Main(args []string, c Config) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if len(args) > 0 && args[0] == completeWord {
		return complete(ctx, args[1:], c)
	}
	err := run(ctx, args, c)
	var told *toldError
	if err != nil && !errors.As(err, &told) {
		fmt.Fprintln(c.Err, "guest:", err)
	}
	return exitCode(err)
}

func run(ctx context.Context, args []string, c Config) error {
	if len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		fmt.Fprint(c.Out, overview())
		return nil
	}
	chosen, rest := find(args)
	if chosen == nil {
		return usagef("there is no command %q; guest help lists all", args[0])
	}
	k := &call{Config: c, command: *chosen}
	names, err := k.parse(rest)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(c.Out, explain(*chosen))
		return nil
	}
	if err != nil {
		return err
	}
	return chosen.run(k, ctx, names)
}

// find returns the command that args begin with, and what follows it.
func find(args []string) (*command, []string) {
	for i := range commands {
		words := strings.Fields(commands[i].name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return &commands[i], args[len(words):]
		}
	}
	return nil, nil
}

// parse reads flags, which may come before, between and behind other arguments, and returns those.
func (k *call) parse(args []string) (others []string, err error) {
	flags := flag.NewFlagSet(k.command.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	k.declare(flags)
	output := flags.Lookup("o")
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usagef("%w; guest help %s", err, k.command.name)
		}
		if flags.NArg() == 0 {
			break
		}
		others = append(others, flags.Arg(0))
		args = flags.Args()[1:]
	}
	switch output.Value.String() {
	case "json":
		k.json = true
	case "table":
	default:
		return nil, usagef("-o %s: want table or json", output.Value)
	}
	return others, nil
}

func (k *call) declare(flags *flag.FlagSet) {
	flags.String("o", "table", "`table or json`")
	if k.command.flags != nil {
		k.command.flags(flags, &k.options)
	}
}

func waitFlags(f *flag.FlagSet, o *options) {
	f.Var(&o.timeout, "timeout", "wait so `long` at most, seconds or 1m30s")
}

func orderFlags(f *flag.FlagSet, o *options) {
	waitFlags(f, o)
	f.BoolVar(&o.all, "all", false, "all guests with which it is possible")
}

func forceFlags(f *flag.FlagSet, o *options) {
	f.Var(&o.timeout, "timeout", "how `long` a guest has to shut down, seconds or 1m30s; else 60 seconds")
	f.BoolVar(&o.all, "all", false, "all guests with which it is possible")
	f.BoolVar(&o.force, "force", false, "destroy a guest that does not shut down in time")
}

func topFlags(f *flag.FlagSet, o *options) {
	f.DurationVar(&o.every, "every", 2*time.Second, "the `time` between two looks")
}

func logsFlags(f *flag.FlagSet, o *options) {
	f.BoolVar(&o.follow, "f", false, "go on with what the guest says from now on")
	f.BoolVar(&o.raw, "raw", false, "write control characters to a terminal, too")
	f.IntVar(&o.lines, "n", 0, "only the last `lines`")
}

func setFlags(f *flag.FlagSet, o *options) {
	waitFlags(f, o)
	f.StringVar(&o.memory, "memory", "", "its memory, a `size` such as 512M or 2G")
	f.IntVar(&o.vcpus, "vcpus", 0, "its `number` of processors")
}

func saveFlags(f *flag.FlagSet, o *options) {
	waitFlags(f, o)
	f.BoolVar(&o.replace, "replace", false, "replace what was saved before")
}

func eventsFlags(f *flag.FlagSet, o *options) {
	f.StringVar(&o.types, "type", "lifecycle", "`types` of events: lifecycle, logging, operation, separated by commas")
}

// want is an error where there are not so many arguments.
func (k *call) want(args []string, count int) error {
	if len(args) == count {
		return nil
	}
	return usagef("usage: guest %s", strings.TrimSpace(k.command.name+" "+k.command.args))
}

// isTerminal says whether a stream is a terminal, and which.
func isTerminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && isatty(f)
}
