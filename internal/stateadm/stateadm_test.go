package stateadm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/statefile"
	"github.com/zerodisc/zerodisc/internal/testns"
)

// machine is a tree of sysfs with disks of 1 GiB that are files, and what /proc has of them.
type machine struct {
	*tool
	t        *testing.T
	out      bytes.Buffer
	snapshot host.Snapshot
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, tool: &tool{sys: t.TempDir(), proc: t.TempDir(), dev: t.TempDir()}}
	m.Config = Config{
		In: strings.NewReader(""), Out: &m.out, Err: &m.out, Mke2fs: "/does/not/exist",
		State: func() (*host.Snapshot, error) { return &m.snapshot, nil },
	}
	m.write(m.proc+"/self/mountinfo", "22 1 0:2 / / rw - rootfs none rw\n")
	return m
}

func (m *machine) write(file, text string) {
	m.t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644))
	if err != nil {
		m.t.Fatal(err)
	}
}

// add adds a disk, or with "sda/sda1" a partition.
func (m *machine) add(name, number string, files map[string]string) {
	m.t.Helper()
	dir := filepath.Join(m.sys, "devices", name)
	base := filepath.Base(name)
	m.write(dir+"/dev", number+"\n")
	m.write(dir+"/size", "2097152\n")
	if base != name {
		m.write(dir+"/partition", "1\n")
	}
	for file, text := range files {
		m.write(dir+"/"+file, text)
	}
	m.write(filepath.Join(m.dev, base), "")
	for _, link := range []string{"class/block/" + base, "dev/block/" + number} {
		link = filepath.Join(m.sys, link)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(dir, link)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name, device string
		prepare      func(m *machine)
		want         string // of the error; "" for none but that nobody has said yes
	}{
		{name: "free disk", device: "sdb"},
		{name: "free partition", device: "sda1"},
		{name: "link", device: "mine", prepare: func(m *machine) {
			if err := os.Symlink("sdb", filepath.Join(m.dev, "mine")); err != nil {
				m.t.Fatal(err)
			}
		}},
		{name: "nothing", device: "sdx", want: "there is no "},
		{name: "file", device: "file", prepare: func(m *machine) { m.write(m.dev+"/file", "") },
			want: "is no block device"},
		{name: "CD", device: "sr0", prepare: func(m *machine) { m.add("sr0", "11:0", nil) }, want: "sr0 is no disk"},
		{name: "memory", device: "zram0", prepare: func(m *machine) { m.add("zram0", "252:0", nil) },
			want: "zram0 is no disk"},
		{name: "write-protected", device: "sdc",
			prepare: func(m *machine) { m.add("sdc", "8:32", map[string]string{"ro": "1\n"}) },
			want:    "/dev/sdc is write-protected"},
		{name: "small", device: "sdc",
			prepare: func(m *machine) { m.add("sdc", "8:32", map[string]string{"size": "2048\n"}) },
			want:    "/dev/sdc has 1.0 MB, a state volume needs 67.1 MB at least"},
		{name: "mounted", device: "sdb", prepare: func(m *machine) { m.mount("8:16 / /mnt/x\\040y rw") },
			want: "/dev/sdb is mounted at /mnt/x y; unmount it first"},
		{name: "a partition is mounted", device: "sda", prepare: func(m *machine) { m.mount("8:1 / /mnt ro") },
			want: "/dev/sda1 is mounted at /mnt"},
		{name: "the state volume", device: "sda1", prepare: func(m *machine) { m.mount("8:1 / /state rw") },
			want: "/dev/sda1 is mounted at /state"},
		{name: "mounted through a loop device by a person", device: "sdb", prepare: func(m *machine) {
			m.add("loop0", "7:0", map[string]string{"loop/backing_file": "/dev/sdb\n"})
			m.mount("7:0 / /mnt ro")
		}, want: "/dev/sdb is mounted at /mnt"},
		{name: "mounted by zerodisc", device: "sdb", prepare: func(m *machine) {
			m.add("loop0", "7:0", map[string]string{"loop/backing_file": "/dev/sdb\n"})
			m.mount("7:0 / /media/PHOTOS ro")
		}},
		{name: "swap", device: "sda", prepare: func(m *machine) {
			m.write(m.proc+"/swaps", "Filename\n/dev/sda10 partition\n/dev/sda1  partition 1 0 -2\n")
		}, want: "/dev/sda1 is swap space in use"},
		{name: "member", device: "sda",
			prepare: func(m *machine) { m.write(m.sys+"/devices/sda/sda1/holders/md0/dev", "9:0\n") },
			want:    "/dev/sda1 is a part of md0"},
		{name: "guest's disk", device: "sdb", prepare: func(m *machine) {
			m.snapshot.Guests = []host.Guest{{Name: "web", Phase: host.Running,
				Disks: []host.Disk{{Target: filepath.Join(m.dev, "sdb")}}}}
		}, want: "/dev/sdb is a disk of the guest web"},
		{name: "disk of a guest that has ended", device: "sdb", prepare: func(m *machine) {
			m.snapshot.Guests = []host.Guest{{Name: "web", Phase: host.Stopped,
				Disks: []host.Disk{{Target: filepath.Join(m.dev, "sdb")}}}}
		}},
		{name: "medium", device: "sda", prepare: (*machine).disc, want: "/dev/sda is the boot medium"},
		{name: "within the medium", device: "sda1", want: "/dev/sda1 is the boot medium", prepare: func(m *machine) {
			m.disc()
			m.write(m.sys+"/devices/sda/sda1/start", "2047\n")
		}},
		{name: "behind the medium", device: "sda1", prepare: func(m *machine) {
			m.disc()
			m.write(m.sys+"/devices/sda/sda1/start", "2048\n")
		}},
		{name: "another disk in the place of the medium", device: "sda",
			prepare: func(m *machine) { m.snapshot.Host.Medium.Device = "/dev/sda" }},
		{name: "the medium is a file on it", device: "sda", want: "/dev/sda is the boot medium",
			prepare: func(m *machine) { m.snapshot.Host.Medium = host.Medium{Device: "/dev/sda1", File: "z.iso"} }},
		{name: "the medium was a file on it", device: "sda", prepare: func(m *machine) {
			m.snapshot.Host.Medium = host.Medium{Device: "/dev/sda1", File: "z.iso", State: host.MediumInRAM}
		}},
		{name: "a second one", device: "sdb",
			prepare: func(m *machine) { m.snapshot.Host.State.Device = "/dev/sda1" },
			want:    "/dev/sda1 is the state volume already"},
		{name: "in place of one that was pulled without guests", device: "sdb",
			prepare: func(m *machine) { m.snapshot.Host.State = host.StateVolume{Device: "/dev/sdx1"} }},
		{name: "a file on it is the state volume", device: "sdb", prepare: func(m *machine) {
			m.snapshot.Host.State = host.StateVolume{Device: "/dev/sdb", File: "zerodisc-state.img", Mount: "/state"}
		}, want: "/dev/sdb is the state volume, in a file; umount /state first"},
		{name: "in place of one that was pulled", device: "sdb", prepare: func(m *machine) {
			m.snapshot.Host.State = host.StateVolume{Device: "/dev/sda1", Guests: []string{"web"}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.add("sda", "8:0", map[string]string{"device/model": "Disk\x1b[31m  \n"})
			m.add("sda/sda1", "8:1", nil)
			m.add("sdb", "8:16", nil)
			if test.prepare != nil {
				test.prepare(m)
			}
			err := m.run([]string{"create", filepath.Join(m.dev, test.device)})
			if test.want == "" {
				test.want = "nothing was changed"
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q\n%s", err, test.want, m.out.String())
			}
			if strings.Contains(m.out.String(), "\x1b") {
				t.Errorf("%q", m.out.String())
			}
		})
	}
}

// disc makes sda the boot medium, of 1 MiB.
func (m *machine) disc() {
	m.snapshot.Host.Medium.Device = "/dev/sda"
	image := make([]byte, 1<<20)
	descriptor := image[isoDescriptor:]
	copy(descriptor, "\x01CD001\x01")
	copy(descriptor[40:], boot.VolumeID+strings.Repeat(" ", 32-len(boot.VolumeID)))
	binary.LittleEndian.PutUint32(descriptor[80:], 512+boot.MediumPadding/2048)
	binary.LittleEndian.PutUint16(descriptor[128:], 2048)
	binary.LittleEndian.PutUint32(descriptor[156+2:], 20) // the root directory, which begins with itself
	binary.LittleEndian.PutUint32(descriptor[156+10:], 2048)
	copy(image[20*2048:], descriptor[156:156+34])
	image[20*2048], image[20*2048+32] = 34, 1
	m.write(filepath.Join(m.dev, "sda"), string(image))
}

// mount adds a mount: number, root, directory and options.
func (m *machine) mount(fields string) {
	m.write(m.proc+"/self/mountinfo", "22 1 0:2 / / rw - rootfs none rw\n30 22 "+fields+" - ext4 x rw\n")
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"create"}, "name one device"}, {[]string{"create", "a", "b"}, "name one device"},
		{[]string{"create", "-force", "a"}, "not defined"}, {[]string{"destroy"}, `there is no command "destroy"`},
		{[]string{"create", "-yes", "/does/not/exist"}, "there is no /does/not/exist"},
		{[]string{"create", "-yes", "-size", "big", "/dev/null"}, `-size "big": want a size`},
		{[]string{"create", "-size", "100M", "/does/not/exist"}, "there is no /does/not/exist"},
	} {
		if err := newMachine(t).run(test.args); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.args, err, test.want)
		}
	}
	var out bytes.Buffer
	if Main([]string{"-h"}, Config{Out: &out}) != 0 || out.String() != usage {
		t.Errorf("help is %q", out.String())
	}
}

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		state host.StateVolume
		want  string
	}{
		{host.StateVolume{}, "There is no state volume"},
		{host.StateVolume{Device: "/dev/sdb1", Mount: "/state", Bytes: 4e9, Free: 3e9},
			"/dev/sdb1 at /state, 4.0 GB, 3.0 GB free"},
		{host.StateVolume{Device: "/dev/sdb1", Problem: "it holds vfat", Remedy: "make it anew"},
			"/dev/sdb1: it holds vfat; make it anew"},
	} {
		m := newMachine(t)
		m.snapshot.Host.State = test.state
		if err := m.run(nil); err != nil || !strings.Contains(m.out.String(), test.want) {
			t.Errorf("%v\n%s", err, m.out.String())
		}
	}
}

