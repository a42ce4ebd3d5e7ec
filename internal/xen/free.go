package xen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zerodisc/zerodisc/internal/hypercall"
)

// The sysctl physinfo (xen/include/public/sysctl.h): where pages of memory are counted.
const (
	physInfoCall = 3 // XEN_SYSCTL_physinfo
	atTotal      = 48
	atFree       = 56
	atAllClaimed = 72 // outstanding_pages: free ones that are claimed for a domain
	pagesPerMiB  = 1 << 20 / 4096
	mostPages    = 1 << 46 // as many as an address has room for
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
func hypervisorFree() (free int64, err error) {
	xen, err := hypercall.Open(1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, xen.Close()) }()
	request := xen.Request()
	clear(request)
	binary.LittleEndian.PutUint32(request[atCommand:], physInfoCall)
	binary.LittleEndian.PutUint32(request[atVersion:], sysctlVersion)
	if err := xen.Sysctl(); err != nil {
		return 0, fmt.Errorf("ask for free memory: %w", err)
	}
	return decodeFree(request)
}

// decodeFree reads the answer to physinfo.
func decodeFree(request []byte) (int64, error) {
	total := binary.LittleEndian.Uint64(request[atTotal:])
	free := binary.LittleEndian.Uint64(request[atFree:])
	claimed := binary.LittleEndian.Uint64(request[atAllClaimed:])
	if total == 0 || total > mostPages || free > total || claimed > free {
		return 0, fmt.Errorf("ask for free memory: %d pages of %d, %d of them claimed", free, total, claimed)
	}
	return int64((free-claimed)/pagesPerMiB) << 10, nil
}
