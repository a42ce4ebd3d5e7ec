package meter

import (
	"errors"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

func TestShares(t *testing.T) {
	start := time.Now()
	cpu := CPU{}
	for i, step := range []struct {
		after   time.Duration
		used    time.Duration
		percent float64
		known   bool
	}{
		{0, 5 * time.Second, 0, false},
		{time.Second / 2, 6 * time.Second, 0, false}, // too soon
		{10 * time.Second, 10 * time.Second, 50, true},
		{10 * time.Second, 10 * time.Second, 50, true}, // something else has changed
		{20 * time.Second, 10 * time.Second, 0, true},
		{31 * time.Second, time.Second, 0, false}, // another domain
	} {
		cpu = cpu.next(start.Add(step.after), map[int]time.Duration{3: step.used})
		if got := cpu[3]; got.Percent != step.percent || got.Known != step.known {
			t.Errorf("step %d: %v, %v, want %v, %v", i, got.Percent, got.Known, step.percent, step.known)
		}
	}
	if cpu = cpu.next(start, nil); len(cpu) != 0 {
		t.Errorf("%v is left of domains that are gone", cpu)
	}
}

func noXen() (map[int]time.Duration, error) { return nil, errors.ErrUnsupported }

// TestCPU has the hypervisor say what domains have used, dom0 among them, and then nothing any more.
func TestCPU(t *testing.T) {
	var used time.Duration
	var failure error
	asked := 0
	m := New(nil, nil, func() (map[int]time.Duration, error) {
		asked++
		return map[int]time.Duration{0: time.Hour, 3: used}, failure
	})
	s := &host.Snapshot{Guests: []host.Guest{{Domid: 3, CPUSeconds: 100}}}
	if cpu := m.CPU(s); len(cpu) != 1 || cpu[3].Known {
		t.Errorf("%v after one look", cpu)
	}
	used, m.asked = 5*time.Second, time.Now().Add(time.Hour)
	if cpu := m.CPU(s); asked != 1 || cpu[3].Used != 0 {
		t.Errorf("%v, asked %d times within a second, want 1", cpu, asked)
	}
	before := time.Now().Add(-10 * time.Second)
	m.cpu[3], m.asked = Share{Used: 0, at: before}, before
	if cpu := m.CPU(s); !cpu[3].Known || cpu[3].Percent > 50 || cpu[3].Percent < 1 {
		t.Errorf("%v, want 50 %%", cpu)
	}
	failure, m.asked = errors.ErrUnsupported, before
	s.Host.Listed = time.Now().Add(time.Hour)
	if cpu := m.CPU(s); cpu[3].Used != 100*time.Second {
		t.Errorf("%v, want what the list says", cpu)
	}
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestTraffic(t *testing.T) {
	m := New(fstest.MapFS{"thread-self/net/dev": file(`Inter-|   Receive                           |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
vif5.0:   10       1    0    0    0     0          0         0     20       2    0    0    0     0       0          0
  eth0:    1       1    0    0    0     0          0         0      1       1    0    0    0     0       0          0
  vifx:    1       1    0    0    0     0          0         0      1       1    0    0    0     0       0          0
vif-: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
vif6.1: 1 1 0 0 0 0 0 0
vif6.2: x 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
`)}, fstest.MapFS{
		"bus/xen-backend/devices/vbd-5-51712/statistics/rd_sect":      file("2\n"),
		"bus/xen-backend/devices/vbd-5-51712/statistics/wr_sect":      file("4\n"),
		"bus/xen-backend/devices/vif-5-0/statistics/rd_sect":          file("4\n"),
		"bus/xen-backend/devices/vbd-7-268439552/statistics/rd_sect":  file("0\n"),
		"bus/xen-backend/devices/vbd-7-268439552/statistics/wr_sect":  file("1\n"),
		"bus/xen-backend/devices/vbd-8-51712-1/statistics/wr_sect":    file("1\n"),
		"bus/xen-backend/devices/vbd-9-51712/statistics/rd_sect":      file("x\n"),
		"bus/xen-backend/devices/vbd-9-51712/statistics/wr_sect":      file("x\n"),
		"bus/xen-backend/devices/vbd-10-51712/statistics/mode/ignore": file(""),
	}, noXen)
	want := map[int]Traffic{
		5: {
			Network: map[string]Count{"vif0": {In: 20, Out: 10}},
			Disk:    map[string]Count{"xvda": {In: 1024, Out: 2048}},
		},
		7: {Network: map[string]Count{}, Disk: map[string]Count{"xvdq": {In: 0, Out: 512}}},
	}
	if got := m.Traffic(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestVdev(t *testing.T) {
	for number, want := range map[int]string{
		51712: "xvda", 51713: "xvda1", 51728: "xvdb", 202<<8 | 15<<4: "xvdp", 1<<28 | 16<<8: "xvdq",
		1<<28 | 26<<8: "xvdaa", 8<<8 | 16: "sdb", 3 << 8: "hda", 22<<8 | 64 | 2: "hdd2", 5: "5",
	} {
		if got := vdev(number); got != want {
			t.Errorf("%d: %s, want %s", number, got, want)
		}
	}
}

func TestHost(t *testing.T) {
	proc := fstest.MapFS{
		"uptime":  file("12.50 20.00\n"),
		"loadavg": file("0.25 0.10 0.01 1/100 123\n"),
		"meminfo": file("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:   50 kB\nSwapTotal: 10 kB\nSwapFree: 5 kB\n"),
	}
	want := Host{
		Uptime: 12500 * time.Millisecond, Load: 0.25, TotalKiB: 100, AvailableKiB: 50, SwapTotalKiB: 10, SwapFreeKiB: 5,
	}
	if got, err := ReadHost(proc); err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	proc["meminfo"] = file("MemTotal: x kB\n")
	if _, err := ReadHost(proc); err == nil {
		t.Error("no error")
	}
}

func FuzzParseDevice(f *testing.F) {
	f.Add("vif5.0")
	f.Add("vbd-5-51712")
	f.Fuzz(func(t *testing.T, name string) {
		for prefix, between := range map[string]string{"vif": ".", "vbd-": "-"} {
			domid, device, ok := parseDevice(name, prefix, between)
			if ok && (domid <= 0 || device < 0) {
				t.Errorf("%q: %d, %d", name, domid, device)
			}
		}
	})
}
