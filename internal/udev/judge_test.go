package udev

import (
	"bufio"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// judged are properties on which systemd's udevadm and this package have to agree, by the builtin that sets them.
var judged = map[string]func(key string) bool{
	"path_id": func(key string) bool { return strings.HasPrefix(key, "ID_PATH") },
	"usb_id": func(key string) bool {
		return strings.HasPrefix(key, "ID_USB_") || slices.Contains([]string{
			"ID_BUS", "ID_MODEL", "ID_MODEL_ENC", "ID_MODEL_ID", "ID_SERIAL", "ID_SERIAL_SHORT", "ID_VENDOR",
			"ID_VENDOR_ENC", "ID_VENDOR_ID", "ID_REVISION", "ID_TYPE", "ID_INSTANCE",
		}, key)
	},
	"net_id": func(key string) bool {
		return strings.HasPrefix(key, "ID_NET_NAME_") || key == "ID_NET_LABEL_ONBOARD"
	},
}

// TestAgainstUdevadm has systemd's udevadm look at the same machine, whose sysfs is mounted in place of the real one.
func TestAgainstUdevadm(t *testing.T) {
	if _, err := exec.LookPath("udevadm"); err != nil {
		t.Skip(err)
	}
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		fakeMachine(t)
		for _, f := range fixtures {
			for builtin, concerns := range judged {
				if applies(builtin, f) {
					compareBuiltin(t, f, builtin, concerns)
				}
			}
		}
	})
}

// applies says whether udev's rules use a builtin for a device, and this package does what it does.
func applies(builtin string, f fixture) bool {
	if f.subsystem == "block" && (strings.HasPrefix(f.path, "virtual") || strings.Contains(f.uevent, "partition")) {
		return false
	}
	switch builtin {
	case "path_id":
		return rules[f.subsystem] != nil && f.path != "virtual/net/lo" && path.Base(f.path) != "ttyS4"
	case "usb_id":
		return strings.Contains(f.uevent, "usb_device") || strings.Contains(f.path, "/usb1/") &&
			(f.subsystem == "block" || f.subsystem == "net" || f.subsystem == "tty")
	}
	return f.subsystem == "net"
}

// fakeMachine mounts the machine's sysfs, and what udevadm must not find of the real one.
func fakeMachine(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"/sys", "/run"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
			t.Fatal(err)
		}
	}
	writeTree(t, machine(), "/sys")
	t.Setenv("SYSTEMD_DEVICE_VERIFY_SYSFS", "0")
	t.Setenv("NET_NAMING_SCHEME", "v252")
}

func compareBuiltin(t *testing.T, f fixture, builtin string, concerns func(string) bool) {
	t.Helper()
	out, err := exec.Command("udevadm", "test-builtin", builtin, "/sys/devices/"+f.path).Output()
	if err != nil && len(out) > 0 {
		t.Errorf("udevadm: %v", err)
	}
	want := Properties{}
	for line := range strings.Lines(string(out)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && concerns(key) {
			want.Set(key, value)
		}
	}
	known := newRecords()
	said := describe(t, f, known)
	got := Properties{}
	for _, pair := range said.properties {
		if key, value, _ := strings.Cut(pair, "="); concerns(key) && !notUSB(builtin, key, said) {
			got.Set(key, value)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s of %s: got\n  %s\nwant\n  %s", builtin, f.path,
			strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// notUSB leaves out what others have set.
func notUSB(builtin, key string, said *record) bool {
	return builtin == "usb_id" && said.properties.Get("ID_BUS") != "usb" && !strings.HasPrefix(key, "ID_USB_")
}

// TestRulesAgainstUdevadm compares the links that udev's default rules make with those of this package, as far as they
// do not need the devices themselves.
func TestRulesAgainstUdevadm(t *testing.T) {
	if _, err := exec.LookPath("udevadm"); err != nil {
		t.Skip(err)
	}
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		fakeMachine(t)
		if err := unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod("/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"sdb", "nvme0n1", "vda", "mmcblk0", "ttyUSB0", "sdd"} {
			f := find(t, name, map[bool]string{true: "tty", false: "block"}[name == "ttyUSB0"])
			want := udevadmLinks(t, f)
			e := f.event(t)
			b := &builder{attrs: newAttributes(machine()), event: e, known: newRecords()}
			got := build(b).links
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: got\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		}
	})
}

// udevadmLinks returns the links that udevadm would make for a device.
func udevadmLinks(t *testing.T, f fixture) []string {
	t.Helper()
	out, err := exec.Command("udevadm", "test", "--action=add", "/sys/devices/"+f.path).Output()
	if err != nil {
		t.Fatalf("udevadm test: %v", err)
	}
	_ = os.RemoveAll("/dev/disk")
	var links []string
	for line := range strings.Lines(string(out)) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVLINKS="); ok {
			for link := range strings.FieldsSeq(list) {
				links = append(links, strings.TrimPrefix(link, "/dev/"))
			}
		}
	}
	slices.Sort(links)
	return links
}

