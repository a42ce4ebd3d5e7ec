package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/checksum"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/pid1"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/stage"
)

// redraw is how often the progress is drawn. A serial line of 115,200 baud is busy with it for a
// hundredth of the time.
const redraw = 500 * time.Millisecond

// discCheck is the mode that checks the boot medium and does nothing else.
type discCheck struct {
	machine
	verdict string // for a person
}

// runCheck checks the medium and asks on every console what is to be done then.
func runCheck(s *system) int {
	c := &discCheck{machine: machine{system: s}}
	return int(s.untilAsked(c.boot))
}

func (c *discCheck) boot(ctx context.Context) {
	stage.Run(ctx, c.stageEnded, []stage.Stage{
		{Name: "tools", Run: c.mountTools, Remedy: "the initrd is damaged: write the disc anew"},
		{Name: "devices", Run: c.findDevices, Remedy: "devices that came late are still taken; see dmesg"},
		{Name: "media", Run: c.findMedium, Remedy: "put the disc back in and restart"},
		{Name: "check", Run: c.check, Remedy: "write the disc anew"},
	})
	if ctx.Err() != nil {
		return
	}
	for _, terminal := range c.terminals {
		go c.ask(ctx, terminal)
	}
}

// findMedium mounts the medium.
func (c *discCheck) findMedium(ctx context.Context) error {
	err := errors.New("there is no disc to check: this machine was started from the network")
	if c.cmdline[boot.KeyMediumID] != "" {
		err = c.mountMedium(ctx, mediaTimeout, true)
	}
	if err != nil {
		c.verdict = verdict(checksum.Result{}, err)
	}
	return err
}

// check reads all of the medium.
func (c *discCheck) check(ctx context.Context) error {
	if c.verdict != "" {
		return errors.New("no medium is mounted")
	}
	result, err := c.readMedium(ctx)
	c.verdict = verdict(result, err)
	return err
}

func (c *discCheck) readMedium(ctx context.Context) (checksum.Result, error) {
	root, err := os.OpenRoot(boot.MediaMount)
	if err != nil {
		return checksum.Result{}, err
	}
	defer root.Close()
	fmt.Fprint(c.screen, "\nReading every file of this disc. Ctrl-Alt-Del restarts the machine.\n")
	start := time.Now()
	checker := checksum.Checker{
		Medium:   root.FS(),
		Damaged:  func(file string, err error) { c.log.Error(boot.MsgFileDamaged, "file", file, "err", err) },
		Progress: c.progress(),
	}
	result, err := checker.Run(ctx)
	c.screen.show("")
	if err != nil {
		return result, err
	}
	c.log.Info(boot.MsgMediumChecked, "files", result.Files, "damaged", result.Damaged,
		"unlisted", len(result.Unlisted), "bytes", result.Bytes, "ms", time.Since(start).Milliseconds())
	return result, nil
}

// progress returns what draws the progress, every now and then.
func (c *discCheck) progress() func(checksum.Progress) {
	var last time.Time
	return func(p checksum.Progress) {
		if time.Since(last) >= redraw {
			last = time.Now()
			c.screen.show(p.Line(statusWidth))
		}
	}
}

// maxNamed is how many files a verdict names.
const maxNamed = 5

// verdict says in plain words what a check has found.
func verdict(r checksum.Result, err error) string {
	switch {
	case err != nil:
		return fmt.Sprintf("The disc could not be checked: %s.\n", printable.Line(err.Error()))
	case r.Damaged > 0:
		return fmt.Sprintf("THE DISC IS DAMAGED. Of its %[2]d files, %[1]d are not as they were written; the\n"+
			"lines above name them. Clean it, try another drive or port, or write it anew.\n",
			r.Damaged, r.Files) + unlisted(r.Unlisted)
	}
	return fmt.Sprintf("The disc is good. All of its %d files (%s) are as they were written.\n",
		r.Files, bytesize.Text(r.Bytes)) + unlisted(r.Unlisted)
}

// unlisted names files that could not be checked.
func unlisted(names []string) string {
	if len(names) == 0 {
		return ""
	}
	quoted := make([]string, min(maxNamed, len(names)))
	for i := range quoted {
		quoted[i] = strconv.Quote(names[i])
	}
	list := strings.Join(quoted, ", ")
	if more := len(names) - len(quoted); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("Not in its list %s, and therefore not checked: %s.\n", boot.MediumSums, list)
}

const question = `
  Enter   restart (take the disc out first to start from another)
  p       power off
  s       start a shell
> `

// answers are the answers to question, but for s.
var answers = map[string]pid1.Action{
	"": pid1.Reboot, "r": pid1.Reboot, "reboot": pid1.Reboot, "p": pid1.PowerOff, "poweroff": pid1.PowerOff,
}

// ask shows the verdict on a terminal and does what is answered, until ctx ends. A terminal that cannot
// be opened is given up.
func (c *discCheck) ask(ctx context.Context, terminal string) {
	for ctx.Err() == nil {
		tty, err := os.OpenFile("/dev/"+terminal, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			c.log.Debug("question", "terminal", terminal, "err", err)
			return
		}
		answer, err := prompt(tty, "\n"+c.verdict+question)
		tty.Close()
		action, ok := answers[answer]
		switch {
		case err != nil: // end of input (Ctrl-D), or the terminal was hung up
			time.Sleep(time.Second)
		case ok:
			c.requests <- action
			return
		case answer == "s" && c.guard.Ask(ctx, terminal) == nil:
			_, _ = console.Run(terminal, "\nexit leads back to the question.\n\n", shellProgram)
		}
	}
}

// prompt writes text on a terminal and reads a line from it. What was typed before does not count.
func prompt(tty *os.File, text string) (string, error) {
	if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH); err != nil {
		return "", err
	}
	if _, err := tty.WriteString(text); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(tty).ReadString('\n')
	return strings.ToLower(strings.TrimSpace(line)), err
}
