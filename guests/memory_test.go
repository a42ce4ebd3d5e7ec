package guests

import (
	"testing"
)

func TestMemory(t *testing.T) {
	for _, test := range []struct {
		source       string
		ram, max     int64 // MiB
		vcpus        int64
		needPV, need int64 // MiB, from libxl's formulas by hand
	}{
		{"", 32, 32, 1, 36, 36},
		{"memory=96", 96, 96, 1, 100, 100},
		{"maxmem=128", 128, 128, 1, 132, 132},
		{"memory=1024;maxmem=2048;vcpus=2", 1024, 2048, 2, 1036, 1044},
		{"memory=512;vcpus=0", 512, 512, 1, 516, 520},
		{"memory=512;vcpus=1;maxvcpus=8", 512, 512, 8, 524, 526},
		{"memory=96;shadow_memory=10", 96, 96, 1, 108, 108},
		{"memory=96;shadow_memory=0", 96, 96, 1, 98, 98},
	} {
		m, err := readMemory(mustParse(t, test.source))
		if err != nil {
			t.Errorf("%q: %v", test.source, err)
			continue
		}
		if m.RAM != test.ram*mib || m.MaxRAM != test.max*mib || m.VCPUs != test.vcpus {
			t.Errorf("%q: got %+v", test.source, m)
		}
		needPV, need := (m.RAM+Overhead(PV, m))/mib, (m.RAM+Overhead(PVH, m))/mib
		if needPV != test.needPV || need != test.need {
			t.Errorf("%q: needs %d as PV and %d as PVH, want %d and %d",
				test.source, needPV, need, test.needPV, test.need)
		}
	}
}

func TestTooBig(t *testing.T) {
	m := Memory{RAM: 96 * mib, MaxRAM: 96 * mib, VCPUs: 1, Shadow: -1, Pos: Pos{3, 9}}
	guest := &Resolved{Guest: &Guest{Name: "a"}, Type: PV, Memory: m, Complete: &Config{File: "a.cfg"}}
	const start = "a.cfg:3:9: not enough memory: the guest needs 100 MiB (96 MiB of its own, the rest for Xen), "
	for free, want := range map[int64]string{
		100*mib - 1: "99 MiB free; write memory = 93 or less, stop another guest or give the machine more RAM",
		30 * mib:    "30 MiB free; stop another guest or give the machine more RAM",
		-5:          "0 MiB free; stop another guest or give the machine more RAM",
	} {
		if got := guest.TooBig(free).Error(); got != start+want {
			t.Errorf("%d KiB\ngot  %s\nwant %s", free, got, start+want)
		}
	}
}

// What the remedy proposes has to fit.
func TestTooBigRemedyFits(t *testing.T) {
	for free := int64(64 * mib); free < 600*mib; free += 777 {
		for _, guest := range []Type{PV, PVH} {
			m := Memory{RAM: 4096 * mib, MaxRAM: 4096 * mib, VCPUs: 4, Shadow: -1}
			fits := (free - Overhead(guest, m) - 2*mib) / mib
			m.RAM, m.MaxRAM = fits*mib, fits*mib
			if fits > 0 && m.RAM+Overhead(guest, m) > free {
				t.Fatalf("%s: %d MiB do not fit in %d KiB", guest, fits, free)
			}
		}
	}
}
