package hypercall

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// getDomainInfoList is XEN_SYSCTL_getdomaininfolist.
const getDomainInfoList = 6

// Where fields are of struct xen_sysctl_getdomaininfolist, and of struct xen_domctl_getdomaininfo in the buffer, whose
// beginning has been the same since Xen 4.3.
const (
	atFirst  = 0
	atMost   = 4
	atBuffer = 8
	atCount  = 16

	atDomain = 0
	atTime   = 56
)

// Times counts the processor time of domains.
type Times struct{ sysctl *Sysctl }

// OpenTimes makes ready to ask for processor times. Without Xen there are none.
func OpenTimes() (*Times, error) {
	sysctl, err := Open(os.Getpagesize())
	if err != nil {
		return nil, err
	}
	return &Times{sysctl}, nil
}

// Read returns how much processor time each domain has had, by domid. Domains are asked for one by one, so that the
// length of what Xen says of one, which differs between its versions, need not be known.
func (t *Times) Read() (map[int]time.Duration, error) {
	times := map[int]time.Duration{}
	for first := 0; ; {
		domid, used, found, err := t.next(first)
		if err != nil || !found {
			return times, err
		}
		if domid < first {
			return nil, fmt.Errorf("ask Xen for domains from %d on: it said %d", first, domid)
		}
		times[domid], first = used, domid+1
	}
}

// next is the first domain with that number or a higher one.
func (t *Times) next(first int) (domid int, used time.Duration, found bool, err error) {
	err = t.sysctl.Do(getDomainInfoList,
		func(arguments []byte) { setDomains(arguments, first, t.sysctl.BufferAddress()) },
		func(arguments []byte) { found = binary.LittleEndian.Uint32(arguments[atCount:]) > 0 })
	if err != nil {
		return 0, 0, false, fmt.Errorf("ask Xen for domains: %w", err)
	}
	domid, used = readDomain(t.sysctl.Buffer())
	return domid, used, found, nil
}

// setDomains asks for one domain.
func setDomains(arguments []byte, first int, buffer uint64) {
	binary.LittleEndian.PutUint16(arguments[atFirst:], uint16(first))
	binary.LittleEndian.PutUint32(arguments[atMost:], 1)
	binary.LittleEndian.PutUint64(arguments[atBuffer:], buffer)
}

// readDomain reads the beginning of what Xen says of a domain.
func readDomain(info []byte) (domid int, used time.Duration) {
	return int(binary.LittleEndian.Uint16(info[atDomain:])), time.Duration(binary.LittleEndian.Uint64(info[atTime:]))
}
