// Package kmsg writes the kernel's messages to the consoles in the kernel's place. The kernel writes them as they are,
// and drivers of file systems put the names of files into them: a name on a foreign disk could type on a root console.
// What is read from /dev/kmsg has only printable characters.
package kmsg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Levels of messages (Linux, include/linux/kern_levels.h). A console gets those below its own.
const (
	critical = 2 // these and what follows may have names in them; alerts and emergencies say that the kernel dies
	quiet    = 4
	verbose  = 7
)

// Level is the level of the consoles that a kernel command line asks for.
func Level(cmdline map[string]string) int {
	if n, err := strconv.Atoi(cmdline["loglevel"]); err == nil {
		return n
	}
	if _, ok := cmdline["quiet"]; ok {
		return quiet
	}
	return verbose
}

// setConsoleLevel is SYSLOG_ACTION_CONSOLE_LEVEL of syslog(2).
const setConsoleLevel = 8

// Relay has the kernel leave its messages to it, and writes those below level that come from then on, each as a line,
// until ctx ends.
func Relay(ctx context.Context, level int, to io.Writer) error {
	if level <= critical {
		return nil
	}
	file, err := os.Open("/dev/kmsg")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { file.Close() })()
	defer file.Close()
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SYSLOG, setConsoleLevel, 0, critical); errno != 0 {
		return fmt.Errorf("console level: %w", errno)
	}
	record := make([]byte, 8<<10) // the kernel's own limit is below it
	for {
		n, err := file.Read(record)
		switch {
		case errors.Is(err, unix.EPIPE): // some were overwritten before they were read
		case err != nil:
			return err
		default:
			if text, at := parse(string(record[:n])); text != "" && at >= critical && at < level {
				fmt.Fprintln(to, text)
			}
		}
	}
}

// parse makes a line of a record of the kernel's own, as the kernel would write it. Of other records it is "".
func parse(record string) (line string, level int) {
	r, ok := parseRecord(record)
	if !ok {
		return "", 0
	}
	microseconds := r.Up.Microseconds()
	return fmt.Sprintf("[%5d.%06d] %s", microseconds/1e6, microseconds%1e6, r.Text), r.Level
}
