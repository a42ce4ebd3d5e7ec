package udevadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/sysfs"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/internal/udev"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// call runs the command on a machine and returns what it prints.
func call(t *tool, args ...string) (stdout, stderr string, status int) {
	var out, errs bytes.Buffer
	c := *t
	c.stdout = &out
	status = c.main(args, &errs)
	return out.String(), errs.String(), status
}

// fixture is a machine with a disk, a partition on it that the device manager knows, and a network card.
func fixture(t *testing.T) *tool {
	t.Helper()
	dir := t.TempDir()
	const (
		ahci = "devices/pci0000:00/0000:00:01.0"
		lan  = "devices/pci0000:00/0000:00:02.0"
		disk = ahci + "/block/sda"
	)
	for name, content := range map[string]string{
		ahci + "/uevent":           "DRIVER=ahci\nPCI_ID=8086:2922\n",
		ahci + "/vendor":           "0x8086\n",
		ahci + "/rescan":           "",
		lan + "/uevent":            "PCI_ID=8086:100E\n",
		lan + "/vendor":            "0x8086\n",
		lan + "/label":             "LAN \x1b[2J\n",
		lan + "/net/eth0/uevent":   "INTERFACE=eth0\nIFINDEX=2\n",
		disk + "/uevent":           "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\nDISKSEQ=9\n",
		disk + "/queue/rotational": "1\n",
		disk + "/sda1/uevent":      "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\nPARTNAME=x\x1b[2J\n",
		"bus/pci/uevent":           "",
		"../run/data/b8:1":         "S:disk/by-label/it's\nL:-100\nI:5\nE:ID_FS_TYPE=ext4\nE:ID_FS_LABEL=it's\nV:1\n",
		"../dev/none":              "",
	} {
		at := filepath.Join(dir, "sys", name)
		err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(content), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "sys", ahci, "rescan"), 0o200); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"class/block/sda": disk, "class/block/sda1": disk + "/sda1", "class/net/eth0": lan + "/net/eth0",
		"dev/block/8:0": disk, "dev/block/8:1": disk + "/sda1",
		"bus/pci/devices/0000:00:01.0": ahci, "bus/pci/devices/0000:00:02.0": lan,
		disk + "/subsystem": "class/block", disk + "/sda1/subsystem": "class/block",
		ahci + "/subsystem": "bus/pci", lan + "/subsystem": "bus/pci", lan + "/net/eth0/subsystem": "class/net",
	} {
		at := filepath.Join(dir, "sys", name)
		up := strings.Repeat("../", strings.Count(name, "/"))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(up+target, at)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	return &tool{sys: sysfs.FS(in("sys")), dev: in("dev"), run: in("run")}
}

const sda1 = "/sys/class/block/sda1"

