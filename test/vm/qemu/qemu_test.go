package qemu

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/console"
)

var someFiles = files{code: "code.fd", vars: "vars.fd", medium: "disc.iso"}

const defaults = "-nodefaults -no-user-config -machine pc,max-ram-below-4g=512M -m 1024 -smp 2" +
	" -vga std -accel tcg,thread=multi,tb-size=256"

func TestArgs(t *testing.T) {
	const (
		pv     = " -cpu qemu64,+rdrand"
		disc   = " -drive if=none,id=medium,format=raw,file=disc.iso,media=cdrom,readonly=on"
		cd     = disc + " -device ahci,id=ahci -device ide-cd,bus=ahci.0,drive=medium,bootindex=1"
		nic    = " -netdev user,id=net0 -device e1000,netdev=net0,mac=52:54:00:12:34:56,romfile="
		serial = " -serial stdio -display none"
	)
	tests := []struct {
		name    string
		machine Machine
		want    string
	}{
		{"default", Machine{}, defaults + pv + cd + nic + serial},
		{"a clock and a watchdog", Machine{Clock: "2001-01-01T00:00:00", Devices: []string{"i6300esb"}},
			defaults + pv + cd + nic + serial + " -rtc base=2001-01-01T00:00:00 -device i6300esb"},
		{"an identity", Machine{Identity: "serial=42"},
			defaults + pv + cd + nic + serial + " -smbios type=1,serial=42"},
		{"IDE", Machine{Medium: IDE}, defaults + pv + disc + " -device ide-cd,drive=medium,bootindex=1" + nic + serial},
		{"hardware virtualisation", Machine{CPU: PVH}, defaults + " -cpu qemu64,+rdrand,+svm,+npt" + cd + nic + serial},
		{"no NIC", Machine{NICs: []NIC{}}, defaults + pv + cd + " -nic none" + serial},
		{"two NICs", Machine{NICs: []NIC{{Model: "rtl8139", Net: NoServer}, {}}}, defaults + pv + cd +
			" -netdev hubport,id=net0,hubid=0 -device rtl8139,netdev=net0,mac=52:54:00:12:34:56,romfile=" +
			" -netdev user,id=net1 -device e1000,netdev=net1,mac=52:54:00:12:34:57,romfile=" + serial},
		{"wire", Machine{NICs: []NIC{{Net: Wire("/a,b")}}}, defaults + pv + cd +
			" -netdev dgram,id=net0,local.type=unix,local.path=/a,,b.machine,remote.type=unix,remote.path=/a,,b" +
			" -device e1000,netdev=net0,mac=52:54:00:12:34:56,romfile=" + serial},
		{"UEFI, stick", Machine{Firmware: UEFI, Medium: USB}, defaults + pv +
			" -drive if=pflash,unit=0,format=raw,readonly=on,file=code.fd" +
			" -drive if=pflash,unit=1,format=raw,file=vars.fd" +
			" -drive if=none,id=medium,format=raw,file=disc.iso" +
			" -device qemu-xhci -device usb-storage,id=stick,drive=medium,bootindex=1" +
			nic + serial},
		{"AHCI", Machine{Medium: SATA}, defaults + pv +
			" -drive if=none,id=medium,format=raw,file=disc.iso" +
			" -device ahci,id=ahci -device ide-hd,bus=ahci.0,drive=medium,bootindex=1" +
			nic + serial},
		{"NVMe", Machine{Medium: NVMe}, defaults + pv +
			" -drive if=none,id=medium,format=raw,file=disc.iso" +
			" -device nvme,serial=zerodisc,drive=medium,bootindex=1" +
			nic + serial},
		{"demo", Machine{Terminal: true, Window: true, Forwards: []Forward{{8016, "10.0.2.16", 80}}},
			defaults + pv + cd +
				" -netdev user,id=net0,hostfwd=tcp:127.0.0.1:8016-10.0.2.16:80" +
				" -device e1000,netdev=net0,mac=52:54:00:12:34:56,romfile= -serial mon:stdio"},
		{"PXE", Machine{Medium: PXE, BootFile: "a.0"}, defaults + pv +
			" -netdev user,id=net0,tftp=disc.iso,bootfile=a.0" +
			" -device e1000,netdev=net0,mac=52:54:00:12:34:56,bootindex=1" + serial},
		{"HTTP", Machine{Medium: HTTP, Firmware: UEFI, NICs: []NIC{{Model: "virtio-net-pci", Net: Tap("tap0")}}},
			defaults + pv +
				" -drive if=pflash,unit=0,format=raw,readonly=on,file=code.fd" +
				" -drive if=pflash,unit=1,format=raw,file=vars.fd" +
				" -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n" +
				" -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n" +
				" -netdev tap,id=net0,ifname=tap0,script=no,downscript=no" +
				" -device virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,bootindex=1,romfile=" + serial},
		{"controllers", Machine{
			Disks: []Disk{{File: "a,b", Device: "scsi-cd,wwn=1", On: []string{"qemu-xhci", "usb-bot"}}, {File: "c"}},
			NICs:  []NIC{{Model: "usb-net", On: []string{"usb-ehci"}}},
		}, defaults + pv + cd +
			" -drive if=none,id=disk0,format=raw,file=a,,b,media=cdrom,readonly=on" +
			" -device qemu-xhci -device usb-bot -device scsi-cd,wwn=1,drive=disk0" +
			" -drive if=none,id=disk1,format=raw,file=c -device virtio-blk-pci,drive=disk1" +
			" -netdev user,id=net0 -device usb-ehci -device usb-net,netdev=net0,mac=52:54:00:12:34:56" + serial},
		{"Multiboot", Machine{Multiboot: Multiboot{"xen", "dom0_mem=1,max:2", []string{"vmlinuz a=b,c", "initrd"}}},
			defaults + pv + " -kernel xen -append dom0_mem=1,max:2 -initrd vmlinuz a=b,,c,initrd" + nic + serial},
		{"KVM", Machine{Accel: KVM, Board: "q35", MemoryMiB: 512, CPUs: 1},
			"-nodefaults -no-user-config -machine q35 -m 512 -smp 1 -vga std -accel kvm -cpu host" + cd + nic + serial},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args, err := test.machine.args(someFiles)
			if got := strings.Join(args, " "); err != nil || got != test.want {
				t.Errorf("args (%v):\n%s\nwant\n%s", err, got, test.want)
			}
		})
	}
}