// TestMakeReal makes a state volume with the real mke2fs of what held something else, and lets blkid and e2fsck judge
// it.
func TestMakeReal(t *testing.T) {
	mke2fs, e2fsck := hostTool(t, "mke2fs"), hostTool(t, "e2fsck")
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 96<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext2", "-L", "OLD", image).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loop, err := loopdev.Open(file, false)
	if err != nil {
		t.Skip(err)
	}
	defer loop.Close()
	m := newMachine(t)
	m.tool.sys, m.tool.proc, m.tool.dev, m.Mke2fs = "/sys", "/proc", "/dev", mke2fs
	// As a logical volume: loop devices have partitions only if they are asked for.
	d := device{name: filepath.Base(loop.Name()), disk: "none", bytes: 96 << 20}
	made, err := m.format(d)
	if err != nil || made != loop.Name() {
		t.Fatalf("%s, %v\n%s", made, err, m.out.String())
	}
	content, err := blkid.IdentifyFile(loop)
	if err != nil || content.Type != "ext4" || content.Label != boot.StateLabel || len(content.Others) > 0 {
		t.Errorf("%+v, %v", content, err)
	}
	if out, err := exec.Command(e2fsck, "-fn", loop.Name()).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	dump, err := exec.Command(hostTool(t, "dumpe2fs"), "-h", loop.Name()).CombinedOutput()
	for _, feature := range []string{"64bit", "metadata_csum", "has_journal", "extent"} {
		if err != nil || !slices.Contains(strings.Fields(string(dump)), feature) {
			t.Errorf("feature %s: %v\n%s", feature, err, dump)
		}
	}
}