func TestInfo(t *testing.T) {
	tool := fixture(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"info", "-q", "path", sda1}, "/devices/pci0000:00/0000:00:01.0/block/sda/sda1\n"},
		{[]string{"info", "--query=name", "-p", "class/block/sda1"}, "sda1\n"},
		{[]string{"info", "-rq", "name", "-p/class/block/sda1"}, "/dev/sda1\n"},
		{[]string{"info", "-q", "symlink", sda1}, "disk/by-label/it's\n"},
		{[]string{"info", "-q", "symlink", "-r", sda1}, "/dev/disk/by-label/it's\n"},
		{[]string{"info", "-q", "property", "--property=ID_FS_TYPE,DEVNAME", sda1},
			"DEVNAME=/dev/sda1\nID_FS_TYPE=ext4\n"},
		{[]string{"info", "-q", "property", "--property=ID_FS_TYPE", "--value", sda1}, "ext4\n"},
		{[]string{"info", "-q", "property", "-x", "--property=ID_FS_LABEL", sda1}, "ID_FS_LABEL='it'\\''s'\n"},
		{[]string{"info", "-q", "property", "-P", "X_", "--property", "MAJOR", sda1}, "X_MAJOR='8'\n"},
		{[]string{"info", sda1}, `P: /devices/pci0000:00/0000:00:01.0/block/sda/sda1
M: sda1
R: 1
U: block
T: partition
D: b 8:1
N: sda1
L: -100
S: disk/by-label/it's
E: DEVPATH=/devices/pci0000:00/0000:00:01.0/block/sda/sda1
E: MAJOR=8
E: MINOR=1
E: DEVNAME=/dev/sda1
E: DEVTYPE=partition
E: PARTNAME=x\x1b[2J
E: SUBSYSTEM=block
E: USEC_INITIALIZED=5
E: ID_FS_TYPE=ext4
E: ID_FS_LABEL=it's
E: DEVLINKS=/dev/disk/by-label/it's

`},
		{[]string{"info", "-a", "/sys/class/block/sda"}, walkHead +
			`  looking at device '/devices/pci0000:00/0000:00:01.0/block/sda':
    KERNEL=="sda"
    SUBSYSTEM=="block"
    DRIVER==""
    ATTR{queue/rotational}=="1"

  looking at parent device '/devices/pci0000:00/0000:00:01.0':
    KERNELS=="0000:00:01.0"
    SUBSYSTEMS=="pci"
    DRIVERS==""
    ATTRS{rescan}=="(not readable)"
    ATTRS{vendor}=="0x8086"

`},
	} {
		out, errs, status := call(tool, test.args...)
		if out != test.want || errs != "" || status != 0 {
			t.Errorf("%q: status %d, %s\n%s\nwant\n%s", test.args, status, errs, out, test.want)
		}
	}
	out, _, _ := call(tool, "info", "--export-db")
	if n := strings.Count(out, "P: "); n != 5 || strings.Contains(out, "\x1b") {
		t.Errorf("%d devices:\n%s", n, out)
	}
}

