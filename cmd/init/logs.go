package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/boundedlog"
)

const (
	logFile       = boot.RunDir + "/log"
	daemonLogFile = boot.RunDir + "/daemons.log"
	reportFile    = boot.RunDir + "/report"

	logLimit       = 1 << 20 // bytes
	daemonLogLimit = 256 << 10
)

// foreignLogs are the logs of Xen's programs: xl's monitors write one for each guest, for as long as it lives and
// reboots, QEMU another. Together they stay below half of what their file system has room for, 8 MiB.
var foreignLogs = boundedlog.Directory{
	Path: "/var/log", MaxFile: 256 << 10, MaxTotal: 4 << 20, MaxFiles: 1000, Every: 10 * time.Second,
}

// boundForeignLogs keeps the logs of other programs from growing without end, for as long as this one runs.
func boundForeignLogs(log *slog.Logger) {
	foreignLogs.Keep(context.Background(), func(err error) { log.Warn("logs", "err", err) })
}

// retryAfter is how long after a failure a file is written again.
const retryAfter = 5 * time.Second

// latestFile is a file that holds the latest of many texts. One that could not be written, for want of room as a
// rule, is tried again: there may be no later text for hours.
type latestFile struct {
	name string

	mu    sync.Mutex
	text  string
	retry *time.Timer
}

func (f *latestFile) set(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = text
	f.write()
}

// write is called with mu held.
func (f *latestFile) write() {
	if f.retry != nil {
		f.retry.Stop()
		f.retry = nil
	}
	if writeAtomic(f.name, f.text) != nil {
		f.retry = time.AfterFunc(retryAfter, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.write()
		})
	}
}
