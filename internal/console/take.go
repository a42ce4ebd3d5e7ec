package console

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Whoever shows a view on the whole of a console takes it, so that no line is written across the view. That is done by
// a lock, flock(2), on a file for each console that gets lines: views share it, and a line needs it alone. The kernel
// takes it from a process that has died.

// Take has the lines for a terminal held back until give is called, or this process ends. dir is where Open has its
// files. A terminal that gets no lines need not be taken, and nothing is done for it.
func Take(dir string, terminal *os.File) (give func()) {
	file, err := take(dir, terminal)
	if err != nil {
		return func() {}
	}
	return func() {
		_ = flock(file, unix.LOCK_UN) // a child that was started just now has the file, too, until it runs its program
		_ = file.Close()
	}
}

// Keep is Take for a process that is about to become another program, execve(2): the lines are held back until that
// ends.
func Keep(dir string, terminal *os.File) {
	file, err := take(dir, terminal)
	if err != nil {
		return
	}
	_, _ = unix.Dup(int(file.Fd())) // the lock stays with the duplicate, which stays open
	_ = file.Close()
}

// take returns the file of a terminal, locked.
func take(dir string, terminal *os.File) (*os.File, error) {
	number, err := device(terminal)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(lockFile(dir, number), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	_ = flock(file, unix.LOCK_SH)
	return file, nil
}

// device is the number of a terminal's device; of /dev/tty that of the terminal behind it (ioctl_tty(2), TIOCGDEV).
func device(terminal *os.File) (number int, err error) {
	connection, err := terminal.SyscallConn()
	if err != nil {
		return 0, err
	}
	failure := connection.Control(func(fd uintptr) { number, err = unix.IoctlGetInt(int(fd), unix.TIOCGDEV) })
	if failure != nil {
		return 0, failure
	}
	return number, err
}

// lockFile is the file of the terminal with that number.
func lockFile(dir string, number int) string { return filepath.Join(dir, fmt.Sprintf("%#x", number)) }

// openLock makes the file of a terminal.
func openLock(dir string, terminal *os.File) (*os.File, error) {
	number, err := device(terminal)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(lockFile(dir, number), os.O_RDWR|os.O_CREATE, 0o600)
}

// flock locks a file, or unlocks it.
func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
