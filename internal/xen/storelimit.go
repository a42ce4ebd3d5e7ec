package xen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/tick"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// When xenstored is busy, and for how long it then holds guests back.
const (
	storeLook = 5 * time.Second
	storeBusy = storeLook / 20 // of a processor's time, in two looks on end; it takes next to none when all is quiet
	storeHold = 2 * time.Minute
)

// LimitStore has xenstored hold back guests that write to xenstore without end, and complain of them (see [Complaint]).
// By itself it does so only while somebody has a transaction open, and so might be held up (wrl_ntransactions in
// tools/xenstored/domain.c of Xen). So LimitStore opens one whenever xenstored is busy. Guests that start or stop make
// it so as well, and stay below the limit: a thousand writes at once, and 200 a second. used is how much processor time
// xenstored has had. It returns when ctx ends, or with an error.
func LimitStore(ctx context.Context, used func() (time.Duration, error)) error {
	var load storeLoad
	for {
		now, err := used()
		if err != nil {
			return err
		}
		if load.busy(now) {
			if err := holdTransaction(ctx, storeHold); err != nil {
				return fmt.Errorf("limit writes to xenstore: %w", err)
			}
			load = storeLoad{}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.After(storeLook):
		}
	}
}

// storeLoad is how busy xenstored has been. The zero value has not looked yet.
type storeLoad struct {
	looked bool
	used   time.Duration
	times  int // on end in which it was busy
}

// busy takes in how much processor time xenstored has had by now. It says whether it was busy twice on end.
func (l *storeLoad) busy(used time.Duration) bool {
	if l.looked && used-l.used >= storeBusy {
		l.times++
	} else {
		l.times = 0
	}
	l.looked, l.used = true, used
	return l.times >= 2
}

// errHeld ends a transaction that was never meant to change anything.
var errHeld = errors.New("held long enough")

// holdTransaction has an empty transaction open for a while. It conflicts with none.
func holdTransaction(ctx context.Context, long time.Duration) error {
	client, err := xenstore.Dial(ctx, xenstore.Socket)
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.Transact(ctx, func(*xenstore.Tx) error {
		select {
		case <-time.After(long):
		case <-client.Done():
			return client.Err()
		case <-ctx.Done():
		}
		return errHeld
	})
	if errors.Is(err, errHeld) {
		return nil
	}
	return err
}

// userHz is how many ticks of /proc/PID/stat are a second, on all machines (proc_pid_stat(5)).
const userHz = 100

// ProcessorTime is how much processor time a process has had (/proc/PID/stat, fields 14 and 15; proc_pid_stat(5)).
func ProcessorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name before it may have any
	if len(fields) < 13 {
		return 0, fmt.Errorf("read the processor time of process %d: %d fields", pid, len(fields))
	}
	user, err := strconv.ParseUint(fields[11], 10, 63)
	system, err2 := strconv.ParseUint(fields[12], 10, 63)
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return time.Duration(user+system) * time.Second / userHz, nil
}
