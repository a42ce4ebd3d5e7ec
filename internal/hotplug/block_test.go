package hotplug

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/xenstore/xenstoretest"
)

const vbdPath = "/local/domain/0/backend/vbd/1/51712"

func vbdServer(params, mode string) *xenstoretest.Server {
	server := xenstoretest.New()
	server.SetAll(vbdPath, map[string]string{"state": "2", "params": params, "mode": mode})
	server.SetAll("/local/domain/1", map[string]string{"vm": "/vm/one", "name": "one"})
	return server
}

// otherGuest adds a guest 2 that uses a device.
func otherGuest(server *xenstoretest.Server, number, mode string) {
	server.SetAll("/local/domain/0/backend/vbd/2/51712", map[string]string{"physical-device": number, "mode": mode})
	server.SetAll("/local/domain/2", map[string]string{"vm": "/vm/two", "name": "two"})
}

func TestBlockAdd(t *testing.T) {
	tests := []struct {
		name, params, mode               string
		number, device, node, status, do string
	}{
		{"device", "/dev/sda1", "w", "8:1", "/dev/sda1", "-", "connected", ""},
		{"short name", "sda1", "r", "8:1", "/dev/sda1", "-", "connected", ""},
		{"file", "/img/disk", "w", "7:a", "/dev/loop10", "/dev/loop10", "connected", "attach /img/disk readonly=false"},
		{"read-only file", "/img/disk", "r", "7:a", "/dev/loop10", "/dev/loop10", "connected",
			"attach /img/disk readonly=true"},
		{"empty CD drive", "", "r", "-", "-", "-", "connected", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, h := vbdServer(test.params, test.mode), newHost()
			if err := run(t, server, h, "block", "backend/vbd/1/51712", "add"); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]string{
				"physical-device": test.number, "physical-device-path": test.device,
				"node": test.node, "hotplug-status": test.status,
			} {
				if got := value(server, vbdPath+"/"+key); got != want {
					t.Errorf("%s %q, want %q", key, got, want)
				}
			}
			if calls := strings.Join(h.calls, "; "); calls != test.do {
				t.Errorf("calls %q, want %q", calls, test.do)
			}
			if err := run(t, server, h, "block", vbdPath, "add"); err != nil || len(h.loops) > 1 {
				t.Errorf("a second add: %v, loops %v", err, h.loops)
			}
		})
	}
}

func TestBlockRemove(t *testing.T) {
	server, h := vbdServer("/img/disk", "w"), newHost()
	for _, args := range []string{"add", "remove", "remove"} {
		if err := run(t, server, h, "block", vbdPath, args); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
	}
	want := []string{"attach /img/disk readonly=false", "detach /dev/loop10"}
	if !reflect.DeepEqual(h.calls, want) {
		t.Errorf("calls %q, want %q", h.calls, want)
	}
}

// isoOnDisk is a machine that was booted from an ISO file on sda1: the file system is mounted through a loop device
// over the partition, the ISO file through another.
func isoOnDisk(_ *xenstoretest.Server, h *host) {
	h.family[Number{8, 0}] = Relatives{Above: []Number{{8, 1}, {8, 2}}}
	h.family[Number{8, 2}] = Relatives{Below: []Number{{8, 0}}}
	h.media["/dev/sda2"] = Medium{Path: "/dev/sda2", Block: true, Number: Number{8, 2}}
	h.media["/media/.iso-host/z.iso"] = Medium{Path: "/media/.iso-host/z.iso", Device: unix.Mkdev(7, 0), Inode: 12}
	h.media["/mnt/z.iso"] = Medium{Path: "/mnt/z.iso", Device: unix.Mkdev(8, 1), Inode: 12}
	h.media["/other/z.iso"] = Medium{Path: "/other/z.iso", Device: unix.Mkdev(8, 17), Inode: 12}
	h.loop(0, "/dev/sda1")
	h.loop(1, "/media/.iso-host/z.iso")
	h.mounts = []Mount{
		{Number: Number{7, 0}, Dir: "/media/.iso-host", ReadOnly: true},
		{Number: Number{7, 1}, Dir: "/media/boot", ReadOnly: true},
	}
}

