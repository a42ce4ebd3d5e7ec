package xen

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/confine"
	"github.com/zerodisc/zerodisc/internal/oom"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// BinDir is where Debian keeps the programs of Xen 4.20. Those of the same names in /usr/sbin are
// shell wrappers that choose a version.
const BinDir = "/usr/lib/xen-4.20/bin"

// Programs of Debian's Xen packages.
const (
	XL          = BinDir + "/xl"
	Xenstored   = BinDir + "/xenstored"
	Xenconsoled = BinDir + "/xenconsoled"
	InitDom0    = BinDir + "/xen-init-dom0"
)

// softQuota is from when on xenstored complains of a guest (see [Complaint]), in bytes. A guest keeps some 10 KiB,
// with many disks and network cards some 50. By itself xenstored complains from 2 MiB on: all entries that a guest may
// have, and each of them full.
const softQuota = 128 << 10

// XenstoreDaemon describes xenstored. It keeps the whole store in memory, and the connections of all
// guests with it: another one cannot take over, and no domain can be created, ended or connected
// to a console without it. Do not start it while StoreAnswers returns nil: a second xenstored takes
// the socket away from the first and then fails.
func XenstoreDaemon(output io.Writer, report func(supervise.Status)) supervise.Spec {
	return supervise.Spec{
		Name:      "xenstored",
		Path:      Xenstored,
		Args:      []string{"--no-fork", "--quota-soft", fmt.Sprintf("memory=%d", softQuota)},
		Essential: true,
		Remedy:    "running guests go on without control; shut them down from inside and reboot the host",
		Ready:     StoreAnswers,
		// For the page that it shares with dom0's kernel (drivers/xen/xenbus/xenbus_dev_backend.c), and for a file
		// descriptor for each guest and more.
		Limits:      &confine.Limits{Capabilities: []int{unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE}},
		OOMScoreAdj: oom.Never,
		Output:      output,
		Report:      report,
	}
}

// ConsoleDaemon describes xenconsoled. It finds running guests again after a restart; what they
// said meanwhile is lost beyond the 2 KiB of their rings. It keeps no logs, which would eat RAM
// without bound on a host that has no other disk.
func ConsoleDaemon(output io.Writer, report func(supervise.Status)) supervise.Spec {
	return supervise.Spec{
		Name:   "xenconsoled",
		Path:   Xenconsoled,
		Args:   []string{"--interactive", "--log=none"}, // interactive: in the foreground
		Remedy: "xl console has no answer until the host is rebooted; guests go on and are reachable over the network",

		Limits:      &confine.Limits{Capabilities: []int{unix.CAP_SYS_RESOURCE}}, // file descriptors
		OOMScoreAdj: oom.Last,
		Output:      output,
		Report:      report,
	}
}

// StoreAnswers says whether xenstored answers requests.
func StoreAnswers(ctx context.Context) error {
	client, err := xenstore.Dial(ctx, xenstore.Socket)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Directory(ctx, "/")
	return err
}

// RegisterDom0 runs xen-init-dom0, which gives dom0 its entries in xenstore and its configuration
// in /var/lib/xen. It is to be run once xenstored is ready, and does nothing the second time.
func RegisterDom0(ctx context.Context, run Runner) error {
	if _, stderr, err := run(ctx, InitDom0); err != nil {
		return fmt.Errorf("register dom0: %w", programError(stderr, err))
	}
	return nil
}