// TestRefusedFile has file systems in which no file is made.
func TestRefusedFile(t *testing.T) {
	for _, test := range []struct {
		name, size string
		make       []string
		change     func(image []byte)
		want       string
	}{
		{name: "nothing", size: "100M", want: "has no file system that can hold the file"},
		{name: "another kind", size: "100M", make: []string{"mkfs.ntfs", "-q", "-F", "-f"}, want: "that takes FAT"},
		{name: "small", size: "63M", make: []string{"mkfs.vfat"}, want: "needs 67.1 MB at least"},
		{name: "large", size: "4G", make: []string{"mkfs.vfat"}, want: "-size 4095M is the largest"},
		{name: "unclean", size: "100M", make: []string{"mkfs.vfat", "-F", "32"},
			change: func(image []byte) { image[0x41] = 1 }, want: "was not unmounted cleanly; check it on another"},
		{name: "fit", size: "100M", make: []string{"mkfs.vfat"}, want: "nothing was changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.add("sdb", "8:16", nil)
			disk := filepath.Join(m.dev, "sdb")
			if err := os.Truncate(disk, 128<<20); err != nil {
				t.Fatal(err)
			}
			if test.make != nil {
				out, err := exec.Command(hostTool(t, test.make[0]), append(test.make[1:], disk)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			if test.change != nil {
				image, err := os.ReadFile(disk)
				if err != nil {
					t.Fatal(err)
				}
				test.change(image)
				m.write(disk, string(image))
			}
			err := m.run([]string{"create", "-size", test.size, disk})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q\n%s", err, test.want, m.out.String())
			}
		})
	}
}

