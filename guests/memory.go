package guests

import "fmt"

// Memory is what a guest takes of the host's RAM, in KiB where it is an amount.
type Memory struct {
	RAM    int64 // what the guest starts with: memory
	MaxRAM int64 // what it may grow to: maxmem
	VCPUs  int64 // that it may have: maxvcpus
	Shadow int64 // shadow_memory where the file sets it, else -1
	Pos    Pos   // of memory or maxmem, zero when the file has neither
}

const (
	mib = 1024 // KiB

	// defaultRAM is libxl's for a file with neither memory nor maxmem.
	defaultRAM = 32 * mib
	// mostMiB is Xen's limit of 16 TiB for a host. It also keeps the sums below from overflowing.
	mostMiB = 16 << 20
	// mostVCPUs is Xen's limit for PV guests; others have fewer.
	mostVCPUs = 8192
)

// readMemory reads the settings that decide how much memory a guest takes.
func readMemory(c *Config) (Memory, error) {
	ram, maxRAM, vcpus, maxVCPUs, shadow := int64(0), int64(0), int64(1), int64(0), int64(-1)
	for _, field := range []struct {
		name        string
		value       *int64 // holds the default
		least, most int64
	}{
		{"memory", &ram, 1, mostMiB},
		{"maxmem", &maxRAM, 1, mostMiB},
		{"vcpus", &vcpus, 0, mostVCPUs},
		{"maxvcpus", &maxVCPUs, 0, mostVCPUs},
		{"shadow_memory", &shadow, 0, mostMiB},
	} {
		var err error
		if *field.value, err = c.Int(field.name, *field.value, field.least, field.most); err != nil {
			return Memory{}, err
		}
	}
	m := Memory{RAM: ram * mib, MaxRAM: maxRAM * mib, VCPUs: max(vcpus, maxVCPUs, 1), Shadow: shadow}
	if shadow > 0 {
		m.Shadow *= mib
	}
	m.Pos = memoryPos(c)
	m.setDefaults()
	if m.MaxRAM < m.RAM {
		return m, c.errorf(m.Pos, "raise maxmem or remove it", "maxmem is less than memory")
	}
	if maxVCPUs > 0 && maxVCPUs < vcpus {
		return m, c.errorf(c.Lookup("maxvcpus").Value.Pos, "raise maxvcpus or remove it",
			"maxvcpus is less than vcpus")
	}
	return m, nil
}

// setDefaults fills in RAM and MaxRAM the way xl does: each stands for the other.
func (m *Memory) setDefaults() {
	switch {
	case m.RAM == 0 && m.MaxRAM == 0:
		m.RAM, m.MaxRAM = defaultRAM, defaultRAM
	case m.RAM == 0:
		m.RAM = m.MaxRAM
	case m.MaxRAM == 0:
		m.MaxRAM = m.RAM
	}
}

// memoryPos is where the guest's memory is set.
func memoryPos(c *Config) Pos {
	for _, name := range []string{"memory", "maxmem"} {
		if setting := c.Lookup(name); setting != nil {
			return setting.Value.Pos
		}
	}
	return Pos{}
}

// MemoryKiB is the RAM that the guest sees.
func (d *Resolved) MemoryKiB() int64 { return d.Memory.RAM }

// NeedKiB is what has to be free for the guest: its RAM and Overhead.
func (d *Resolved) NeedKiB() int64 { return d.Memory.RAM + Overhead(d.Type, d.Memory) }

// Overhead estimates, in KiB, what Xen takes for a guest beyond its RAM. It is libxl's own
// figure (Xen 4.20, libxl__get_required_paging_memory and libxl__domain_need_memory_calculate):
// 1 MiB for each vCPU, a page for each MiB of RAM to shadow or to map it, a second one where
// a guest with hardware virtualisation has no nested paging, 1 MiB (PV) or 2 MiB for the
// domain itself, and the sum with the guest's RAM rounded up to 2 MiB. Whether there is nested
// paging is not asked: the second page counts always, 0.4 % too much where there is.
func Overhead(guest Type, m Memory) int64 {
	const page = 4
	perMiB, domain := int64(page), int64(mib)
	if guest != PV {
		perMiB, domain = 2*page, 2*mib
	}
	shadow := m.Shadow
	if shadow < 0 {
		shadow = m.VCPUs*mib + perMiB*(m.MaxRAM/mib)
	}
	return roundUp(m.RAM+shadow+domain, 2*mib) - m.RAM
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// TooBig is the refusal, in figures, of a guest that needs more than freeKiB, which Xen has left after dom0. Needs
// round up and what is free rounds down, so that the two never look as if the guest fitted.
func (d *Resolved) TooBig(freeKiB int64) *Error {
	need, free := d.NeedKiB(), max(freeKiB, 0)
	fault := d.Complete.errorf(d.Memory.Pos, d.memoryRemedy(free),
		"not enough memory: the guest needs %d MiB (%d MiB of its own, the rest for Xen), %d MiB free",
		roundUp(need, mib)/mib, d.MemoryKiB()/mib, free/mib)
	fault.Guest = d.Name
	return fault
}

// memoryRemedy says how much the guest could have.
func (d *Resolved) memoryRemedy(freeKiB int64) string {
	// Less RAM never has more overhead, so this fits.
	fits := (freeKiB - Overhead(d.Type, d.Memory) - 2*mib) / mib
	const remedy = "stop another guest or give the machine more RAM"
	if fits < defaultRAM/mib {
		return remedy // nothing boots in less than xl's default
	}
	return fmt.Sprintf("write memory = %d or less, %s", fits, remedy)
}
