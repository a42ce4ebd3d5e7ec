package timesync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Jumps tells by how much somebody has set the clock, to be added to what it showed, each time until ctx ends. The
// kernel only says that it was set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET): the rest is the difference between
// what two clocks have counted meanwhile.
func Jumps(ctx context.Context, tell func(by time.Duration)) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch the clock: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timerfd")
	defer timer.Close()
	defer context.AfterFunc(ctx, func() { timer.Close() })()
	for before := started(); ; {
		if err := untilSet(timer); err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("watch the clock: %w", err))
		}
		now := started()
		tell(now - before)
		before = now
	}
}

// untilSet waits until somebody sets the clock.
func untilSet(timer *os.File) error {
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 34}} // in some centuries
	raw, err := timer.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil)
	})
	if err = errors.Join(err, set); err != nil {
		return err
	}
	if _, err = timer.Read(make([]byte, 8)); errors.Is(err, unix.ECANCELED) {
		return nil
	}
	return err
}

// started is what time it was, by the clock as it shows now, when the kernel started.
func started() time.Duration {
	var now, up unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &now) // both are there in every Linux
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &up)
	return time.Duration(now.Nano() - up.Nano())
}
