package guestconsole

import (
	"fmt"
	"os"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openPTY makes a pseudo-terminal that changes nothing of what passes through it, and returns its master and the path
// of its slave.
func openPTY() (*os.File, string, error) {
	master, err := openTerminal("/dev/ptmx")
	if err != nil {
		return nil, "", err
	}
	number, err := unlock(master)
	if err != nil {
		master.Close()
		return nil, "", fmt.Errorf("make pseudo-terminal: %w", err)
	}
	return master, "/dev/pts/" + strconv.Itoa(number), nil
}

func unlock(master *os.File) (number int, err error) {
	err = control(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		if number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		_, err = term.MakeRaw(fd) // of a master: the slave's settings
		return err
	})
	return number, err
}

// slavePath is what a slave's path looks like.
var slavePath = regexp.MustCompile(`^/dev/pts/[0-9]{1,7}$`)

// openSlave opens the slave that xenstore names. Anything else than a slave is refused.
func openSlave(path string) (*os.File, error) {
	if !slavePath.MatchString(path) {
		return nil, fmt.Errorf("open console: %.40q is no pseudo-terminal", path)
	}
	return openTerminal(path)
}

// openTerminal opens a terminal without making it this process's own, for Go's poller.
func openTerminal(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// isOpen says whether somebody has a master's slave open.
func isOpen(master *os.File) bool {
	open := false
	_ = control(master, func(fd int) error {
		events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(events, 0)
		open = err == nil && events[0].Revents&(unix.POLLHUP|unix.POLLERR) == 0
		return err
	})
	return open
}

// flush drops what nobody has read from a slave.
func flush(path string) error {
	slave, err := openTerminal(path)
	if err != nil {
		return err
	}
	defer slave.Close()
	return control(slave, func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH) })
}

// control runs a system call on a file's descriptor.
func control(file *os.File, call func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = call(int(fd)) }); err != nil {
		return err
	}
	return failure
}
