package hypercall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
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
type Domains struct {
	sysctl *Sysctl
	size   int // of what Xen says of one domain, bytes; 0: unknown
}

// listBuffer is the size of the buffer for lists of domains, bytes: Xen 4.20 says 112 of each.
const listBuffer = 8 << 10

// OpenDomains makes ready to ask for the domains, for as long as the process runs. Without Xen there are none.
func OpenDomains() (*Domains, error) {
	sysctl, err := Open(listBuffer)
	if err != nil {
		return nil, err
	}
	return &Domains{sysctl: sysctl}, nil
}

// List returns all domains, dom0 among them. A hypercall lists as many as the buffer holds: it costs 0.2 ms with fifty
// guests under emulation.
func (d *Domains) List() ([]Domain, error) {
	buffer := d.sysctl.Buffer()
	if d.size == 0 {
		copy(buffer, strings.Repeat(unwritten, len(buffer)))
		if _, err := d.ask(0, 1); err != nil {
			return nil, err
		}
		size := written(buffer)
		if size < atHandle+len(Domain{}.Handle) {
			return nil, fmt.Errorf("ask Xen for domains: it says %d bytes of one, too few", size)
		}
		d.size = size
	}
	return list(buffer, d.size, d.ask)
}

// list returns all domains. ask writes so many of them at most to the buffer, size bytes each, from that number on, and
// says how many there were.
func list(buffer []byte, size int, ask func(first, most int) (int, error)) (all []Domain, err error) {
	for first, most := 0, len(buffer)/size; ; {
		count, err := ask(first, most)
		if err != nil {
			return nil, err
		}
		for i := range min(count, most) {
			domain := readDomain(buffer[i*size:])
			if domain.Domid < first {
				return nil, fmt.Errorf("ask Xen for domains from %d on: it said %d", first, domain.Domid)
			}
			all, first = append(all, domain), domain.Domid+1
		}
		if count < most {
			return all, nil
		}
	}
}

// ask has Xen write so many domains at most to the buffer, those with that number or a higher one, and returns how many
// it has written.
func (d *Domains) ask(first, most int) (count int, err error) {
	err = d.sysctl.Do(getDomainInfoList,
		func(arguments []byte) { setDomains(arguments, first, most, d.sysctl.BufferAddress()) },
		func(arguments []byte) { count = int(binary.LittleEndian.Uint32(arguments[atCount:])) })
	if err != nil {
		return 0, fmt.Errorf("ask Xen for domains: %w", err)
	}
	return count, nil
}

// unwritten fills the buffer before Xen writes to it. No structure of Xen's ends with eight of it.
const unwritten = "Z"

// written is the length of the one structure that Xen has written to such a buffer, bytes: it differs between Xen's
// versions, and is a multiple of 8 in all.
func written(buffer []byte) int { return (len(bytes.TrimRight(buffer, unwritten)) + 7) &^ 7 }

// setDomains asks for domains.
func setDomains(arguments []byte, first, most int, buffer uint64) {
	binary.LittleEndian.PutUint16(arguments[atFirst:], uint16(first))
	binary.LittleEndian.PutUint32(arguments[atMost:], uint32(most))
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
