package xen

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const info = `host                   : zerodisc
release                : 6.12.48+deb13-amd64
version                : #1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)
machine                : x86_64
nr_cpus                : 2
cpu_mhz                : 2400.012
virt_caps              : pv hvm hap shadow gnttab-v1
total_memory           : 1023
free_memory            : 597
xen_version            : 4.20.2
xen_caps               : xen-3.0-x86_64 hvm-3.0-x86_64
xen_commandline        : placeholder dom0_mem=256M,max:256M console=com1,vga
`

func TestParseInfo(t *testing.T) {
	host, err := parseInfo(strings.NewReader(info))
	want := Host{
		TotalKiB: 1023 << 10, FreeKiB: 597 << 10, CPUs: 2, Version: "4.20.2",
		VirtCaps: []string{"pv", "hvm", "hap", "shadow", "gnttab-v1"},
	}
	if err != nil || !reflect.DeepEqual(host, want) {
		t.Errorf("%+v, %v", host, err)
	}
}

// One xl info that fails, for want of memory say, refuses no guest.
func TestInfoTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		x := NewToolstack(func(context.Context, string, ...string) ([]byte, []byte, error) {
			if asked++; asked == 1 {
				return nil, nil, errors.New("signal: killed")
			}
			return []byte(info), nil, nil
		}, nil)
		host, err := x.Info(t.Context())
		if err != nil || host.FreeKiB != 597<<10 || asked != 2 {
			t.Errorf("%+v, %v, asked %d times", host, err, asked)
		}
	})
}

func TestParseInfoErrors(t *testing.T) {
	tests := []struct{ old, new, want string }{
		{"free_memory            : 597", "", `no line "free_memory"`},
		{": 597", ": much", `free_memory is "much", want a number`},
		{": 1023", ": -1", `total_memory is "-1"`},
		{": 1023", ": 9000000000000000000", "total_memory is"},
	}
	for _, test := range tests {
		_, err := parseInfo(strings.NewReader(strings.Replace(info, test.old, test.new, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.new, err, test.want)
		}
	}
}

func TestPVH(t *testing.T) {
	for caps, want := range map[string]bool{
		"pv":            false,
		"pv hvm hap":    true,
		"pv hvm shadow": true,
		"pv hvm":        false,
		"hvm hap":       true,
		"pv shadow":     false,
	} {
		if got := (Host{VirtCaps: strings.Fields(caps)}).PVH(); got != want {
			t.Errorf("%s: PVH %v, want %v", caps, got, want)
		}
	}
}

func TestInfoSaysWhatXlSaid(t *testing.T) {
	const said = "Could not obtain handle on privileged command interface " +
		"(2 = No such file or directory): Internal error"
	x := NewToolstack(func(context.Context, string, ...string) ([]byte, []byte, error) {
		return nil, []byte("xc: error: " + said + "\n"), errors.New("exit status 1")
	}, nil)
	_, err := x.Info(t.Context())
	want := "xl info: " + said + " (exit status 1)"
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add(info)
	f.Fuzz(func(t *testing.T, text string) {
		host, err := parseInfo(strings.NewReader(text))
		if err == nil && (host.TotalKiB < 0 || host.FreeKiB < 0) {
			t.Errorf("%+v", host)
		}
	})
}

// balloon returns a Balloon over files that look like those of dom0, and the name of its target.
func balloon(t *testing.T) (*Balloon, string) {
	dir := t.TempDir()
	touch(t, filepath.Join(dir, "target_kb"), "262144\n")
	touch(t, filepath.Join(dir, "info/current_kb"), "262140\n")
	touch(t, filepath.Join(dir, "meminfo"), "MemTotal:  200000 kB\nMemFree:  90000 kB\nMemAvailable:  150000 kB\n")
	b := &Balloon{dir: dir, meminfo: filepath.Join(dir, "meminfo"), patience: moveTime}
	return b, filepath.Join(dir, "target_kb")
}

// drive does the driver's part: once the target is asked for, dom0 has so much memory.
func drive(target, asked, current string) {
	now := filepath.Join(filepath.Dir(target), "info/current_kb")
	for range 10_000 {
		if text, _ := os.ReadFile(target); string(text) == asked {
			// A rename, because whoever reads must not find the file empty.
			_ = errors.Join(os.WriteFile(now+".new", []byte(current), 0o600), os.Rename(now+".new", now))
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestBalloon(t *testing.T) {
	b, target := balloon(t)
	if kib, err := b.AvailableKiB(); err != nil || kib != 150000 {
		t.Error(kib, err)
	}
	go drive(target, "162140", "162136\n")
	if kib, err := b.GiveUpKiB(t.Context(), 100000); err != nil || kib != 100004 {
		t.Error(kib, err)
	}
	go drive(target, "262136", "262140\n")
	if kib, err := b.TakeKiB(t.Context(), 100000); err != nil || kib != 100004 {
		t.Error(kib, err)
	}
}

// A driver that gives up less than it was asked for is not left trying.
func TestBalloonTimeout(t *testing.T) {
	b, target := balloon(t)
	b.patience = 200 * time.Millisecond
	go drive(target, "162140", "252140\n")
	kib, err := b.GiveUpKiB(t.Context(), 100000)
	if kib != 10000 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d KiB, %v", kib, err)
	}
	if text, _ := os.ReadFile(target); string(text) != "252140" {
		t.Errorf("target is %q, want what dom0 has", text)
	}
}

func FuzzParseAvailable(f *testing.F) {
	f.Add("MemTotal:  200000 kB\nMemAvailable:  150000 kB\n")
	f.Add("MemAvailable: x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if kib, err := parseAvailable(strings.NewReader(text)); err == nil && kib < 0 {
			t.Error(kib)
		}
	})
}
