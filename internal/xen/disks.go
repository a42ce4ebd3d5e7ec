package xen

import (
	"context"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/host"
)

// Keys of a disk's backend: libxl's own (libxl_disk.c, device_disk_add), and that of the hotplug program. Only dom0 can
// write them.
const (
	diskFrontend = "frontend"
	diskVdev     = "dev"
	diskTarget   = "params"
	diskMode     = "mode"
	diskDevice   = "physical-device-path"
)

// lookDisks reads a domain's disks on the backends' side: those of its configuration, and those that xl was given by
// hand. dom0 has no QEMU, so that its kernel serves all of them (vbd), and as they are: raw.
func (o *Observer) lookDisks(ctx context.Context, domid int, domain *observed) error {
	dir := backends("vbd", domid)
	numbers, err := o.list(ctx, dir)
	if err != nil {
		return err
	}
	var disks []host.Disk
	for _, number := range numbers {
		keys := map[string]string{}
		for _, key := range []string{diskFrontend, diskVdev, diskTarget, diskMode, diskDevice} {
			if keys[key], _, err = o.read(ctx, dir+"/"+number+"/"+key); err != nil {
				return err
			}
		}
		// What a guest lets go of late leaves a directory without these.
		if keys[diskFrontend] != "" && keys[diskVdev] != "" {
			disks = append(disks, host.Disk{
				Vdev: keys[diskVdev], Target: keys[diskTarget], Node: keys[diskDevice], Format: "raw",
				Writable: strings.Contains(keys[diskMode], "w"),
			})
		}
	}
	if slices.Equal(disks, domain.disks) {
		return nil
	}
	domain.disks = disks
	o.Tell(host.Served{Domid: domid, Disks: disks})
	return nil
}
