package hypercall

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// physInfo is XEN_SYSCTL_physinfo.
const physInfo = 3

// Where struct xen_sysctl_physinfo counts pages of memory.
const (
	atTotal   = 40
	atFree    = 48
	atClaimed = 64 // outstanding_pages: free ones that are claimed for a domain

	mostPages = 1 << 46 // as many as an address has room for
)

// FreePages asks Xen how many pages of memory, 4 KiB each, no domain has and none has claimed.
func FreePages() (free uint64, err error) {
	sysctl, err := Open(1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sysctl.Close()) }()
	var answer error
	err = sysctl.Do(physInfo, func([]byte) {}, func(arguments []byte) { free, answer = readFree(arguments) })
	if err = errors.Join(err, answer); err != nil {
		return 0, fmt.Errorf("ask Xen for free memory: %w", err)
	}
	return free, nil
}

// readFree reads the answer to physinfo.
func readFree(arguments []byte) (uint64, error) {
	total := binary.LittleEndian.Uint64(arguments[atTotal:])
	free := binary.LittleEndian.Uint64(arguments[atFree:])
	claimed := binary.LittleEndian.Uint64(arguments[atClaimed:])
	if total == 0 || total > mostPages || free > total || claimed > free {
		return 0, fmt.Errorf("%d pages of %d, %d of them claimed", free, total, claimed)
	}
	return free - claimed, nil
}