// logicalVolumes makes two of sda1.
func logicalVolumes(h *host) {
	h.family[Number{8, 1}] = Relatives{Below: []Number{{8, 0}}, Above: []Number{{253, 0}, {253, 1}}}
	h.family[Number{253, 0}] = Relatives{Below: []Number{{8, 1}}}
	h.family[Number{253, 1}] = Relatives{Below: []Number{{8, 1}}}
	h.media["/dev/vg/a"] = Medium{Path: "/dev/vg/a", Block: true, Number: Number{253, 0}}
}

// copyOnWrite gives guest two a disk over sda1: dm-0 is the snapshot, dm-1 what the guest gets.
func copyOnWrite(s *xenstoretest.Server, h *host) {
	h.family[Number{8, 1}] = Relatives{Below: []Number{{8, 0}}, Readers: []Number{{253, 0}}}
	h.family[Number{253, 0}] = Relatives{Origins: []Number{{8, 1}, {7, 3}}, Above: []Number{{253, 1}}}
	h.family[Number{253, 1}] = Relatives{Below: []Number{{253, 0}}}
	h.media["/dev/dm-1"] = Medium{Path: "/dev/dm-1", Block: true, Number: Number{253, 1}}
	h.media["/run/changes"] = Medium{Path: "/run/changes", Device: unix.Mkdev(0, 44), Inode: 2}
	h.loop(3, "/run/changes")
	h.mounts = []Mount{{Number: Number{0, 44}, Dir: "/run"}}
	otherGuest(s, "fd:1", "w")
}

