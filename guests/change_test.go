package guests

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// resolved resolves a guest with that configuration.
func resolved(t *testing.T, source string) (*Resolved, Machine) {
	t.Helper()
	g := guestWith(t, "kernel = 'vmlinuz'\ntype = 'pv'\n"+source)
	d, err := g.Resolve(machine(g))
	if err != nil {
		t.Fatal(err)
	}
	return d, machine(g)
}

func TestWithDisk(t *testing.T) {
	d, m := resolved(t, "disk = [ 'disk.img,raw,xvda,rw' ]\n")
	for spec, want := range map[string]string{
		"disk.qcow2,qcow2,xvda,r":    "it has a disk xvda already",
		"disk.qcow2,qcow2,51712,r":   "it has a disk 51712 already", // xvda's number
		"nothing.img,raw,xvdb,r":     "disk xvdb is missing",
		"disk.img,qed,xvdb,r":        "needs a device model",
		"disk.img,raw,sub,r":         "not a device name",
		"disk.img,raw,xvdb,r\nextra": "a line break",
	} {
		if _, _, err := d.WithDisk(m, spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", spec, err)
		}
	}
	more, vdev, err := d.WithDisk(m, "disk.qcow2,qcow2,xvdb,r")
	if err != nil || vdev != "xvdb" {
		t.Fatal(vdev, err)
	}
	if len(d.Disks) != 1 || len(more.Disks) != 2 || more.Disks[1].Format != "qcow2" || more.Disks[1].Writable {
		t.Errorf("%+v, %+v", d.Disks, more.Disks)
	}
	text, name := more.WithDevices(map[string]string{"xvdb": "/dev/dm-1"}).DiskText("51728")
	if text != "vdev=xvdb,format=raw,access=r,target=/dev/dm-1" || name != "xvdb" {
		t.Errorf("%q, %q", text, name)
	}
	if less := more.WithoutDisk("51712"); len(less.Disks) != 1 || less.Disks[0].Vdev != "xvdb" || len(more.Disks) != 2 {
		t.Errorf("%+v, %+v", less.Disks, more.Disks)
	}
	if text, _ := more.WithoutDisk("xvda").DiskText("xvda"); text != "" {
		t.Error(text)
	}
	list, _ := more.Complete.List("disk")
	if len(list) != 2 {
		t.Errorf("what was changed has changed the guest: %v", list)
	}
}

// The numbers of interfaces, by which a guest names them, stay when one is taken away.
func TestWithVIF(t *testing.T) {
	d, m := resolved(t, "vif = [ '', 'devid=4' ]\n")
	more, mac, err := d.WithVIF(m, "rate=10Mb/s")
	if err != nil || len(more.MACs) != 3 || more.MACs[2] != mac || len(d.MACs) != 2 {
		t.Fatal(mac, err)
	}
	if want := []string{"rate=10Mb/s", "bridge=br7", "devid=1", "mac=" + mac}; !slices.Equal(more.VIFWords(mac), want) {
		t.Errorf("%q", more.VIFWords(mac))
	}
	for spec, want := range map[string]string{
		"mac=" + mac: "MAC address " + mac + " already", "devid=4": "with that devid already", "vlan=3": "VLANs",
	} {
		if _, _, err := more.WithVIF(m, spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", spec, err)
		}
	}
	less := more.WithoutVIF(d.MACs[0])
	if text := string(less.Bytes()); !strings.Contains(text, "devid=1,mac="+mac) || strings.Contains(text, d.MACs[0]) {
		t.Error(text)
	}
	again, other, err := less.WithVIF(m, "")
	if err != nil || !slices.Contains(again.VIFWords(other), "devid=0") || other != d.MACs[0] {
		t.Errorf("%q %v %q", other, err, again.VIFWords(other))
	}
}

