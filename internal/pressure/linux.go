package pressure

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/oom"
)

// Linux is the running kernel (Documentation/accounting/psi.rst, admin-guide/sysrq.rst).
type Linux struct {
	file, end int
	request   int // SysRq
	score     int // of the process that was found; -1: none was
}

const (
	pressureFile = "/proc/pressure/memory"
	requestFile  = "/proc/sysrq-trigger"
)

// sign is what Wait waits for: programs have waited for a tenth of half a second, in microseconds. The kernel takes no
// shorter time.
const sign = "some 50000 500000"

// Open makes the kernel give that sign. Close is to be called.
func Open() (*Linux, error) {
	file, err := unix.Open(pressureFile, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", pressureFile, err)
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(file)
		return nil, fmt.Errorf("make an event: %w", err)
	}
	l := &Linux{file: file, end: end, request: -1, score: -1}
	if l.request, err = unix.Open(requestFile, unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
		l.Close()
		return nil, fmt.Errorf("open %s: %w", requestFile, err)
	}
	if _, err := unix.Write(file, append([]byte(sign), 0)); err != nil {
		l.Close()
		return nil, fmt.Errorf("write %q to %s: %w", sign, pressureFile, err)
	}
	return l, nil
}

// Close gives the sign up.
func (l *Linux) Close() {
	for _, fd := range []int{l.file, l.end, l.request, l.score} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Wait is Kernel's. It takes a thread: Go's poller does not wait for this kind of event, EPOLLPRI, and an epoll
// instance within that one swallows it, because the kernel tells of it once.
func (l *Linux) Wait(ctx context.Context) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_, _ = unix.Write(l.end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-ended // before Close
		}
	}()
	for {
		_, err := unix.Poll([]unix.PollFd{
			{Fd: int32(l.file), Events: unix.POLLPRI}, {Fd: int32(l.end), Events: unix.POLLIN},
		}, -1)
		if err != unix.EINTR {
			return err
		}
	}
}

// Look is Kernel's.
func (l *Linux) Look() (Look, error) {
	var text [256]byte
	n, err := unix.Pread(l.file, text[:], 0)
	if err != nil {
		return Look{}, fmt.Errorf("read %s: %w", pressureFile, err)
	}
	waited, err := parseWaited(string(text[:n]))
	if err != nil {
		return Look{}, err
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Look{}, err
	}
	unit := uint64(info.Unit)
	return Look{Waited: waited, Swap: uint64(info.Totalswap) * unit, SwapFree: uint64(info.Freeswap) * unit}, nil
}

// parseWaited reads the total of the first line, for how long one program or more have waited; of the second, all:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=157622151
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=142004512
func parseWaited(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	_, total, found := strings.Cut(line, " total=")
	var microseconds int64
	if _, err := fmt.Sscan(total, &microseconds); err != nil || !found || !strings.HasPrefix(line, "some ") {
		return 0, fmt.Errorf("read %s: there is no total in %.80q", pressureFile, line)
	}
	return time.Duration(microseconds) * time.Microsecond, nil
}

// Find is Kernel's. The file of the process's score stays open: to read it again takes no memory.
func (l *Linux) Find() error {
	pid, err := oom.Highest("/proc")
	if err != nil {
		return err
	}
	if l.score >= 0 {
		unix.Close(l.score)
	}
	if l.score, err = unix.Open(fmt.Sprintf("/proc/%d/oom_score", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		l.score = -1 // it has just ended
	}
	_ = l.Score() // the first time takes memory
	return nil
}

// Score is Kernel's.
func (l *Linux) Score() int {
	var text [16]byte
	n, err := unix.Pread(l.score, text[:], 0)
	if err != nil {
		return 0
	}
	score, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return score
}

// Kill is Kernel's: SysRq's f.
func (l *Linux) Kill() error {
	if _, err := unix.Write(l.request, []byte("f")); err != nil {
		return fmt.Errorf("write %s: %w", requestFile, err)
	}
	return nil
}
