package hotplug

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
		{"read-only file", "/img/disk", "r", "7:a", "/dev/loop10", "/dev/loop10", "connected", "attach /img/disk readonly=true"},
		{"empty CD drive", "", "r", "-", "-", "-", "connected", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, h := vbdServer(test.params, test.mode), newHost()
			if err := run(t, server, h, "block", "backend/vbd/1/51712", "add"); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]string{
				"physical-device": test.number, "physical-device-path": test.device, "node": test.node, "hotplug-status": test.status,
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

func TestSharing(t *testing.T) {
	tests := []struct {
		name, params, mode string
		setup              func(*xenstoretest.Server, *host)
		want               string // empty: allowed
	}{
		{"other guest writes", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "w") }, "/dev/sda1 is used by guest two (writable)"},
		{"other guest reads", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "r") }, "used by guest two (read-only)"},
		{"reader beside writer", "/dev/sda1", "r", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "w") }, "cannot be given to another guest (read-only)"},
		{"two readers", "/dev/sda1", "r", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "r") }, ""},
		{"other device", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:11", "w") }, ""},
		{"disk of a partition in use", "/dev/sda", "w", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "w") }, "/dev/sda is used by guest two"},
		{"unchecked", "/dev/sda1", "w!", func(s *xenstoretest.Server, _ *host) { otherGuest(s, "8:1", "w") }, ""},
		{"restarting guest", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
			s.Set("/local/domain/2/vm", "/vm/one")
		}, ""},
		{"guest that is gone", "/dev/sda1", "w", func(s *xenstoretest.Server, _ *host) {
			otherGuest(s, "8:1", "w")
			s.Remove("/local/domain/2")
		}, ""},
		{"mounted", "/dev/sda1", "w", func(_ *xenstoretest.Server, h *host) { h.mounts = []Mount{{Number{8, 1}, "/media/boot", true}} }, "mounted on /media/boot in dom0 (read-only)"},
		{"mounted, both read-only", "/dev/sda1", "r", func(_ *xenstoretest.Server, h *host) { h.mounts = []Mount{{Number{8, 1}, "/media/boot", true}} }, ""},
		{"partition mounted", "/dev/sda", "r", func(_ *xenstoretest.Server, h *host) { h.mounts = []Mount{{Number{8, 1}, "/mnt", false}} }, "/dev/sda is mounted on /mnt"},
		{"file in use", "/img/disk", "w", func(s *xenstoretest.Server, h *host) {
			h.loops["/dev/loop10"] = "/img/disk"
			h.media["/dev/loop10"] = Medium{Path: "/dev/loop10", Block: true, Number: Number{7, 10}}
			otherGuest(s, "7:a", "r")
		}, "/img/disk is used by guest two"},
		{"file of a forgotten loop device", "/img/disk", "w", func(s *xenstoretest.Server, h *host) {
			h.loops["/dev/loop10"] = "/img/disk"
			h.media["/dev/loop10"] = Medium{Path: "/dev/loop10", Block: true, Number: Number{7, 10}}
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
		if err := run(t, server, h, "block", vbdPath, "add"); err == nil || !strings.Contains(err.Error(), "given up") || len(h.loops) > 0 {
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
	want := []Mount{{Number{0, 2}, "/", false}, {Number{11, 0}, "/media/boot", true}, {Number{8, 17}, "/mnt\\040x", false}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseMountInfo(strings.NewReader("22 1 x:2 / / rw - rootfs none rw\n")); err == nil || !strings.Contains(err.Error(), "line 1") {
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
	} {
		file = filepath.Join(sys, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	block := filepath.Join(sys, "dev/block")
	err := errors.Join(os.MkdirAll(block, 0o755),
		os.Symlink("../../devices/sda", filepath.Join(block, "8:0")),
		os.Symlink("../../devices/sda/sda1", filepath.Join(block, "8:1")))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[Number][]Number{{8, 0}: {{8, 1}, {8, 2}}, {8, 1}: {{8, 0}}, {9, 9}: nil} {
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
	device, err := kernelDisks{}.Attach(path, true)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer kernelDisks{}.Detach(device)
	file, err := kernelDisks{}.Identify(path)
	if err != nil || file.Block {
		t.Fatalf("%+v, %v", file, err)
	}
	loop, err := kernelDisks{}.Identify(device)
	if err != nil || !loop.Block || loop.Number.Major != 7 {
		t.Fatalf("%+v, %v", loop, err)
	}
	if numbers, err := (kernelDisks{}).Loops(file); err != nil || !reflect.DeepEqual(numbers, []Number{loop.Number}) {
		t.Errorf("loops %v, %v", numbers, err)
	}
	for range 2 {
		if err := (kernelDisks{}).Detach(device); err != nil {
			t.Error(err)
		}
	}
	if numbers, err := (kernelDisks{}).Loops(file); err != nil || len(numbers) > 0 {
		t.Errorf("loops after detach %v, %v", numbers, err)
	}
}