func TestArgsRefuseWhatIsUnknown(t *testing.T) {
	for _, m := range []Machine{
		{Firmware: "coreboot"}, {Medium: "floppy"}, {CPU: "z80"}, {Accel: "hvf"},
		{NICs: []NIC{{Net: "carrier pigeon"}}},
	} {
		if args, err := m.args(someFiles); err == nil {
			t.Errorf("%+v was accepted: %q", m, args)
		}
	}
}

func TestCommasInFileNames(t *testing.T) {
	args, err := Machine{}.args(files{medium: "a,b.iso"})
	if err != nil || !slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "file=a,,b.iso,") }) {
		t.Errorf("args %q, %v", args, err)
	}
}

func TestQuote(t *testing.T) {
	got := Quote([]string{"qemu", "-cpu", "qemu64,+svm", "a b", "it's", ""})
	if want := `qemu -cpu qemu64,+svm 'a b' 'it'\''s' ''`; got != want {
		t.Errorf("Quote: %s, want %s", got, want)
	}
}

func TestParseAccel(t *testing.T) {
	if a, err := ParseAccel("tcg", Emulator{}); err != nil || a != TCG {
		t.Errorf("tcg: %q, %v", a, err)
	}
	if _, err := ParseAccel("fast", Emulator{}); err == nil {
		t.Error("an unknown accelerator was accepted")
	}
}

func TestProbeReadsTheFirmwareLog(t *testing.T) {
	if !contains(strings.NewReader("SeaBIOS\nBooting...\nNo bootable device.  Retrying\n"), "No bootable device") {
		t.Error("a firmware that came up was not seen")
	}
	if contains(strings.NewReader("SeaBIOS\n"), "No bootable device") {
		t.Error("a firmware that hangs was taken for one that came up")
	}
}

