package console

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/oom"
)

const noctty = unix.O_NOCTTY

// Run runs argv with text above it as an interactive session leader, with the terminal /dev/NAME as its controlling
// terminal and standard input, output and error, until it exits. It reports whether the terminal could be opened.
//
// The session ends with this process: a shell that outlived it would share the terminal with the next one, and each
// would get some of what is typed. The kernel takes the end of the thread that started the program for that of the
// process (prctl(2), PR_SET_PDEATHSIG). Threads do end: package confine ends one for each service that it starts. So
// Run keeps its own until the program exits.
func Run(name, text string, argv ...string) (opened bool, err error) {
	tty, err := os.OpenFile("/dev/"+name, os.O_RDWR|noctty, 0)
	if err != nil {
		return false, err
	}
	defer tty.Close()
	_, _ = tty.WriteString(text)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Dir = "/root"
	cmd.Env = append(os.Environ(), "HOME=/root", "TERM="+term(name))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return true, oom.Run(cmd)
}

// term names the terminal type: the kernel's own on the screen, the common denominator of
// terminal emulators on a serial line.
func term(name string) string {
	if len(name) > 3 && name[:3] == "tty" && name[3] >= '0' && name[3] <= '9' {
		return "linux"
	}
	return "vt102"
}

// Restore makes the terminal /dev/NAME usable after a program that had it for itself was killed: lines are edited and
// shown again, and the screen is reset (console_codes(4), RIS).
func Restore(name string) error {
	tty, err := os.OpenFile("/dev/"+name, os.O_RDWR|noctty, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	settings, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	settings.Iflag |= unix.BRKINT | unix.ICRNL | unix.IXON
	settings.Oflag |= unix.OPOST | unix.ONLCR
	settings.Lflag |= unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ICANON | unix.IEXTEN | unix.ISIG
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, settings); err != nil {
		return err
	}
	_, err = tty.WriteString("\x1bc")
	return err
}