func TestSharing(t *testing.T) {
	tests := []struct {
		name, params, mode string
		setup              func(*xenstoretest.Server, *host)
		want               string // empty: allowed
	}{
		{"other guest writes", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
		}, "/dev/sda1 is used by guest two (writable)"},
		{"other guest reads", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "r")
		}, "used by guest two (read-only)"},
		{"reader beside writer", "/dev/sda1", "r", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
		}, "cannot be given to another guest (read-only)"},
		{"two readers", "/dev/sda1", "r", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "r") }, ""},
		{"other device", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:11", "w") }, ""},
		{"disk of a partition in use", "/dev/sda", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
		}, "/dev/sda is used by guest two"},
		{"unchecked", "/dev/sda1", "w!", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "w") }, ""},
		{"restarting guest", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
			s.Set("/local/domain/2/vm", "/vm/one")
		}, ""},
		{"guest that is gone", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
			s.Remove("/local/domain/2")
		}, ""},
		{"mounted", "/dev/sda1", "w", func(_ *xenstoretest.Server, h *host) {
			h.mounts = []Mount{{Number: Number{8, 1}, Dir: "/media/boot", ReadOnly: true}}
		}, "mounted on /media/boot in dom0 (read-only)"},
		{"mounted, both read-only", "/dev/sda1", "r", func(_ *xenstoretest.Server, h *host) {
			h.mounts = []Mount{{Number: Number{8, 1}, Dir: "/media/boot", ReadOnly: true}}
		}, ""},
		{"partition mounted", "/dev/sda", "r", func(_ *xenstoretest.Server, h *host) {
			h.mounts = []Mount{{Number: Number{8, 1}, Dir: "/mnt"}}
		}, "/dev/sda is mounted on /mnt"},
		{"file in use", "/img/disk", "w", func(s *xenstoretest.Server, h *host) {
			h.loop(10, "/img/disk")
			otherGuest(s, "7:a", "r")
		}, "/img/disk is used by guest two"},
		{"disk of the boot ISO", "/dev/sda", "w", isoOnDisk,
			"/dev/sda is mounted on /media/.iso-host in dom0 (read-only)"},
		{"partition of the boot ISO", "/dev/sda1", "w", isoOnDisk, "/dev/sda1 is mounted on /media/.iso-host"},
		{"disk of the boot ISO, to read", "/dev/sda", "r", isoOnDisk, ""},
		{"the boot ISO itself, mounted once more", "/mnt/z.iso", "w", isoOnDisk,
			"/mnt/z.iso is mounted on /media/boot"},
		{"file with the ISO's inode on another disk", "/other/z.iso", "w", isoOnDisk, ""},
		{"partition beside that of the boot ISO", "/dev/sda2", "w", isoOnDisk, ""},
		{"disk of a logical volume in use", "/dev/sda", "w", func(s *xenstoretest.Server, h *host) {
			logicalVolumes(h)
			otherGuest(s, "fd:0", "w")
		}, "/dev/sda is used by guest two"},
		{"logical volume of a disk in use", "/dev/vg/a", "w", func(s *xenstoretest.Server, h *host) {
			logicalVolumes(h)
			otherGuest(s, "8:0", "r")
		}, "/dev/vg/a is used by guest two"},
		{"logical volume beside another", "/dev/vg/a", "w", func(s *xenstoretest.Server, h *host) {
			logicalVolumes(h)
			otherGuest(s, "fd:1", "w")
		}, ""},
		{"disk of a file that a guest uses", "/dev/sda1", "w", func(s *xenstoretest.Server, h *host) {
			h.media["/img/disk"] = Medium{Path: "/img/disk", Device: unix.Mkdev(8, 1), Inode: 77}
			h.loop(10, "/img/disk")
			otherGuest(s, "7:a", "r")
		}, "/dev/sda1 is used by guest two"},
		{"file on a disk that a guest has", "/mnt/z.iso", "r", func(s *xenstoretest.Server, h *host) {
			h.media["/mnt/z.iso"] = Medium{Path: "/mnt/z.iso", Device: unix.Mkdev(8, 1), Inode: 12}
			otherGuest(s, "8:0", "w")
		}, "/mnt/z.iso is used by guest two"},
		{"file on a mounted disk", "/mnt/z.iso", "w", func(_ *xenstoretest.Server, h *host) {
			h.media["/mnt/z.iso"] = Medium{Path: "/mnt/z.iso", Device: unix.Mkdev(8, 1), Inode: 12}
			h.mounts = []Mount{{Number: Number{8, 1}, Dir: "/mnt"}}
		}, ""},
		{"swap space", "/dev/sda1", "w", func(_ *xenstoretest.Server, h *host) {
			h.claimed = map[string]bool{"/dev/sda1": true}
		}, "used by dom0's kernel"},
		{"claimed, to read", "/dev/sda1", "r", func(_ *xenstoretest.Server, h *host) {
			h.claimed = map[string]bool{"/dev/sda1": true}
		}, ""},
		{"origin of another guest's copy-on-write, to write", "/dev/sda1", "w", copyOnWrite,
			"/dev/sda1 is used by guest two (read-only)"},
		{"origin of another guest's copy-on-write, to read", "/dev/sda1", "r", copyOnWrite, ""},
		{"disk of such an origin, to write", "/dev/sda", "w", copyOnWrite, "/dev/sda is used by guest two (read-only)"},
		{"copy-on-write", "/dev/dm-1", "w", func(s *xenstoretest.Server, h *host) {
			copyOnWrite(s, h)
			otherGuest(s, "8:1", "r")
		}, ""},
		{"copy-on-write of what is mounted", "/dev/dm-1", "w", func(s *xenstoretest.Server, h *host) {
			copyOnWrite(s, h)
			otherGuest(s, "8:2", "w")
			h.mounts = append(h.mounts, Mount{Number: Number{8, 1}, Dir: "/media/boot", ReadOnly: true})
		}, ""},
		{"copy-on-write of what dom0 writes", "/dev/dm-1", "w", func(s *xenstoretest.Server, h *host) {
			copyOnWrite(s, h)
			otherGuest(s, "8:2", "w")
			h.mounts = append(h.mounts, Mount{Number: Number{8, 1}, Dir: "/mnt"})
		}, "/dev/dm-1 is mounted on /mnt in dom0 (writable)"},
		{"copy-on-write of what another guest writes", "/dev/dm-1", "w", func(s *xenstoretest.Server, h *host) {
			copyOnWrite(s, h)
			otherGuest(s, "8:0", "w")
		}, "/dev/dm-1 is used by guest two (writable)"},
		{"copy-on-write of another guest", "/dev/dm-1", "w", copyOnWrite, "/dev/dm-1 is used by guest two"},
		{"file of a forgotten loop device", "/img/disk", "w", func(s *xenstoretest.Server, h *host) {
			h.loop(10, "/img/disk")
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, h := vbdServer(test.params, test.mode), newHost()
			test.setup(server, h)
			err := run(t, server, h, "block", vbdPath, "add")
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, errBusy) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if status := value(server, vbdPath+"/hotplug-status"); status != "busy" {
				t.Errorf("hotplug-status %q", status)
			}
		})
	}
}

