package guests

import (
	"flag"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// guestWith loads a guest called g with the given configuration, beside the files that the
// configurations of the tests name.
func guestWith(t *testing.T, source string) *Guest {
	t.Helper()
	root := tree(t, map[string]string{
		"g/g.cfg": source, "g/vmlinuz": "", "g/initrd.img": "", "g/disk.img": "",
		"g/disk.qcow2": "", "g/install.iso": "", "g/sub/": "",
		"boot/vmlinuz-guest": "", "boot/initrd-guest": "", "dom0/vmlinuz": "",
	})
	// A configuration that names files outside its directory names them in the test's tree.
	source = strings.ReplaceAll(source, "'/boot/", "'"+root+"/boot/")
	if err := os.WriteFile(filepath.Join(root, "g/g.cfg"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	guest, err := Load(filepath.Join(root, "g"))
	if err != nil {
		t.Fatal(err)
	}
	guest.Trusted = true
	return guest
}

// machine is one with hardware virtualisation. Its kernel lies in the tree guestWith made.
func machine(g *Guest) Machine {
	return Machine{HVM: true, Kernel: filepath.Join(g.Dir, "../dom0/vmlinuz"), Bridge: "br7", Seed: "seed"}
}

// TestResolveGolden compares what is handed to xl with testdata/resolve/*.golden.
func TestResolveGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/resolve/*.cfg")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples:", err)
	}
	for _, file := range append(files, "tty1/tty1.cfg") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			guest := guestWith(t, string(source))
			domain, err := guest.Resolve(machine(guest))
			if err != nil {
				t.Fatal(err)
			}
			again := mustParse(t, string(domain.Bytes()))
			if !reflect.DeepEqual(plainSettings(again), plainSettings(domain.Complete)) {
				t.Errorf("read back as %v", again)
			}
			got := strings.ReplaceAll(string(domain.Bytes()), filepath.Dir(guest.Dir), "ROOT")
			golden := "testdata/resolve/" + strings.TrimSuffix(filepath.Base(file), ".cfg") + ".golden"
			compareGolden(t, golden, got)
		})
	}
}

func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update rewrites it)\ngot\n%s\nwant\n%s", golden, got, want)
	}
}

func TestResolveLeavesGuestAlone(t *testing.T) {
	guest := guestWith(t, "kernel='vmlinuz'; disk=['disk.img,raw,xvda']; vif=['']")
	before := string(guest.Config.Render())
	if _, err := guest.Resolve(machine(guest)); err != nil {
		t.Fatal(err)
	}
	if after := string(guest.Config.Render()); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

func TestType(t *testing.T) {
	for _, test := range []struct {
		source string
		hvm    bool
		qemu   string
		want   Type   // or
		fault  string // part of the error
	}{
		{"", true, "", PVH, ""},
		{"", false, "", PV, ""},
		{"pci=['1:0.0']", true, "", PV, ""},
		{"firmware='pvgrub64'", true, "", "", "g.cfg:2:10: there is a kernel and a firmware; keep one of them"},
		{"vnc=0", true, "", PVH, ""},
		{"vnc=1", true, "/qemu", PV, ""},
		{"vnc=1", true, "", "",
			"g.cfg:2:5: vnc needs a device model (QEMU), which is not on this disc; remove vnc; xl console"},
		{"type='pvh';vnc=1", true, "/qemu", "", "g.cfg:2:16: PVH guests have no framebuffer, which vnc is for"},
		{"type='pv'", true, "", PV, ""},
		{"type='pvh'", true, "", PVH, ""},
		{"builder='generic'", true, "", PV, ""},
		{"type='hvm'", true, "/qemu", HVM, ""},
		{"builder='hvm'", true, "/qemu", HVM, ""},
		{"type='hvm';builder='hvm'", true, "/qemu", HVM, ""},
		{"type='pvh'", false, "", "",
			"g.cfg:2:6: PVH guests need hardware virtualisation, which this machine does not offer; " +
				"switch on VT-x or AMD-V"},
		{"type='hvm'", false, "/qemu", "", "g.cfg:2:6: HVM guests need hardware virtualisation"},
		{"builder='hvm'", false, "/qemu", "", "g.cfg:2:9: HVM guests need hardware virtualisation"},
		{"builder='hvm'", false, "", "", "g.cfg:2:9: HVM guests need an emulated PC (QEMU), which is not on this disc"},
		{"type='hvm'", true, "", "", "g.cfg:2:6: HVM guests need an emulated PC"},
		{"type='pv'\nbuilder='hvm'", true, "/qemu", "", `g.cfg:3:9: builder = "hvm" contradicts type = "pv"`},
		{"type='kvm'", true, "", "", `g.cfg:2:6: type = "kvm" is not a type of guest`},
		{"builder='linux'", true, "", "", `g.cfg:2:9: builder = "linux" is not a type of guest`},
		{"type=['pv']", true, "", "", "g.cfg:2:6: type is a list"},
	} {
		guest := guestWith(t, "kernel='vmlinuz'\n"+test.source)
		host := machine(guest)
		host.HVM, host.DeviceModel = test.hvm, test.qemu
		domain, err := guest.Resolve(host)
		switch {
		case err != nil:
			if test.fault == "" || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%q: got %v, want %s", test.source, err, test.fault)
			}
		case test.fault != "" || domain.Type != test.want:
			t.Errorf("%q: got %s, want %s%s", test.source, domain.Type, test.want, test.fault)
		}
	}
}

// TestRefusals pins the text a person reads, DIR for the guest's directory.
func TestRefusals(t *testing.T) {
	const (
		putFile = "; put the file there or correct the name"
		noQEMU  = " needs a device model (QEMU), which is not on this disc"
		convert = "; convert the image once with qemu-img convert -O qcow2 OLD NEW.qcow2 and write NEW.qcow2,qcow2,VDEV"
	)
	for _, test := range []struct{ source, want string }{
		{"memory=96", `DIR/g.cfg: there is no kernel; write kernel = "FILE", or kernel = "dom0" for dom0's own kernel`},
		{"kernel='bzImage'", "DIR/g.cfg:1:8: kernel is missing: there is no file DIR/bzImage" + putFile},
		{"kernel='/gone/bzImage'", "DIR/g.cfg:1:8: kernel is missing: there is no file /gone/bzImage" + putFile},
		{"kernel=''", "DIR/g.cfg:1:8: kernel names no file; name a file, or remove it"},
		{"kernel='sub'", "DIR/g.cfg:1:8: kernel names a directory: DIR/sub; name a file"},
		{"kernel='vmlinuz/x'",
			"DIR/g.cfg:1:8: kernel cannot be used: stat DIR/vmlinuz/x: not a directory; check the medium it is on"},
		{"kernel='vmlinuz'\nramdisk='../initrd'",
			"DIR/g.cfg:2:9: ramdisk is missing: there is no file ROOT/initrd" + putFile},
		{"bootloader='pygrub'",
			`DIR/g.cfg:1:12: the boot loader "pygrub" is not on this disc; ` +
				"copy the kernel and the initrd out of the guest's disk and name them as kernel and ramdisk"},
		{"bootloader='/usr/bin/pygrub'",
			"DIR/g.cfg:1:12: bootloader is missing: there is no file /usr/bin/pygrub" + putFile},
		{"kernel='vmlinuz'\ndisk=['disk.img,raw,xvda',\n'swap.img,raw,xvdb']",
			"DIR/g.cfg:3:1: disk xvdb is missing: there is no file DIR/swap.img" + putFile},
		{"kernel='vmlinuz'\ndisk=['disk.qed,qed,xvda']",
			"DIR/g.cfg:2:7: the disk format qed" + noQEMU + convert},
		{"kernel='vmlinuz'\ndisk=['qcow:disk.qcow,xvda,w']",
			"DIR/g.cfg:2:7: the disk format qcow" + noQEMU + convert},
		{"kernel='vmlinuz'\ndisk=['backendtype=standalone,vdev=xvda,target=disk.img']",
			"DIR/g.cfg:2:7: the disk backend standalone" + noQEMU + convert},
		{"kernel='vmlinuz'\ndisk=['disk.img,xvda,w']",
			`DIR/g.cfg:2:7: disk "disk.img,xvda,w": "xvda" is not a value of format; ` +
				"write raw, qcow, qcow2, vhd, vmdk, qed, empty"},
		{"kernel='vmlinuz'\ndisk='disk.img,raw,xvda'",
			"DIR/g.cfg:2:6: disk is a single value but has to be a list; write disk = [ '...' ]"},
		{"kernel='vmlinuz'\nvif=''",
			"DIR/g.cfg:2:5: vif is a single value but has to be a list; write vif = [ '...' ]"},
		{"kernel='vmlinuz'\nvif=[['mac=x']]",
			"DIR/g.cfg:2:6: vif holds a list inside the list; write vif = [ '...', '...' ]"},
		{"kernel='vmlinuz'\nvfb=['vnc=1']",
			"DIR/g.cfg:2:6: vfb" + noQEMU + "; remove vfb; xl console reaches the guest's console"},
		{"firmware='pvgrub64'",
			`DIR/g.cfg:1:10: the boot loader "pvgrub64" is not on this disc; ` +
				"name a kernel and a ramdisk in place of it"},
		{"kernel='vmlinuz'\np9=['tag=x,path=/srv,type=xen_9pfsd']",
			"DIR/g.cfg:2:5: p9 needs a device model (QEMU) or xen-9pfsd, which is not on this disc; " +
				"remove p9; give the guest a disk"},
		{"kernel='vmlinuz'\nusbctrl=['version=2']", "DIR/g.cfg:2:10: usbctrl" + noQEMU + "; remove usbctrl"},
		{"kernel='vmlinuz'\nvkb=['backend-type=linux']", "DIR/g.cfg:2:6: vkb" + noQEMU + "; remove vkb"},
		{"kernel='vmlinuz'\nvsnd=[['card,short-name=x','pcm']]",
			"DIR/g.cfg:2:7: vsnd needs a sound backend (snd_be), which is not on this disc; remove vsnd"},
		{"kernel='vmlinuz'\nvdispl=['backend=0,connectors=a:1x1']",
			"DIR/g.cfg:2:9: vdispl needs a display backend (displ_be), which is not on this disc; remove vdispl"},
		{"kernel='vmlinuz'\npvshim=1",
			"DIR/g.cfg:2:8: pvshim needs xen-shim, which is not on this disc; " +
				`write type = "pv" in place of it, or name a file with pvshim_path`},
		{"kernel='vmlinuz'\ndisk=['iscsi:iqn.x,xvda,w']",
			"DIR/g.cfg:2:7: disk xvda needs the script block-iscsi, which is not on this disc; " +
				"remove it; the only script here is block"},
		{"kernel='vmlinuz'\ndisk=['script=block-rbd,vdev=xvda,target=x']",
			"DIR/g.cfg:2:7: disk xvda needs the script block-rbd, which is not on this disc; " +
				"remove it; the only script here is block"},
		{"kernel='vmlinuz'\non_crash='stop'",
			`DIR/g.cfg:2:10: xl does not know on_crash = "stop"; ` +
				"write destroy, restart, rename-restart, preserve, coredump-destroy, coredump-restart, soft-reset"},
		{"kernel='vmlinuz'\ntype='pv'\ntimer_mode=1", "DIR/g.cfg:3:12: PV guests have no timer_mode; remove it"},
		{"kernel='vmlinuz'\nmemory='96M'",
			`DIR/g.cfg:2:8: memory = "96M" is not a number; ` +
				"write memory = NUMBER (0x... is hexadecimal, a leading 0 octal)"},
		{"kernel='vmlinuz'\nmemory=0", "DIR/g.cfg:2:8: memory = 0 is out of bounds; give a number from 1 to 16777216"},
		{"kernel='vmlinuz'\nmemory=512\nmaxmem=256",
			"DIR/g.cfg:2:8: maxmem is less than memory; raise maxmem or remove it"},
		{"kernel='vmlinuz'\nvcpus=4\nmaxvcpus=2",
			"DIR/g.cfg:3:10: maxvcpus is less than vcpus; raise maxvcpus or remove it"},
	} {
		guest := guestWith(t, test.source)
		_, err := guest.Resolve(machine(guest))
		if err == nil {
			t.Errorf("%q: not refused", test.source)
			continue
		}
		got := strings.ReplaceAll(err.Error(), guest.Dir, "DIR")
		got = strings.ReplaceAll(got, filepath.Dir(guest.Dir), "ROOT")
		if got != test.want {
			t.Errorf("%q\ngot  %s\nwant %s", test.source, got, test.want)
		}
		if fault := err.(*Error); fault.Guest != "g" {
			t.Errorf("%q: guest %q", test.source, fault.Guest)
		}
	}
}

// What a disc is made of is the guest's directory: what lies beside it exists where the disc is made, not
// where it runs.
func TestElsewhere(t *testing.T) {
	const (
		outside = " lies outside of the guest's directory, which is all that goes onto the disc: "
		remedy  = "; put the file into the guest's directory"
	)
	for _, test := range []struct{ source, want string }{
		{"kernel='../dom0/vmlinuz'", "DIR/g.cfg:1:8: kernel" + outside + "../dom0/vmlinuz" + remedy},
		{"kernel='sub/../../g/vmlinuz'", "DIR/g.cfg:1:8: kernel" + outside + "sub/../../g/vmlinuz" + remedy},
		{"kernel='dom0'\ndisk=['../g/disk.img,raw,xvda']",
			"DIR/g.cfg:2:7: disk xvda" + outside + "../g/disk.img" + remedy},
		{"kernel='../gone'", "DIR/g.cfg:1:8: kernel" + outside + "../gone" + remedy},
		{"kernel='gone'",
			"DIR/g.cfg:1:8: kernel is missing: there is no file DIR/gone; put the file there or correct the name"},
		{"kernel='sub/../vmlinuz'; ramdisk='./initrd.img'; disk=['/srv/gone.img,raw,xvda','phy:vg/lv,xvdb,w']", ""},
	} {
		guest := guestWith(t, test.source)
		host := machine(guest)
		host.Elsewhere = true
		got := ""
		if _, err := guest.Resolve(host); err != nil {
			got = strings.ReplaceAll(err.Error(), guest.Dir, "DIR")
		}
		if got != test.want {
			t.Errorf("%q\ngot  %s\nwant %s", test.source, got, test.want)
		}
	}
	// On the machine itself a file is where it is.
	guest := guestWith(t, "kernel='../dom0/vmlinuz'")
	if _, err := guest.Resolve(machine(guest)); err != nil {
		t.Error(err)
	}
}

func TestNoDom0Kernel(t *testing.T) {
	guest := guestWith(t, "kernel='dom0'")
	_, err := guest.Resolve(Machine{})
	if err == nil || !strings.Contains(err.Error(), "g.cfg:1:8: dom0's kernel is not available") {
		t.Errorf("got %v", err)
	}
}

// With a device model, what needs one is let through.
func TestDeviceModel(t *testing.T) {
	guest := guestWith(t, "type='hvm'; disk=['disk.img,qcow2,xvda']; vfb=['vnc=1']")
	host := machine(guest)
	host.DeviceModel = "/qemu"
	if _, err := guest.Resolve(host); err != nil {
		t.Error(err)
	}
}

func TestMAC(t *testing.T) {
	seen := map[string]bool{}
	for _, seed := range []string{"", "a", "b"} {
		for _, guest := range []string{"tty1", "tty2"} {
			for index := range 3 {
				mac := MAC(seed, guest, index)
				parsed, err := net.ParseMAC(mac)
				if err != nil || seen[mac] || !strings.HasPrefix(mac, "00:16:3e:") || len(parsed) != 6 {
					t.Errorf("%q %q %d: %s, %v", seed, guest, index, mac, err)
				}
				seen[mac] = true
			}
		}
	}
	// A changed address would cost every guest its DHCP lease.
	if got, want := MAC("seed", "tty1", 0), "00:16:3e:27:8e:2e"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The demo's guests are what people copy: both have to run on either kind of machine, alike.
func TestDemo(t *testing.T) {
	for _, name := range []string{"tty1", "tty2"} {
		source, err := os.ReadFile(filepath.Join(name, name+".cfg"))
		if err != nil {
			t.Fatal(err)
		}
		for want, hvm := range map[Type]bool{PVH: true, PV: false} {
			guest := guestWith(t, string(source))
			host := machine(guest)
			host.HVM = hvm
			domain, err := guest.Resolve(host)
			if err != nil {
				t.Fatal(err)
			}
			if guest.Name != name || domain.Type != want || domain.MemoryKiB() != 96<<10 || len(domain.MACs) != 1 {
				t.Errorf("got %+v", domain)
			}
		}
	}
}
