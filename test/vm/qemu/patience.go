package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A host that is busy with other things makes a machine slow, and no fault shows by that. The time in which a
// thread of QEMU's was ready to run and had no processor therefore does not count, up to maxStretch times the limit.
const (
	maxStretch    = 10
	patienceCheck = 200 * time.Millisecond
)

// Within returns a context that ends when the machine has had limit of time to run.
func (p *Process) Within(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), maxStretch*limit)
	go endAfter(ctx, cancel, limit, p.Waited)
	return ctx, cancel
}

// Waited is how long the machine has had no processor to run on.
func (p *Process) Waited() time.Duration {
	return waitedForCPU(fmt.Sprintf("/proc/%d/task", p.process.Pid))
}

// endAfter calls end once limit has passed since now and as much more as waited has grown meanwhile.
func endAfter(ctx context.Context, end func(), limit time.Duration, waited func() time.Duration) {
	started, before := time.Now(), waited()
	for ctx.Err() == nil {
		if time.Since(started)-max(0, waited()-before) >= limit {
			end()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(limit, patienceCheck)):
		}
	}
}

// waitedForCPU returns how long, at most, a thread in a process's task directory has been ready to run and did
// not: the second figure of schedstat, in nanoseconds (Linux' Documentation/scheduler/sched-stats). It is 0 where the
// kernel does not count that.
func waitedForCPU(tasks string) time.Duration {
	files, err := filepath.Glob(filepath.Join(tasks, "*", "schedstat"))
	if err != nil {
		return 0
	}
	var longest time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		var ran, waited, slices int64
		if _, err := fmt.Sscan(string(text), &ran, &waited, &slices); err == nil {
			longest = max(longest, time.Duration(waited))
		}
	}
	return longest
}