// TestMakeFileReal makes a file in a real ext4 with the real mke2fs, and lets e2fsck judge both.
func TestMakeFileReal(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		mke2fs, e2fsck := hostTool(t, "mke2fs"), hostTool(t, "e2fsck")
		image := filepath.Join(t.TempDir(), "disk.img")
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 160<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext4", image).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		file, err := os.OpenFile(image, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		loop, err := loopdev.Open(file, false)
		if err != nil {
			t.Skip(err)
		}
		file.Close()
		m := newMachine(t)
		m.tool.sys, m.tool.proc, m.tool.dev, m.Mke2fs = "/sys", "/proc", "/dev", mke2fs
		d := device{name: filepath.Base(loop.Name()), content: blkid.Content{Type: "ext4"}}
		if err := m.makeFile(d, 500<<20); err == nil || !strings.Contains(err.Error(), "free, where 524.3 MB") {
			t.Errorf("a file that does not fit: %v", err)
		}
		if err := m.makeFile(d, 100<<20); err != nil {
			t.Fatalf("%v\n%s", err, m.out.String())
		}
		if err := m.makeFile(d, 64<<20); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("the second one: %v", err)
		}
		if id, err := statefile.Find(loop.Name(), "ext4"); err != nil || id == "" {
			t.Errorf("%q, %v", id, err)
		}
		loop.Close()
		inner := filepath.Join(t.TempDir(), "inner.img")
		dump := exec.Command(hostTool(t, "debugfs"), "-R", "dump /"+statefile.Name+" "+inner, image)
		if out, err := dump.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, name := range []string{image, inner} {
			if out, err := exec.Command(e2fsck, "-fn", name).CombinedOutput(); err != nil {
				t.Errorf("e2fsck %s: %v\n%s", name, err, out)
			}
		}
		file, err = os.Open(inner)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		content, err := blkid.IdentifyFile(file)
		if err != nil || content.Type != "ext4" || content.Label != boot.StateLabel {
			t.Errorf("%+v, %v", content, err)
		}
	})
}

