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

// Traffic returns the domains' traffic by domid. What cannot be read is left out: a domain may end at any moment.
func (m *Meter) Traffic() map[int]Traffic {
	all := m.Network()
	m.addDisks(all)
	return all
}

// Network is Traffic without the disks, for which one file is read, whatever the number of guests.
func (m *Meter) Network() map[int]Traffic {
	all := map[int]Traffic{}
	text, _ := fs.ReadFile(m.proc, "thread-self/net/dev") // the process's first thread may be in another network
	for line := range strings.Lines(string(text)) {
		name, counts, _ := strings.Cut(strings.TrimSpace(line), ":")
		if domid, device, ok := parseDevice(name, "vif", "."); ok {
			if c, ok := parseCounts(counts); ok {
				of(all, domid).Network["vif"+strconv.Itoa(device)] = c
			}
		}
	}
	return all
}

// The columns of proc_pid_net(5), dev: bytes received and sent.
const (
	netReceived = 0
	netSent     = 8
)

// parseCounts reads the counters of a guest's interface. What that receives, its backend sends.
func parseCounts(text string) (c Count, ok bool) {
	columns := strings.Fields(text)
	if len(columns) <= netSent {
		return Count{}, false
	}
	in, err1 := strconv.ParseInt(columns[netSent], 10, 64)
	out, err2 := strconv.ParseInt(columns[netReceived], 10, 64)
	return Count{In: in, Out: out}, err1 == nil && err2 == nil
}

// addDisks adds what disks have carried, as xen-blkback counts it (drivers/block/xen-blkback/xenbus.c).
func (m *Meter) addDisks(all map[int]Traffic) {
	const dir = "bus/xen-backend/devices"
	entries, _ := fs.ReadDir(m.sys, dir)
	for _, e := range entries {
		domid, device, ok := parseDevice(e.Name(), "vbd-", "-")
		if !ok {
			continue
		}
		in, err1 := m.count(path.Join(dir, e.Name(), "statistics/rd_sect"))
		out, err2 := m.count(path.Join(dir, e.Name(), "statistics/wr_sect"))
		if err1 == nil && err2 == nil {
			of(all, domid).Disk[vdev(device)] = Count{In: in * sectorBytes, Out: out * sectorBytes}
		}
	}
}

// of is a domain's entry, which is made if there is none.
func of(all map[int]Traffic, domid int) Traffic {
	if _, known := all[domid]; !known {
		all[domid] = Traffic{Network: map[string]Count{}, Disk: map[string]Count{}}
	}
	return all[domid]
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
