package udevadm

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/udev"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

const monitorUsage = `usage: udevadm monitor [OPTIONS]
Shows events as they come, until it is ended (Ctrl-C).
  -k, --kernel                       those of the kernel
  -u, --udev                         those that the device manager is through with
  -p, --property                     with all properties
  -s, --subsystem-match=SUB[/TYPE]   only of a subsystem, and of a type of device in it;
                                     may be given several times
`

// monitorOptions are the options of monitor.
type monitorOptions struct {
	kernel, udev, properties, environment bool
	subsystems                            []string
}

// monitor is the command.
func (t *tool) monitor(args []string) error {
	var o monitorOptions
	rest, err := parse(args, []option{
		flag('k', "kernel", &o.kernel), flag('u', "udev", &o.udev), flag('p', "property", &o.properties),
		flag('e', "environment", &o.environment), list('s', "subsystem-match", &o.subsystems),
	})
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("%q is too much: %w", rest[0], errUsage)
	case !o.kernel && !o.udev:
		o.kernel, o.udev = true, true
	}
	o.properties = o.properties || o.environment
	return o.follow(t.stdout)
}

// source is where monitor gets events.
type source struct {
	name, about string
	receive     func() (udev.Properties, error)
}

// follow prints events until there is an error.
func (o monitorOptions) follow(out io.Writer) error {
	sources, err := o.sources()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "monitor will print the received events for:")
	for _, s := range sources {
		fmt.Fprintf(out, "%s - %s\n", s.name, s.about)
	}
	fmt.Fprintln(out)
	var mu sync.Mutex
	ended := make(chan error, len(sources))
	for _, s := range sources {
		go func() {
			ended <- o.print(s, func(text string) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := io.WriteString(out, text)
				return err
			})
		}()
	}
	return <-ended
}

// sources opens what the options ask for.
func (o monitorOptions) sources() ([]source, error) {
	var all []source
	if o.udev {
		l, err := udev.Listen()
		if err != nil {
			return nil, err
		}
		all = append(all, source{"UDEV", "the event which udev sends out after rule processing", l.Receive})
	}
	if o.kernel {
		l, err := uevent.Listen()
		if err != nil {
			return nil, err
		}
		receive := func() (udev.Properties, error) {
			e, err := l.Receive()
			return e.Vars(), err
		}
		all = append(all, source{"KERNEL", "the kernel uevent", receive})
	}
	return all, nil
}

// print hands a source's events to write.
func (o monitorOptions) print(s source, write func(string) error) error {
	for {
		p, err := s.receive()
		switch {
		case errors.Is(err, uevent.ErrOverflow):
			err = write(s.name + " - events were lost: they came too fast\n")
		case err != nil:
			return err
		case o.matches(p):
			err = write(o.text(s.name, p))
		}
		if err != nil {
			return err
		}
	}
}

// matches says whether an event is to be shown.
func (o monitorOptions) matches(p udev.Properties) bool {
	for _, s := range o.subsystems {
		subsystem, kind, hasKind := strings.Cut(s, "/")
		if subsystem == p.Get("SUBSYSTEM") && (!hasKind || kind == p.Get("DEVTYPE")) {
			return true
		}
	}
	return len(o.subsystems) == 0
}

// text is what is printed of an event.
func (o monitorOptions) text(name string, p udev.Properties) string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // fails for bad clocks only
	head := fmt.Sprintf("%-6s[%d.%06d] %-8s %s (%s)", name, now.Sec, now.Nsec/1000, p.Get("ACTION"), p.Get("DEVPATH"),
		p.Get("SUBSYSTEM"))
	lines := []string{printable.Line(head)}
	if o.properties {
		for _, pair := range p {
			lines = append(lines, printable.Line(pair))
		}
		lines = append(lines, "")
	}
	return strings.Join(lines, "\n") + "\n"
}