func TestWithMemoryAndVCPUs(t *testing.T) {
	d, _ := resolved(t, "memory = 256\nvcpus = 2\n")
	less := d.WithMemory(128).WithVCPUs(1)
	text := string(less.Bytes())
	for _, want := range []string{`memory = "128"`, `maxmem = "256"`, `vcpus = "1"`, `maxvcpus = "2"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if less.NeedKiB() != d.NeedKiB()-128*1024 || d.Memory.RAM != 256*1024 {
		t.Errorf("%+v, %+v", less.Memory, d.Memory)
	}
}

func TestOverride(t *testing.T) {
	for _, test := range []struct {
		source   string
		override Override
		want     []string
		fault    string
	}{
		{"memory = 64\n", Override{MemoryMiB: 128, VCPUs: 2}, []string{`memory = "128"`, `vcpus = "2"`}, ""},
		{"maxmem = 100\nmaxvcpus = 1\n", Override{MemoryMiB: 128, VCPUs: 2}, []string{
			`maxmem = "128"`, `maxvcpus = "2"`,
		}, ""},
		{"maxmem = 500\n", Override{MemoryMiB: 128}, []string{"maxmem = 500"}, ""},
		{"", Override{MemoryMiB: 1 << 40}, nil, "memory = 1099511627776, which the host's configuration wants"},
		{"", Override{VCPUs: -1}, nil, "vcpus = -1"},
		{"vif = ['rate=1MB/s', '']\n", Override{Bridge: "lan", MAC: "52:54:00:00:00:07"}, []string{
			`"rate=1MB/s,bridge=lan,mac=52:54:00:00:00:07"`, `"bridge=br7,mac=00:16:3e:`,
		}, ""},
		{"vif = ['mac=00:16:3e:00:00:01']\n", Override{Bridge: "lan"}, []string{
			`"bridge=lan,mac=00:16:3e:00:00:01"`,
		}, ""},
		{"vif = ['']\n", Override{MAC: "01:00:00:00:00:00"}, nil, "is a multicast address"},
		{"", Override{Bridge: "lan"}, nil, "it has no network interface"},
	} {
		g := guestWith(t, "kernel = 'vmlinuz'\n"+test.source)
		g.Trusted, g.Override = false, test.override
		d, err := g.Resolve(machine(g))
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%v, want %s", err, test.fault)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(string(d.Bytes()), want) {
				t.Errorf("no %s in\n%s", want, d.Bytes())
			}
		}
	}
}

func TestSource(t *testing.T) {
	g := guestWith(t, "kernel = 'vmlinuz'\n")
	again, err := g.Source().Load()
	if err != nil || again.Name != "g" || !again.Trusted || again.Dir != g.Dir {
		t.Fatalf("%+v, %v", again, err)
	}
	if err := os.WriteFile(g.File, []byte("kernel ="), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = g.Source().Load()
	var fault *Error
	if !errors.As(err, &fault) {
		t.Fatal(err)
	}
	if at := fault.At("", true); at != g.Source() {
		t.Errorf("%+v, want %+v", at, g.Source())
	}
	if err := os.Remove(g.File); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Source().Load(); !errors.As(err, &fault) || fault.At("", false).Dir != g.Dir {
		t.Errorf("%v", err)
	}
	if err := os.RemoveAll(g.Dir); err != nil {
		t.Fatal(err)
	}
	_, err = g.Source().Load()
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "not there any more") {
		t.Errorf("%v", err)
	}
	// A link in the guest's directory does not lead out of its volume, later on either.
	outside := filepath.Join(t.TempDir(), "g.cfg")
	if err := errors.Join(os.WriteFile(outside, []byte("kernel = 'dom0'\n"), 0o644), os.Mkdir(g.Dir, 0o755),
		os.Symlink(outside, g.File)); err != nil {
		t.Fatal(err)
	}
	from := g.Source()
	from.Root = filepath.Dir(g.Dir)
	if _, err := from.Load(); err == nil || !strings.Contains(err.Error(), "leads out of the volume") {
		t.Errorf("%v", err)
	}
}

func FuzzWithDisk(f *testing.F) {
	f.Add("disk.img,raw,xvdb,rw")
	f.Add("vdev=xvdb,target=/dev/sda")
	g := &Guest{Name: "g", Dir: f.TempDir(), Config: &Config{}}
	d := &Resolved{Guest: g, Complete: &Config{}}
	f.Fuzz(func(t *testing.T, spec string) {
		more, vdev, err := d.WithDisk(Machine{}, spec)
		if err != nil {
			return
		}
		if text, name := more.DiskText(vdev); text == "" || name != vdev {
			t.Errorf("%q: %q, %q", spec, text, name)
		}
		if less := more.WithoutDisk(vdev); len(less.Disks) != 0 {
			t.Errorf("%q: %+v", spec, less.Disks)
		}
	})
}