func TestWrongCommandLines(t *testing.T) {
	tool := fixture(t)
	for _, test := range []struct {
		args string
		want string
	}{
		{"", "usage: udevadm"},
		{"control --reload", `unknown command "control"; there are info, monitor, settle, trigger`},
		{"--frob", "unknown option --frob"},
		{"info", "a device name or path is required"},
		{"info --frob " + sda1, "unknown option --frob"},
		{"info -z " + sda1, "unknown option -z"},
		{"info -q", "option -q needs a value"},
		{"info --query", "option --query needs a value"},
		{"info --root=yes " + sda1, "option --root takes no value"},
		{"info -q none " + sda1, `"none" is none of name, symlink`},
		{"info -x --value " + sda1, "exclude each other"},
		{"info -a /sys/class/block/sda " + sda1, "only one device"},
		{"info sda", `"sda" is no device: give a path that begins with /dev/ or /sys/`},
		{"info /dev/nothing", "no such file or directory"},
		{"info /dev/none", "is no device node"},
		{"info /sys/class/nothing", "there is no device /sys/class/nothing"},
		{"info /sys/class/block", "is no device"},
		{"info -q name /sys/bus/pci/devices/0000:00:01.0", "has no device node"},
		{"monitor now", `"now" is too much`},
		{"settle -t soon", `option -t: "soon" is no number of seconds`},
		{"settle --seq-start=1", "unknown option --seq-start"},
		{"trigger -c explode", `"explode" is none of add`},
		{"trigger -t kinds", "none of devices"},
		{"trigger /dev/nothing", "no such file"},
	} {
		out, errs, status := call(tool, strings.Fields(test.args)...)
		if status == 0 || out != "" || !strings.Contains(errs, test.want) || !strings.HasSuffix(errs, "\n") {
			t.Errorf("udevadm %s: status %d, %q, %q, want %q", test.args, status, out, errs, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		{"--help"}, {"-h"}, {"info", "-h"}, {"settle", "--help"}, {"monitor", "-h"}, {"trigger", "-h"},
	} {
		out, errs, status := call(&tool{}, args...)
		if status != 0 || errs != "" || !strings.HasPrefix(out, "usage: udevadm ") {
			t.Errorf("%q: %d, %q, %q", args, status, out, errs)
		}
		for line := range strings.Lines(out) {
			if len(line) > 101 {
				t.Errorf("%q: too wide: %s", args, line)
			}
		}
	}
	for _, args := range [][]string{{"--version"}, {"info", "-V"}} {
		if out, _, status := call(&tool{}, args...); status != 0 || out != version+"\n" {
			t.Errorf("%q: %d, %q", args, status, out)
		}
	}
}

func TestTrigger(t *testing.T) {
	const (
		bus       = "/sys/devices/pci0000:00/0000:00:"
		ahci, lan = bus + "01.0\n", bus + "02.0\n"
		disk      = bus + "01.0/block/sda\n"
		part      = bus + "01.0/block/sda/sda1\n"
		eth0      = bus + "02.0/net/eth0\n"
	)
	tool := fixture(t)
	for _, test := range []struct{ args, want string }{
		{"", ahci + disk + part + lan + eth0},
		{"-s block", disk + part},
		{"-s block -s n?t", disk + part + eth0},
		{"-S block -S net", ahci + lan},
		{"-a vendor", ahci + lan},
		{"-a vendor=0x80* -a label", lan},
		{"-A vendor", disk + part + eth0},
		{"-a ../vendor", ""},
		{"-p ID_FS_TYPE=ext*", part},
		{"-p DEVTYPE=disk -p IFINDEX=2", disk + eth0},
		{"-y sda", disk},
		{"-b /sys/bus/pci/devices/0000:00:01.0 -s block", disk + part},
		{"/sys/class/net/eth0", eth0},
		{"/sys/bus/pci", ""},
		{"-t subsystems", "/sys/bus/pci\n"},
		{"-t all -s net", eth0},
	} {
		out, errs, status := call(tool, append([]string{"trigger", "-nv"}, strings.Fields(test.args)...)...)
		if out != test.want || errs != "" || status != 0 {
			t.Errorf("%s: status %d, %s\n%s\nwant\n%s", test.args, status, errs, out, test.want)
		}
	}
	if _, errs, status := call(tool, "trigger", "-c", "add", "-y", "sda"); status != 0 {
		t.Error(errs)
	}
	text, err := fs.ReadFile(tool.sys, "class/block/sda/uevent")
	if string(text) != "add" || err != nil {
		t.Errorf("written was %q, %v", text, err)
	}
}

// TestAgainstUdevadm compares what is said of this machine with what systemd's udevadm says.
func TestAgainstUdevadm(t *testing.T) {
	if _, err := exec.LookPath("udevadm"); err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat("/sys/bus"); err != nil {
		t.Skip("no /sys here")
	}
	nodes, _ := filepath.Glob("/sys/class/block/*")
	if len(nodes) == 0 {
		t.Skip("no disks here")
	}
	changing := regexp.MustCompile(`(?m)^.*(stat|inflight|_time|_duration|power/)[^=]*}==.*$`)
	here := &tool{sys: "/sys", dev: "/dev", run: udev.RunDir}
	for _, args := range [][]string{
		{"info", "--export-db"}, {"trigger", "--dry-run", "--verbose"},
		{"trigger", "-nv", "-s", "block", "-A", "partition"}, {"trigger", "-nv", "-t", "subsystems", "-y", "loop"},
		{"info", "-a", nodes[0]}, {"info", "-q", "path", nodes[0]}, {"info", "-q", "property", nodes[0]},
		{"info", "-r", "-q", "name", nodes[0]}, {"info", nodes[0]},
	} {
		theirs, err := exec.Command("udevadm", args...).Output()
		if err != nil {
			t.Errorf("udevadm %q: %v", args, err)
		}
		ours, errs, _ := call(here, args...)
		got, want := lines(changing.ReplaceAllString(ours, "")), lines(changing.ReplaceAllString(string(theirs), ""))
		if !slices.Equal(got, want) || errs != "" {
			t.Errorf("%q: %s\nlacks %q\nhas too much %q", args, errs, without(want, got), without(got, want))
		}
	}
}

func lines(text string) []string {
	all := strings.Split(text, "\n")
	slices.Sort(all)
	return all
}

// without returns what of a is not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// TestWithAKernel runs the device manager on this machine's sysfs, in namespaces of its own, and uses the command on
// it.
func TestWithAKernel(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, func(t *testing.T) {
		for _, dir := range []string{"/dev", "/run"} {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		here := &tool{sys: "/sys", dev: "/dev", run: udev.RunDir}
		_, errs, status := call(here, "settle", "-t", "1")
		if status == 0 || !strings.Contains(errs, "no device manager") {
			t.Errorf("settle without one: %d, %q", status, errs)
		}
		release := runManagers(t)
		if _, errs, status := call(here, "settle", "-t", "0"); status == 0 {
			t.Errorf("settle -t 0 while there is work: %d, %q", status, errs)
		}
		if _, errs, status := call(here, "settle", "-t", "1"); status == 0 || !strings.Contains(errs, "timed out") {
			t.Errorf("settle while there is work: %d, %q", status, errs)
		}
		if _, errs, status := call(here, "settle", "-E", "/proc"); status != 0 {
			t.Errorf("settle -E: %q", errs)
		}
		time.AfterFunc(300*time.Millisecond, release)
		if _, errs, status := call(here, "settle", "-t", "20"); status != 0 {
			t.Fatalf("settle: %q", errs)
		}
		if _, err := os.Stat("/run/udev/queue"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("queue: %v", err)
		}
		out, errs, status := call(here, "trigger", "--settle", "--uuid", "-y", "null", "-s", "mem")
		if status != 0 || len(out) != 37 {
			t.Errorf("trigger: %d, %q, %q", status, out, errs)
		}
		monitor(t, here)
	})
}

// runManagers runs the device managers. They have work until release is called.
func runManagers(t *testing.T) (release func()) {
	t.Helper()
	listener, err := uevent.Listen()
	if err != nil {
		t.Fatal(err)
	}
	announce, err := udev.Announcer()
	if err != nil {
		t.Fatal(err)
	}
	links := udev.New(udev.Config{
		Sys: sysfs.FS("/sys"), Dev: "/dev", Run: udev.RunDir, Ask: udev.Ask, Announce: announce,
		AddNames: func(int, []string) error { return nil },
	})
	released := make(chan struct{})
	m := uevent.NewManager(uevent.Config{
		Source: listener, Sys: sysfs.FS("/sys"), Handle: links.Handle, Remember: udev.Concerns,
		Load:  func(context.Context, string) error { <-released; return nil },
		Final: func(error) bool { return true },
		Busy:  udev.Queue(udev.RunDir, func(err error) { t.Error(err) }),
	})
	go links.Run(t.Context())
	go m.Run(t.Context())
	for end := time.Now().Add(10 * time.Second); !there("/run/udev/queue") && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return func() { close(released) }
}

// monitor listens while a device is triggered.
func monitor(t *testing.T, here *tool) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c := *here
		c.stdout = w
		c.main([]string{"monitor", "-p", "-s", "mem"}, os.Stderr)
	}()
	var said strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for strings.Count(said.String(), "DEVNAME=") < 2 {
			n, err := r.Read(buffer)
			if err != nil {
				return
			}
			said.Write(buffer[:n])
			if strings.HasSuffix(said.String(), "uevent\n\n") {
				call(here, "trigger", "-y", "null", "-y", "zero", "-s", "mem", "-a", "dev=1:3")
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
	}
	for _, want := range []string{
		"UDEV - ", "KERNEL - ", "KERNEL[", "UDEV  [", "change   /devices/virtual/mem/null (mem)\n", "DEVNAME=null\n",
		"DEVNAME=/dev/null\n",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("monitor does not say %q:\n%s", want, said.String())
		}
	}
}

func TestOptions(t *testing.T) {
	var a, b bool
	var text1 string
	var many []string
	options := []option{
		flag('a', "all", &a), flag('b', "both", &b), text('t', "text", &text1), list('m', "many", &many),
	}
	rest, err := parse([]string{"x", "-abtT", "--many=1", "-m", "2", "--", "-a"}, options)
	got := fmt.Sprintln(a, b, text1, many, rest, err)
	if want := "true true T [1 2] [x -a] <nil>\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