func TestBlockFailures(t *testing.T) {
	t.Run("given up", func(t *testing.T) {
		server, h := vbdServer("/img/disk", "w"), newHost()
		server.Set(vbdPath+"/state", "6")
		err := run(t, server, h, "block", vbdPath, "add")
		if err == nil || !strings.Contains(err.Error(), "given up") || len(h.loops) > 0 {
			t.Errorf("%v, loops %v", err, h.loops)
		}
	})
	t.Run("missing file", func(t *testing.T) {
		server, h := vbdServer("/img/none", "w"), newHost()
		if err := run(t, server, h, "block", vbdPath, "add"); err == nil {
			t.Error("no error")
		}
		if got := value(server, vbdPath+"/hotplug-error"); got != "disk: no such file /img/none" {
			t.Errorf("hotplug-error %q", got)
		}
	})
	t.Run("loop device is given back", func(t *testing.T) {
		server, h := vbdServer("/img/disk", "w"), newHost()
		server.Refuse(vbdPath+"/hotplug-status", "EACCES")
		if err := run(t, server, h, "block", vbdPath, "add"); err == nil || len(h.loops) > 0 {
			t.Errorf("%v, loops %v", err, h.loops)
		}
	})
}

func TestUnknownScript(t *testing.T) {
	err := run(t, xenstoretest.New(), newHost(), "block-nbd", vbdPath, "add")
	if err == nil || !strings.Contains(err.Error(), `unknown hotplug script "block-nbd"`) {
		t.Error(err)
	}
}