// TestAnnounceFile says what has to be done for a file to be used.
func TestAnnounceFile(t *testing.T) {
	for _, test := range []struct{ setting, label, want string }{
		{"no", "ZERODISC-A", "zerodisc.state=1234-ABCD names its file system.\n"},
		{"", "Ventoy", "zerodisc.state=1234-ABCD names its file system, or when that has a label"},
		{"", "ZERODISC-A", "/dev/sdb1 zerodisc-state.img is the state volume, at /state."},
		{"1234-abcd", "Ventoy", "/dev/sdb1 zerodisc-state.img is the state volume, at /state."},
	} {
		m := newMachine(t)
		if test.setting != "" {
			m.snapshot.Host.Settings = []host.Setting{{Key: stateKey, Value: test.setting}}
		}
		m.snapshot.Host.State = host.StateVolume{Device: "/dev/sdb1", File: statefile.Name, Mount: "/state"}
		d := device{name: "sdb1", content: blkid.Content{Label: test.label, UUID: "1234-ABCD"}}
		if err := m.announceFile(d); err != nil || !strings.Contains(m.out.String(), test.want) {
			t.Errorf("%q, %q: %v\n%s", test.setting, test.label, err, m.out.String())
		}
	}
}

// TestPartition lets sgdisk judge the partition of a whole disk, with sectors of both sizes.
func TestPartition(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		name := filepath.Join(t.TempDir(), "disk.img")
		file, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		const bytes = 100<<20 + 4096*3
		err = errors.Join(file.Truncate(bytes), overwrite(file, bytes), partition(file, bytes, sector))
		if err != nil {
			t.Fatal(err)
		}
		if sector != 512 {
			continue // of a file nobody knows that its sectors are large
		}
		out, err := exec.Command(hostTool(t, "sgdisk"), "-v", "-p", name).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "No problems found") ||
			!strings.Contains(string(out), "2048          202751") || !strings.Contains(string(out), "8300") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// TestOverwrite leaves nothing of what is at a disk's ends, and all that is between them.
func TestOverwrite(t *testing.T) {
	for _, size := range []int64{1 << 20, 5<<20 + 512, 12 << 20} {
		file, err := os.Create(filepath.Join(t.TempDir(), "disk.img"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Write(bytes.Repeat([]byte{1}, int(size))); err != nil {
			t.Fatal(err)
		}
		if err := overwrite(file, size); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file.Name())
		if err != nil || int64(len(data)) != size {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		for at, b := range data {
			if wiped := int64(at) < wipedStart || int64(at) >= size-wipedEnd; wiped != (b == 0) {
				t.Fatalf("of %d bytes: %d at %d", size, b, at)
			}
		}
	}
}

// TestAnnounce waits for init to mount the new volume, unless it was told not to.
func TestAnnounce(t *testing.T) {
	m := newMachine(t)
	m.snapshot.Host.Settings = []host.Setting{{Key: stateKey, Value: "no"}}
	if err := m.announce("/dev/sdb1"); err != nil || !strings.Contains(m.out.String(), "because of") {
		t.Errorf("%v\n%s", err, m.out.String())
	}
	m.snapshot.Host.Settings = nil
	m.snapshot.Host.State = host.StateVolume{Device: "/dev/sdb1", Mount: "/state"}
	err := m.announce("/dev/sdb1")
	if err != nil || !strings.Contains(m.out.String(), "is the state volume, at /state") {
		t.Errorf("%v\n%s", err, m.out.String())
	}
	synctest.Test(t, func(t *testing.T) {
		if err := m.announce("/dev/sdc1"); err == nil || !strings.Contains(err.Error(), "not mounted within") {
			t.Error(err)
		}
	})
}

func FuzzParseMounts(f *testing.F) {
	f.Add("36 22 11:0 / /media/boot ro,relatime shared:1 - iso9660 /dev/sr0 ro\n")
	f.Fuzz(func(t *testing.T, text string) { _ = parseMounts(text) })
}

// hostTool is a program of the host's; the test is skipped where there is none.
func hostTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if unix.Access("/usr/sbin/"+name, unix.X_OK) != nil {
		t.Skip(name + " is not installed")
	}
	return "/usr/sbin/" + name
}
