package xen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/hypercall"
)

// XEN_DOMINF_* of xen/include/public/domctl.h.
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

// hypervisorDomains returns what asks the hypervisor itself for its domains, dom0 among them, without their names: a
// hypercall takes microseconds, xl as long as a process. An error says that xl has to be asked.
func hypervisorDomains() func() ([]host.Domain, error) {
	open := make(chan *hypercall.Domains, 1) // taken by whoever asks; nil: it was not opened yet
	open <- nil
	return func() (domains []host.Domain, err error) {
		xen := <-open
		defer func() { open <- xen }()
		if xen == nil {
			if xen, err = hypercall.OpenDomains(); err != nil {
				return nil, err
			}
		}
		list, err := xen.List()
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			domains = append(domains, domainOf(d))
		}
		return domains, nil
	}
}

func domainOf(d hypercall.Domain) host.Domain {
	domain := host.Domain{
		Domid:      d.Domid,
		UUID:       uuid.UUID(d.Handle).String(),
		MemoryKiB:  int64(d.Pages) * pageKiB >> 10 << 10, // whole MiB, as xl says
		VCPUs:      d.VCPUs,
		CPUSeconds: d.Time.Seconds(),
		Paused:     d.Flags&flagPaused != 0,
		Dying:      d.Flags&flagDying != 0,
	}
	if d.Flags&flagShutdown != 0 {
		domain.Shutdown = host.Crash
		if code := d.Flags >> shutdownShift & shutdownMask; int(code) < len(shutdownReasons) {
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
