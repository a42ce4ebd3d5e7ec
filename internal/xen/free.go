package xen

import (
	"context"

	"github.com/zerodisc/zerodisc/internal/hypercall"
)

// FreeKiB is the memory that no domain has and that is not claimed for one, whole MiB.
func (x *Toolstack) FreeKiB(ctx context.Context) (int64, error) {
	if x.free != nil {
		if free, err := x.free(); err == nil {
			return free, nil
		}
	}
	info, err := x.Info(ctx)
	return info.FreeKiB, err
}

// hypervisorFree asks the hypervisor itself for the free memory, KiB. An error says that xl has to be asked.
func hypervisorFree() (int64, error) {
	pages, err := hypercall.FreePages()
	return int64(pages) * pageKiB >> 10 << 10, err
}
