package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/boundedlog"
	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/vt"
)

const (
	logFile       = boot.RunDir + "/log"
	daemonLogFile = boot.RunDir + "/daemons.log"

	logLimit       = 1 << 20 // bytes
	daemonLogLimit = 256 << 10
)

// foreignLogs are the logs of Xen's programs: the xl that watches a guest which was made by hand writes one, for as
// long as the guest lives and reboots, QEMU another. Together they stay below half of what their file system has
// room for, 8 MiB.
var foreignLogs = boundedlog.Directory{
	Path: "/var/log", MaxFile: 256 << 10, MaxTotal: 4 << 20, MaxFiles: 1000, Every: 10 * time.Second,
}

// showLog shows the log on a screen of its own, on a machine that has screens. That it cannot be set as it should be
// costs nothing but what somebody types there.
func showLog(out *console.Consoles, terminals []string) {
	if slices.Contains(terminals, "tty1") {
		out.AddDevice(vt.LogDevice)
		_ = vt.KeepQuiet()
	}
}

// boundForeignLogs keeps the logs of other programs from growing without end, for as long as this one runs.
func boundForeignLogs(log *slog.Logger) {
	foreignLogs.Keep(context.Background(), func(err error) { log.Warn("logs", "err", err) })
}
