package disksave

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// Linux is the Kernel of this machine.
type Linux struct{}

func (Linux) Table(name string) ([]devmapper.Target, error) { return devmapper.Table(name) }

func (Linux) Path(name string) (string, error) { return devmapper.Path(name) }

func (Linux) ByNumber(number string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join("/sys/dev/block", number))
	if err != nil {
		return "", err
	}
	return "/dev/" + filepath.Base(dir), nil
}

func (Linux) Open(name string) (Source, error) {
	flags := os.O_RDONLY
	if !isFile(name) {
		flags |= unix.O_DIRECT
	}
	file, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	return opened{file, size}, nil
}

// opened is an open device or file.
type opened struct {
	*os.File
	size int64
}

func (o opened) Size() int64 { return o.size }

// ThawRole is the name by which the program is called that resumes what stands still.
const ThawRole = "disk-thaw"

// Freezer returns Config.Freeze for this machine. program is the path of init.
//
// A process of its own watches this one: when this one ends, however it does, the guest goes on.
func Freezer(program string) func(Frozen) (func() error, error) {
	return func(f Frozen) (func() error, error) {
		cmd := exec.Command(program, append([]string{ThawRole, strconv.Itoa(f.Domid)}, f.Gates...)...)
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		cmd.Stderr = os.Stderr
		alive, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		if err := oom.Start(cmd); err != nil {
			return nil, err
		}
		thaw := func() error {
			if err := errors.Join(alive.Close(), cmd.Wait()); err != nil {
				return errors.Join(err, f.thaw())
			}
			return nil
		}
		if err := f.freeze(); err != nil {
			return nil, errors.Join(err, thaw())
		}
		return thaw, nil
	}
}

// settle is how long a paused domain's last requests have to get through.
const settle = 500 * time.Millisecond

func (f Frozen) freeze() error {
	if f.Domid != 0 {
		if err := xl("pause", f.Domid); err != nil {
			return err
		}
		time.Sleep(settle)
	}
	for _, name := range f.Gates {
		if err := devmapper.Suspend(name); err != nil {
			return err
		}
	}
	return nil
}

func (f Frozen) thaw() error {
	var errs []error
	for _, name := range f.Gates {
		errs = append(errs, devmapper.Resume(name))
	}
	if f.Domid != 0 {
		errs = append(errs, xl("unpause", f.Domid))
	}
	return errors.Join(errs...)
}

func xl(command string, domid int) error {
	var said bytes.Buffer
	cmd := exec.Command(xen.BinDir+"/xl", command, strconv.Itoa(domid))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := oom.Run(cmd); err != nil {
		return fmt.Errorf("xl %s: %w: %s", command, err, printable.Line(said.String()))
	}
	return nil
}

// Thaw is the program called ThawRole: it waits until its standard input ends, or for as long as a guest may have to
// wait, and has the guest go on.
func Thaw(args []string, stdin *os.File, stderr io.Writer) int {
	if len(args) == 0 {
		return 2
	}
	domid, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(ended)
	}()
	f := Frozen{Gates: args[1:], Domid: domid}
	var late <-chan time.Time
	if domid == 0 {
		late = time.After(maxFrozen + 5*time.Second)
	}
	select {
	case <-ended:
	case <-late:
	}
	if err := f.thaw(); err != nil {
		fmt.Fprintln(stderr, "guest disk save:", err)
		return 1
	}
	return 0
}
