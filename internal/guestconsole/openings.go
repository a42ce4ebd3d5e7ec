package guestconsole

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// openings tells when somebody opens a pseudo-terminal's slave, which its master is not told: a read of the master
// fails with EIO while nobody has the slave open, and nothing says when to try again.
type openings struct {
	file *os.File // inotify(7)

	mu      sync.Mutex // guards what follows
	watched map[int32]chan struct{}
}

func newOpenings() (*openings, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch terminals: %w", err)
	}
	o := &openings{file: os.NewFile(uintptr(fd), "inotify"), watched: map[int32]chan struct{}{}}
	go o.run()
	return o, nil
}

// add returns a channel that has an element after the file at path was opened. The kernel ends the watch with the
// file; forget takes its channel away.
func (o *openings) add(path string) (opened <-chan struct{}, forget func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wd := -1
	err = control(o.file, func(fd int) (err error) {
		wd, err = unix.InotifyAddWatch(fd, path, unix.IN_OPEN)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("watch %s: %w", path, err)
	}
	channel := make(chan struct{}, 1)
	o.watched[int32(wd)] = channel
	return channel, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.watched, int32(wd))
	}, nil
}

func (o *openings) run() {
	buffer := make([]byte, 4096)
	for {
		n, err := o.file.Read(buffer)
		if err != nil {
			return
		}
		for event := buffer[:n]; len(event) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(event))
			name := binary.NativeEndian.Uint32(event[12:])
			event = event[min(len(event), unix.SizeofInotifyEvent+int(name)):]
			o.tell(wd)
		}
	}
}

// tell tells of an opening, or of one of any file where too many came at once (wd is -1).
func (o *openings) tell(wd int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for watched, opened := range o.watched {
		if wd != watched && wd != -1 {
			continue
		}
		select {
		case opened <- struct{}{}:
		default:
		}
	}
}

func (o *openings) close() { o.file.Close() }