func TestParseMountInfo(t *testing.T) {
	got, err := parseMountInfo(strings.NewReader(
		"22 1 0:2 / / rw - rootfs none rw\n" +
			"36 22 11:0 / /media/boot ro,relatime shared:1 master:2 - iso9660 /dev/sr0 ro,nojoliet\n" +
			"37 22 8:17 /sub /mnt\\040x ro - ext4 /dev/sdb1 rw\n"))
	want := []Mount{
		{Number{0, 2}, "none", "/", false},
		{Number{11, 0}, "/dev/sr0", "/media/boot", true},
		{Number{8, 17}, "/dev/sdb1", "/mnt\\040x", false},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = parseMountInfo(strings.NewReader("22 1 x:2 / / rw - rootfs none rw\n"))
	if err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}

func FuzzParseMountInfo(f *testing.F) {
	f.Add("36 22 11:0 / /media/boot ro,relatime shared:1 - iso9660 /dev/sr0 ro\n")
	f.Add("- - - - - - -")
	f.Fuzz(func(t *testing.T, text string) { _, _ = parseMountInfo(strings.NewReader(text)) })
}

func TestRelatives(t *testing.T) {
	sys := t.TempDir()
	for file, text := range map[string]string{
		"devices/sda/dev": "8:0\n", "devices/sda/sda1/dev": "8:1\n", "devices/sda/sda1/partition": "1\n",
		"devices/sda/sda2/dev": "8:2\n", "devices/sda/sda2/partition": "2\n", "devices/sda/queue/x": "",
		"devices/sda/device/dev":            "241:0\n", // of an NVMe disk: a character device
		"devices/sda/sda2/holders/dm-0/dev": "253:0\n", "devices/dm-0/slaves/sda2/dev": "8:2\n",
		"devices/dm-0/dev":                  "253:0\n",
		"devices/sda/sda1/holders/dm-1/dev": "253:1\n", "devices/sda/sda1/holders/dm-1/dm/uuid": "ZERODISC-COW-x\n",
		"devices/dm-1/dev": "253:1\n", "devices/dm-1/dm/uuid": "ZERODISC-COW-x\n",
		"devices/dm-1/slaves/sda1/dev": "8:1\n",
	} {
		file = filepath.Join(sys, file)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	block := filepath.Join(sys, "dev/block")
	err := errors.Join(os.MkdirAll(block, 0o755),
		os.Symlink("../../devices/sda", filepath.Join(block, "8:0")),
		os.Symlink("../../devices/sda/sda1", filepath.Join(block, "8:1")),
		os.Symlink("../../devices/sda/sda2", filepath.Join(block, "8:2")),
		os.Symlink("../../devices/dm-0", filepath.Join(block, "253:0")),
		os.Symlink("../../devices/dm-1", filepath.Join(block, "253:1")))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[Number]Relatives{
		{8, 0}:   {Above: []Number{{8, 1}, {8, 2}}},
		{8, 1}:   {Below: []Number{{8, 0}}, Readers: []Number{{253, 1}}},
		{253, 1}: {Origins: []Number{{8, 1}}},
		{8, 2}:   {Below: []Number{{8, 0}}, Above: []Number{{253, 0}}},
		{253, 0}: {Below: []Number{{8, 2}}},
		{9, 9}:   {},
	} {
		if got, err := relatives(sys, n); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %v, %v", n, got, err)
		}
	}
}

// The real loop driver, where the test may use it.
func TestLoopDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	loop := attachOrSkip(t, path)
	device := loop.Path
	file, err := kernelDisks{}.Identify(path)
	if err != nil || file.Block {
		t.Fatalf("%+v, %v", file, err)
	}
	if !loop.Block || loop.Number.Major != 7 {
		t.Errorf("loop device %+v", loop)
	}
	c, err := carriers(kernelDisks{}, file)
	if err != nil || !reflect.DeepEqual(c.mounted, []Number{loop.Number}) {
		t.Errorf("carriers of the file: %v, %v", c.mounted, err)
	}
	for range 2 {
		if err := (kernelDisks{}).Detach(device); err != nil {
			t.Error(err)
		}
	}
	if c, err := carriers(kernelDisks{}, file); err != nil || len(c.mounted) > 0 {
		t.Errorf("carriers after detach: %v, %v", c.mounted, err)
	}
}

// attachOrSkip makes a loop device, or skips the test where that is not allowed.
func attachOrSkip(t *testing.T, path string) Medium {
	t.Helper()
	device, err := kernelDisks{}.Attach(path, true)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := (kernelDisks{}).Detach(device); err != nil {
			t.Error(err)
		}
	})
	m, err := kernelDisks{}.Identify(device)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A loop device over a block device is how the file system with the medium's ISO file is mounted.
func TestLoopDeviceOverABlockDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	disk := attachOrSkip(t, path)
	over := attachOrSkip(t, disk.Path)
	for _, m := range []Medium{disk, over} {
		c, err := carriers(kernelDisks{}, m)
		if err != nil || !slices.Contains(c.mounted, disk.Number) || !slices.Contains(c.mounted, over.Number) {
			t.Errorf("carriers of %s: %v, %v; want both devices", m.Path, c.mounted, err)
		}
	}
	claim, err := os.OpenFile(disk.Path, os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if claimed, err := (kernelDisks{}).Claimed(disk); err != nil || claimed != want {
			t.Errorf("Claimed = %v, %v, want %v", claimed, err, want)
		}
		claim.Close()
	}
}

