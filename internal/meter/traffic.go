package meter

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Traffic is what a domain has sent and received since its devices were connected, by the device's name: "vif0",
// "xvda".
type Traffic struct {
	Network map[string]Count
	Disk    map[string]Count
}

// Count is a number of bytes each way, as the guest sees it.
type Count struct{ In, Out int64 }

// sectorBytes is the unit in which the kernel counts what disks carry.
const sectorBytes = 512

// counters are where the kernel counts. What a guest's interface receives, its backend sends. Statistics of disks are
// those of xen-blkback (drivers/block/xen-blkback/xenbus.c).
var counters = []struct {
	dir, prefix string
	between     string // domid and device
	in, out     string // files
	unit        int64  // bytes
	add         func(t *Traffic, device int, c Count)
}{
	{
		dir: "class/net", prefix: "vif", between: ".", in: "statistics/tx_bytes", out: "statistics/rx_bytes", unit: 1,
		add: func(t *Traffic, device int, c Count) { t.Network["vif"+strconv.Itoa(device)] = c },
	},
	{
		dir: "bus/xen-backend/devices", prefix: "vbd-", between: "-",
		in: "statistics/rd_sect", out: "statistics/wr_sect", unit: sectorBytes,
		add: func(t *Traffic, device int, c Count) { t.Disk[vdev(device)] = c },
	},
}

// Traffic returns the domains' traffic by domid. What cannot be read is left out: a domain may end at any moment.
func (m *Meter) Traffic() map[int]Traffic {
	all := map[int]Traffic{}
	for _, c := range counters {
		entries, _ := fs.ReadDir(m.sys, c.dir)
		for _, e := range entries {
			domid, device, ok := parseDevice(e.Name(), c.prefix, c.between)
			if !ok {
				continue
			}
			in, err := m.count(path.Join(c.dir, e.Name(), c.in))
			if err != nil {
				continue
			}
			out, err := m.count(path.Join(c.dir, e.Name(), c.out))
			if err != nil {
				continue
			}
			t, known := all[domid]
			if !known {
				t = Traffic{Network: map[string]Count{}, Disk: map[string]Count{}}
				all[domid] = t
			}
			c.add(&t, device, Count{In: in * c.unit, Out: out * c.unit})
		}
	}
	return all
}

// parseDevice reads the name of a backend: vif5.0, vbd-5-51712.
func parseDevice(name, prefix, between string) (domid, device int, ok bool) {
	rest, isBackend := strings.CutPrefix(name, prefix)
	first, second, isPair := strings.Cut(rest, between)
	if !isBackend || !isPair {
		return 0, 0, false
	}
	domid, err1 := strconv.Atoi(first)
	device, err2 := strconv.Atoi(second)
	return domid, device, err1 == nil && err2 == nil && domid > 0 && device >= 0
}

func (m *Meter) count(name string) (int64, error) {
	text, err := fs.ReadFile(m.sys, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// vdev is the name of a disk by its number in xenstore, xen-vbd-interface(7).
func vdev(number int) string {
	disk, partition := -1, 0
	prefix := "xvd"
	switch {
	case number>>28 == 1:
		disk, partition = number>>8&(1<<20-1), number&0xff
	case number>>8 == 202:
		disk, partition = number>>4&0xf, number&0xf
	case number>>8 == 8:
		prefix, disk, partition = "sd", number>>4&0xf, number&0xf
	case number>>8 == 3, number>>8 == 22:
		prefix, disk, partition = "hd", number>>6&1, number&0x3f
		if number>>8 == 22 {
			disk += 2
		}
	default:
		return fmt.Sprint(number)
	}
	name := prefix + letters(disk)
	if partition > 0 {
		name += strconv.Itoa(partition)
	}
	return name
}

// letters counts a, b ... z, aa, ab and so on from 0.
func letters(n int) string {
	text := ""
	for n++; n > 0; n = (n - 1) / 26 {
		text = string(rune('a'+(n-1)%26)) + text
	}
	return text
}
