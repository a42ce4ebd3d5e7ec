package xen

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
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
	want := Host{TotalKiB: 1023 << 10, FreeKiB: 597 << 10, CPUs: 2, Version: "4.20.2", VirtCaps: []string{"pv", "hvm", "hap", "shadow", "gnttab-v1"}}
	if err != nil || !reflect.DeepEqual(host, want) {
		t.Errorf("%+v, %v", host, err)
	}
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

func TestGuestTypes(t *testing.T) {
	tests := []struct {
		caps    string
		pvh, pv bool
	}{
		{"pv", false, true},
		{"pv hvm hap", true, true},
		{"pv hvm shadow", true, true},
		{"pv hvm", false, true},
		{"hvm hap", true, false},
		{"pv shadow", false, true},
	}
	for _, test := range tests {
		host := Host{VirtCaps: strings.Fields(test.caps)}
		if host.PVH() != test.pvh || host.PV() != test.pv {
			t.Errorf("%s: PVH %v, PV %v", test.caps, host.PVH(), host.PV())
		}
	}
}

func TestReadHostSaysWhatXlSaid(t *testing.T) {
	_, err := ReadHost(t.Context(), func(context.Context, string, ...string) ([]byte, []byte, error) {
		return nil, []byte("xc: error: Could not obtain handle on privileged command interface (2 = No such file or directory): Internal error\n"), errors.New("exit status 1")
	})
	want := "xl info: Could not obtain handle on privileged command interface (2 = No such file or directory): Internal error (exit status 1)"
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

func TestBalloon(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target_kb")
	touch(t, target, "262144\n")
	touch(t, filepath.Join(dir, "info/current_kb"), "262140\n")
	touch(t, filepath.Join(dir, "meminfo"), "MemTotal:  200000 kB\nMemFree:  90000 kB\nMemAvailable:  150000 kB\n")
	b := &Balloon{dir: dir, meminfo: filepath.Join(dir, "meminfo")}
	if kib, err := b.AvailableKiB(); err != nil || kib != 150000 {
		t.Error(kib, err)
	}
	// The driver does its part while GiveUpKiB waits.
	go func() {
		for {
			if text, _ := os.ReadFile(target); string(text) == "162140" {
				_ = os.WriteFile(filepath.Join(dir, "info/current_kb"), []byte("162136\n"), 0o600)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if kib, err := b.GiveUpKiB(t.Context(), 100000); err != nil || kib != 100004 {
		t.Error(kib, err)
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