// A loop device that is being taken down cannot be opened (ENXIO), nor can a device without a driver.
func TestLoopDeviceInTeardownIsNotInUse(t *testing.T) {
	node := filepath.Join(t.TempDir(), "loop")
	const localUse = 240 // Linux, admin-guide/devices.txt: no driver
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(localUse, 0))); err != nil {
		t.Skipf("making a device takes root: %v", err)
	}
	if _, err := readLoop(node); !loopdev.Gone(err) {
		t.Errorf("readLoop = %v, want what says that it is not in use", err)
	}
	if _, err := readLoop(node + "0"); !loopdev.Gone(err) {
		t.Errorf("readLoop of a device that is removed = %v", err)
	}
}

func TestLockIsNotWaitedForWithoutEnd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "run/lock")
	unlock, err := lockFile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = lockFile(ctx, name)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another guest's disk") {
		t.Errorf("lock that is held: %v", err)
	}
	unlock()
	unlock, err = lockFile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// Guest 1's disk fails half way; guest 2 gets the loop device that became free; libxl then cleans guest 1 up.
func TestFailedAddDetachesNobodyElse(t *testing.T) {
	for _, refused := range []string{"physical-device-path", "hotplug-status"} {
		t.Run(refused, func(t *testing.T) {
			server, h := vbdServer("/img/disk", "w"), newHost()
			server.Refuse(vbdPath+"/"+refused, "EIO")
			if err := run(t, server, h, "block", vbdPath, "add"); err == nil {
				t.Fatal("no error")
			}
			if len(h.loops) > 0 {
				t.Errorf("loop devices %v are left over", h.loops)
			}
			for _, key := range []string{"node", "physical-device"} {
				if got := value(server, vbdPath+"/"+key); got != "-" {
					t.Errorf("%s is still %q", key, got)
				}
			}
			secondGuestIsLeftAlone(t, server, h)
		})
	}
}

// The keys of a failed attach may be left where xenstore does not answer any more.
func TestStaleNodeDetachesNobodyElse(t *testing.T) {
	server, h := vbdServer("/img/disk", "w"), newHost()
	server.Set(vbdPath+"/node", "/dev/loop10")
	secondGuestIsLeftAlone(t, server, h)
}

// secondGuestIsLeftAlone starts guest 2 with a disk and removes guest 1's.
func secondGuestIsLeftAlone(t *testing.T, server *xenstoretest.Server, h *host) {
	t.Helper()
	const other = "/local/domain/0/backend/vbd/2/51712"
	h.media["/img/two"] = Medium{Path: "/img/two", Device: 5, Inode: 78}
	server.SetAll(other, map[string]string{"state": "2", "params": "/img/two", "mode": "w"})
	server.SetAll("/local/domain/2", map[string]string{"vm": "/vm/two", "name": "two"})
	for _, call := range [][2]string{{other, "add"}, {vbdPath, "remove"}} {
		if err := run(t, server, h, "block", call[0], call[1]); err != nil && call[0] == other {
			t.Fatal(err)
		}
	}
	if device := value(server, other+"/node"); h.loops[device] == "" {
		t.Errorf("guest 2's disk %s was taken down with guest 1's; calls %q", device, h.calls)
	}
	if err := run(t, server, h, "block", other, "remove"); err != nil || len(h.loops) > 0 {
		t.Errorf("after guest 2's removal: %v, loop devices %v", err, h.loops)
	}
}

func TestFindSources(t *testing.T) {
	mounts := []Mount{
		{Number: Number{0, 42}, Source: "/dev/sda1", Dir: "/btrfs"}, {Number: Number{0, 43}, Source: "/dev/gone"},
		{Number: Number{0, 44}, Source: "tmpfs"}, {Number: Number{8, 5}, Source: "/dev/sda"},
	}
	findSources(mounts, newHost().Identify)
	var got []Number
	for _, m := range mounts {
		got = append(got, m.Number)
	}
	if want := []Number{{8, 1}, {0, 43}, {0, 44}, {8, 5}}; !slices.Equal(got, want) {
		t.Errorf("numbers %v, want %v", got, want)
	}
}