// TestUdevadmReadsTheDatabase has systemd's udevadm read what a manager has written.
func TestUdevadmReadsTheDatabase(t *testing.T) {
	if _, err := exec.LookPath("udevadm"); err != nil {
		t.Skip(err)
	}
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		fakeMachine(t)
		if err := unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		for name, number := range map[string]uint64{"null": unix.Mkdev(1, 3), "sda1": unix.Mkdev(8, 1)} {
			kind := map[bool]uint32{true: unix.S_IFCHR, false: unix.S_IFBLK}[name == "null"]
			if err := unix.Mknod("/dev/"+name, kind|0o666, int(number)); err != nil {
				t.Fatal(err)
			}
		}
		m := New(Config{
			Sys: os.DirFS("/sys"), Dev: "/dev", Run: RunDir, Ask: answerOf, Announce: func([]byte) {},
			AddNames: func(int, []string) error { return nil },
		})
		go m.Run(t.Context())
		handled := make(chan uevent.Event)
		for _, f := range fixtures {
			if f.subsystem == "block" {
				m.Handle(f.event(t), func(e uevent.Event) { handled <- e })
				<-handled
			}
		}
		out, err := exec.Command("udevadm", "info", "-q", "property", "-n", "/dev/disk/by-label/ESP\\x201").Output()
		if err != nil {
			t.Fatalf("udevadm info: %v", err)
		}
		got := Properties(strings.Split(strings.TrimSpace(string(out)), "\n"))
		for _, pair := range []string{
			"DEVNAME=/dev/sda1", "ID_FS_UUID=1A2B-3C4D", "ID_PART_ENTRY_NUMBER=1", "ID_SERIAL=QEMU_HARDDISK_QM00005",
			"PARTN=1", "DEVPATH=/devices/" + sata + "/block/sda/sda1",
		} {
			if !slices.Contains(got, pair) {
				t.Errorf("udevadm does not say %s:\n%s", pair, out)
			}
		}
		want := describeAll(t)["sda1"]
		if links := strings.Fields(got.Get("DEVLINKS")); len(links) != len(want.links) ||
			!slices.Contains(links, "/dev/disk/by-partlabel/EFI\\x20System\\x2f1") {
			t.Errorf("udevadm's links: %q", links)
		}
	})
}

// describeAll describes the block devices, by name.
func describeAll(t *testing.T) map[string]*record {
	all, known := map[string]*record{}, newRecords()
	for _, f := range fixtures {
		if f.subsystem == "block" {
			all[path.Base(f.path)] = describe(t, f, known)
		}
	}
	return all
}

// TestUdevadmHearsOfEvents has systemd's udevadm listen, with a filter in the kernel that looks at the hashes.
func TestUdevadmHearsOfEvents(t *testing.T) {
	if _, err := exec.LookPath("udevadm"); err != nil {
		t.Skip(err)
	}
	testns.RunAsRoot(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, func(t *testing.T) {
		fakeMachine(t)
		announce, err := Announcer()
		if err != nil {
			t.Fatal(err)
		}
		monitor := exec.Command("udevadm", "monitor", "--udev", "--property", "--subsystem-match=block/partition")
		out, err := monitor.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := monitor.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var heard []string
		for lines.Scan() { // "monitor will print ...", a line for the source, an empty line
			if lines.Text() == "" {
				break
			}
		}
		for _, name := range []string{"sda", "sda1"} {
			rec := describeAll(t)[name]
			announce(Message("block", rec.event.DevType, announcement(rec.event, rec, "1")))
		}
		for lines.Scan() && lines.Text() != "" {
			heard = append(heard, lines.Text())
		}
		_ = monitor.Process.Kill()
		_ = monitor.Wait()
		for _, want := range []string{
			"ACTION=add", "DEVNAME=/dev/sda1", "SEQNUM=77", "ID_FS_LABEL_ENC=ESP\\x201", "USEC_INITIALIZED=1",
		} {
			if !slices.Contains(heard, want) {
				t.Errorf("udevadm does not say %s:\n%s", want, strings.Join(heard, "\n"))
			}
		}
	})
}
