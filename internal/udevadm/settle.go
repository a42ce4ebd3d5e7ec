package udevadm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/udev"
)

const settleUsage = `usage: udevadm settle [OPTIONS]
Waits until all events have been worked on and all drivers are loaded.
  -t, --timeout=SECONDS       wait no longer; 120 unless given, 0: only look
  -E, --exit-if-exists=FILE   stop waiting when there is FILE
`

// settleTimeout is how long settle waits unless it is told.
const settleTimeout = 120 * time.Second

var errTimeout = errors.New("timed out: devices are still being worked on")

// settle is the command.
func (t *tool) settle(args []string) error {
	timeout, exists := settleTimeout, ""
	rest, err := parse(args, []option{seconds('t', "timeout", &timeout), text('E', "exit-if-exists", &exists)})
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("%q is too much: %w", rest[0], errUsage)
	}
	if _, err := os.Stat(t.run); err != nil {
		return fmt.Errorf("no device manager is running: %w", err)
	}
	end := time.Now().Add(timeout)
	done := func() bool { return t.idle() || exists != "" && there(exists) }
	if timeout > 0 && !(exists != "" && there(exists)) {
		if err := t.flush(end, done); err != nil {
			return err
		}
	}
	return t.await(end, done)
}

// idle says whether the device manager has nothing to do.
func (t *tool) idle() bool { return !there(filepath.Join(t.run, "queue")) }

func there(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// probe is the device that settle has the kernel report: one that every machine has, and nobody waits for.
const probe = "/devices/virtual/mem/null"

// flush waits until the device manager has heard of all that happened before. Events arrive in order: settle adds one
// of its own and waits for the announcement of that. Where the kernel does not let it, there is nothing to wait for.
func (t *tool) flush(end time.Time, done func() bool) error {
	listener, err := udev.Listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	id := uuid.New().String()
	if err := t.poke(probe, "change "+id); err != nil {
		return nil
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for {
			p, err := listener.Receive()
			if errors.Is(err, os.ErrClosed) || p.Get("SYNTH_UUID") == id {
				return
			}
		}
	}()
	select {
	case <-heard:
		return nil
	case <-time.After(time.Until(end)):
		if done() {
			return errors.New("timed out: the device manager does not answer")
		}
		return errTimeout
	}
}

// await waits for done, which may become true whenever a file below run is removed, or, for -E, at any time.
func (t *tool) await(end time.Time, done func() bool) error {
	const pause = 100 * time.Millisecond
	changes, stop, err := watchDir(t.run)
	if err != nil {
		return err
	}
	defer stop()
	for !done() {
		left := time.Until(end)
		if left <= 0 {
			return errTimeout
		}
		select {
		case <-changes:
		case <-time.After(min(left, pause)):
		}
	}
	return nil
}

// watchDir tells when something in a directory is removed, until stop.
func watchDir(dir string) (changes <-chan struct{}, stop func(), err error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_DELETE); err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	removed := make(chan struct{}, 1)
	go func() {
		buffer := make([]byte, 4096)
		for {
			if _, err := file.Read(buffer); err != nil {
				return
			}
			select {
			case removed <- struct{}{}:
			default:
			}
		}
	}()
	return removed, func() { file.Close() }, nil
}
