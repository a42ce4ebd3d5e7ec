package xen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/hypercall"
)

// The sysctl getdomaininfolist (xen/include/public/sysctl.h) in the version of Xen 4.20.
const (
	sysctlVersion   = 0x15
	listDomainsCall = 6 // XEN_SYSCTL_getdomaininfolist

	atCommand   = 0
	atVersion   = 4
	atFirst     = 8 // the least number that a listed domain may have
	atMost      = 12
	atBuffer    = 16
	atCount     = 24
	domainBatch = 64 // domains that are listed at once
)

// Where the fields of struct xen_domctl_getdomaininfo are (xen/include/public/domctl.h).
const (
	atDomid       = 0
	atFlags       = 4
	atPages       = 8  // tot_pages
	atOutstanding = 24 // pages that are claimed and not there yet
	atNanoseconds = 56 // cpu_time
	atVCPUs       = 64 // nr_online_vcpus
	atHandle      = 76 // the UUID
	infoSize      = 112
)

// XEN_DOMINF_*.
const (
	flagDying     = 1 << 0
	flagShutdown  = 1 << 2
	flagPaused    = 1 << 3
	shutdownShift = 16
	shutdownMask  = 255
)

// shutdownReasons are SHUTDOWN_* of xen/include/public/sched.h.
var shutdownReasons = []host.Reason{
	host.PowerOff, host.Reboot, host.Suspend, host.Crash, host.Watchdog, host.SoftReset,
}

// pageKiB is the size of a page of memory.
const pageKiB = 4

// hypervisorDomains asks the hypervisor itself for its domains, dom0 among them, without their names: a hypercall
// takes microseconds, xl as long as a process. An error says that xl has to be asked.
func hypervisorDomains() (domains []host.Domain, err error) {
	xen, err := hypercall.Open(domainBatch * infoSize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, xen.Close()) }()
	for next := 0; ; {
		encodeListRequest(xen.Request(), next, xen.BufferAddress())
		if err := xen.Sysctl(); err != nil {
			return nil, fmt.Errorf("list domains: %w", err)
		}
		count := int(binary.LittleEndian.Uint32(xen.Request()[atCount:]))
		batch, err := decodeDomains(xen.Buffer(), count, next)
		if err != nil {
			return nil, fmt.Errorf("list domains: %w", err)
		}
		domains = append(domains, batch...)
		if len(batch) < domainBatch {
			return domains, nil
		}
		next = batch[len(batch)-1].Domid + 1
	}
}

// encodeListRequest writes the request for domains from first on.
func encodeListRequest(request []byte, first int, buffer uint64) {
	clear(request)
	binary.LittleEndian.PutUint32(request[atCommand:], listDomainsCall)
	binary.LittleEndian.PutUint32(request[atVersion:], sysctlVersion)
	binary.LittleEndian.PutUint16(request[atFirst:], uint16(first))
	binary.LittleEndian.PutUint32(request[atMost:], domainBatch)
	binary.LittleEndian.PutUint64(request[atBuffer:], buffer)
}

// decodeDomains reads a batch of domains. Their numbers rise from first on; where they do not, Xen is built with
// structures of another size.
func decodeDomains(buffer []byte, count, first int) ([]host.Domain, error) {
	if count < 0 || count > domainBatch || count*infoSize > len(buffer) || first == 0 && count == 0 {
		return nil, fmt.Errorf("%d domains", count)
	}
	var domains []host.Domain
	for i := range count {
		domain := decodeDomain(buffer[i*infoSize:])
		if domain.Domid < first || i == 0 && first == 0 && domain.Domid != 0 {
			return nil, fmt.Errorf("domain %d is out of place", domain.Domid)
		}
		first = domain.Domid + 1
		domains = append(domains, domain)
	}
	return domains, nil
}

func decodeDomain(info []byte) host.Domain {
	flags := binary.LittleEndian.Uint32(info[atFlags:])
	pages := binary.LittleEndian.Uint64(info[atPages:]) + binary.LittleEndian.Uint64(info[atOutstanding:])
	domain := host.Domain{
		Domid:      int(binary.LittleEndian.Uint16(info[atDomid:])),
		UUID:       uuid.UUID(info[atHandle : atHandle+16]).String(),
		MemoryKiB:  int64(pages) * pageKiB >> 10 << 10, // whole MiB, as xl says
		VCPUs:      int(binary.LittleEndian.Uint32(info[atVCPUs:])),
		CPUSeconds: float64(binary.LittleEndian.Uint64(info[atNanoseconds:])) / 1e9,
		Paused:     flags&flagPaused != 0,
		Dying:      flags&flagDying != 0,
	}
	if flags&flagShutdown != 0 {
		domain.Shutdown = host.Crash
		if code := flags >> shutdownShift & shutdownMask; int(code) < len(shutdownReasons) {
			domain.Shutdown = shutdownReasons[code]
		}
	}
	return domain
}

// withNames adds the names that xenstore has for the domains, and leaves dom0 out.
func (x *Toolstack) withNames(ctx context.Context, domains []host.Domain) (named []host.Domain, err error) {
	for _, domain := range domains {
		if domain.Domid == 0 {
			continue
		}
		domain.Name, err = x.store.Read(ctx, home(domain.Domid)+"/name")
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // libxl has forgotten it, or does not know it yet
			return nil, fmt.Errorf("name of domain %d: %w", domain.Domid, err)
		}
		named = append(named, domain)
	}
	return named, nil
}