func TestFindOVMF(t *testing.T) {
	touch := func(dir string, names ...string) string {
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	both := touch(t.TempDir(), "OVMF_CODE.fd", "OVMF_VARS.fd", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")
	small := touch(t.TempDir(), "OVMF_CODE.fd", "OVMF_VARS.fd")
	half := touch(t.TempDir(), "OVMF_CODE_4M.fd")
	tests := []struct {
		name string
		dirs []string
		want string
	}{
		{"4M first", []string{both}, filepath.Join(both, "OVMF_CODE_4M.fd")},
		{"only 2M", []string{small}, filepath.Join(small, "OVMF_CODE.fd")},
		{"a half does not count", []string{half, small}, filepath.Join(small, "OVMF_CODE.fd")},
		{"none", []string{half}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, err := findOVMF(test.dirs)
			if (err != nil) != (test.want == "") || err == nil && code != test.want {
				t.Errorf("findOVMF: %q, %v, want %q", code, err, test.want)
			}
		})
	}
}

func TestPrepareCopiesTheStick(t *testing.T) {
	dir := t.TempDir()
	iso := filepath.Join(dir, "disc.iso")
	if err := os.WriteFile(iso, []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Machine{ISO: iso, Medium: USB}.prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(f.medium); err != nil || f.medium == iso || info.Size() != DiskSize {
		t.Errorf("stick %s: %v, %v", f.medium, info, err)
	}
	_, err = (Machine{ISO: filepath.Join(dir, "missing.iso")}).prepare(dir)
	if err == nil || !strings.Contains(err.Error(), "make iso") {
		t.Errorf("missing image: %v", err)
	}
}

// fakeQEMU answers every QMP command but "fail", with an event before each answer.
func fakeQEMU(conn net.Conn) {
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	_ = out.Encode(map[string]any{"QMP": map[string]any{}})
	for {
		var command struct{ Execute string }
		if in.Decode(&command) != nil {
			return
		}
		_ = out.Encode(map[string]any{"event": "RTC_CHANGE"})
		if command.Execute == "fail" {
			_ = out.Encode(map[string]any{"error": map[string]any{"desc": "no such device"}})
			continue
		}
		_ = out.Encode(map[string]any{"return": map[string]any{"command": command.Execute}})
	}
}

func TestQMP(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	_ = ours.SetDeadline(time.Now().Add(10 * time.Second))
	go fakeQEMU(theirs)
	q, err := newQMP(ours)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := q.execute("query-status", nil); err != nil || string(out) != `{"command":"query-status"}` {
		t.Errorf("query-status: %s, %v", out, err)
	}
	if _, err := q.execute("fail", nil); err == nil || !strings.Contains(err.Error(), "QMP fail: no such device") {
		t.Errorf("fail: %v", err)
	}
}

func TestShellOutput(t *testing.T) {
	begin, end := sentinel("begin", 1), sentinel("end", 1)
	tests := []struct {
		name, console, want string
	}{
		{"plain", "# echo zd-\"\"begin-1-; ls; echo zd-\"\"end-1-\nzd-begin-1-\na\nb\nzd-end-1-\n# ", "a\nb"},
		{"nothing", "zd-begin-1-\nzd-end-1-\n", ""},
		{"no line feed at the end", "zd-begin-1-\na\nbzd-end-1-\n", "a\nb"},
		{"others in between", "zd-begin-1-\na\n[    1.234567] usb\nlevel=INFO msg=x\n(XEN) y\nb\nzd-end-1-\n", "a\nb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log := console.NewLog()
			_, _ = log.Write([]byte(test.console))
			if got := between(log.Since(0), begin.printed, end.printed); got != test.want {
				t.Errorf("output %q, want %q", got, test.want)
			}
		})
	}
	if begin.printed.MatchString(begin.typed) {
		t.Error("the typed sentinel looks like the printed one")
	}
}

func TestFreePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if port, err := FreePort(taken); err != nil || port == taken {
		t.Errorf("FreePort(%d) = %d, %v, but it is taken", taken, port, err)
	}
}
