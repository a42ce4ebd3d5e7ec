package hypercall

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// getDomainInfoList is XEN_SYSCTL_getdomaininfolist.
const getDomainInfoList = 6

// Where the fields of struct xen_sysctl_getdomaininfolist are.
const (
	atFirst  = 0 // the least number that a listed domain may have
	atMost   = 4
	atBuffer = 8
	atCount  = 16
)

// Where fields of struct xen_domctl_getdomaininfo are (xen/include/public/domctl.h), whose beginning has been the same
// since Xen 4.3.
const (
	atDomid       = 0
	atFlags       = 4
	atPages       = 8  // tot_pages
	atOutstanding = 24 // pages that are claimed and not there yet
	atTime        = 56 // cpu_time
	atVCPUs       = 64 // nr_online_vcpus
	atHandle      = 76
)

// Domain is what Xen says of a domain.
type Domain struct {
	Domid  int
	Flags  uint32 // XEN_DOMINF_*
	Pages  uint64 // of memory, 4 KiB each, claimed ones included
	Time   time.Duration
	VCPUs  int
	Handle [16]byte // the UUID
}

// Domains asks for the domains.
type Domains struct{ sysctl *Sysctl }

// OpenDomains makes ready to ask for the domains, for as long as the process runs. Without Xen there are none.
func OpenDomains() (*Domains, error) {
	sysctl, err := Open(os.Getpagesize())
	if err != nil {
		return nil, err
	}
	return &Domains{sysctl}, nil
}

// List returns all domains, dom0 among them. They are asked for one by one, so that the length of what Xen says of one,
// which differs between its versions, need not be known.
func (d *Domains) List() (list []Domain, err error) {
	for first := 0; ; {
		domain, found, err := d.next(first)
		if err != nil || !found {
			return list, err
		}
		if domain.Domid < first {
			return nil, fmt.Errorf("ask Xen for domains from %d on: it said %d", first, domain.Domid)
		}
		list, first = append(list, domain), domain.Domid+1
	}
}

// next is the first domain with that number or a higher one.
func (d *Domains) next(first int) (domain Domain, found bool, err error) {
	err = d.sysctl.Do(getDomainInfoList,
		func(arguments []byte) { setDomains(arguments, first, d.sysctl.BufferAddress()) },
		func(arguments []byte) { found = binary.LittleEndian.Uint32(arguments[atCount:]) > 0 })
	if err != nil {
		return Domain{}, false, fmt.Errorf("ask Xen for domains: %w", err)
	}
	return readDomain(d.sysctl.Buffer()), found, nil
}

// setDomains asks for one domain.
func setDomains(arguments []byte, first int, buffer uint64) {
	binary.LittleEndian.PutUint16(arguments[atFirst:], uint16(first))
	binary.LittleEndian.PutUint32(arguments[atMost:], 1)
	binary.LittleEndian.PutUint64(arguments[atBuffer:], buffer)
}

// readDomain reads the beginning of what Xen says of a domain.
func readDomain(info []byte) Domain {
	number := binary.LittleEndian
	return Domain{
		Domid:  int(number.Uint16(info[atDomid:])),
		Flags:  number.Uint32(info[atFlags:]),
		Pages:  number.Uint64(info[atPages:]) + number.Uint64(info[atOutstanding:]),
		Time:   time.Duration(number.Uint64(info[atTime:])),
		VCPUs:  int(number.Uint32(info[atVCPUs:])),
		Handle: [16]byte(info[atHandle:]),
	}
}
