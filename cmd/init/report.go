package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/bundle"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/xen"
)

// reportPieces are what zerodisc-report gathers.
var reportPieces = []bundle.Piece{
	{Name: "status.txt", Text: statusText},
	{Name: "state", Files: stateFile},
	{Name: "log/log.txt", Program: []string{"logs"}},
	{Name: "log/sources", Files: boot.LogsDir + "/*"},
	{Name: "log/xen", Files: "/var/log/xen/*"},
	{Name: "kernel/dmesg.txt", Program: []string{"dmesg"}},
	{Name: "kernel", Files: "/proc/cmdline"},
	{Name: "kernel", Files: "/proc/version"},
	{Name: "kernel", Files: "/proc/meminfo"},
	{Name: "kernel", Files: "/proc/cpuinfo"},
	{Name: "kernel", Files: "/proc/modules"},
	{Name: "kernel", Files: "/proc/mounts"},
	{Name: "kernel", Files: "/proc/swaps"},
	{Name: "kernel", Files: "/proc/partitions"},
	{Name: "kernel", Files: "/proc/interrupts"},
	{Name: "xen/dmesg.txt", Program: []string{xen.XL, "dmesg"}},
	{Name: "xen/info.txt", Program: []string{xen.XL, "info", "-n"}},
	{Name: "xen/list.txt", Program: []string{xen.XL, "list", "-v"}},
	{Name: "xen/vcpu-list.txt", Program: []string{xen.XL, "vcpu-list"}},
	{Name: "guests", Files: boot.GuestRunDir + "/*.cfg"},
	{Name: "network/addresses.txt", Program: []string{"ip", "addr"}},
	{Name: "network/routes.txt", Program: []string{"ip", "route"}},
	{Name: "network/neighbours.txt", Program: []string{"ip", "neigh"}},
	{Name: "network", Files: "/etc/resolv.conf"},
	{Name: "network", Files: timeServersFile},
	{Name: "network", Files: "/proc/net/dev"},
	{Name: "network", Files: "/proc/net/tcp*"},
	{Name: "network", Files: "/proc/net/udp*"},
	{Name: "processes.txt", Program: []string{"ps", "aux"}},
}

// statusText is the boot report.
func statusText(context.Context) ([]byte, error) {
	snapshot, err := readState()
	if err != nil {
		return nil, err
	}
	return []byte(report.Text(snapshot)), nil
}

// reportApplet is zerodisc-report.
func reportApplet(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return bundle.Main(ctx, args, reportPieces, os.Stdout, os.Stderr, term.IsTerminal(int(os.Stdout.Fd())))
}
