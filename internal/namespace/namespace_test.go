package namespace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/testns"
)

// The root file system has room for a tenth of the memory, beyond what it has.
func TestRootIsBounded(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		root := t.TempDir()
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, ""); err != nil {
			t.Skip(err)
		}
		if err := os.WriteFile(filepath.Join(root, "initrd"), make([]byte, 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		var all unix.Sysinfo_t
		var fs unix.Statfs_t
		err := errors.Join(unix.Chroot(root), unix.Chdir("/"), boundRoot(), unix.Statfs("/", &fs), unix.Sysinfo(&all))
		if err != nil {
			t.Fatal(err)
		}
		size, want := fs.Blocks*uint64(fs.Bsize), all.Totalram*uint64(all.Unit)/10+1<<20
		if size < want || size > want+1<<16 {
			t.Errorf("it has room for %d bytes, want %d", size, want)
		}
	})
}

// What is written without being asked for is bounded, and nothing is mounted over what was mounted before.
func TestLimits(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		root := t.TempDir()
		t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, ""); err != nil {
			t.Skip(err)
		}
		var all unix.Sysinfo_t
		if err := unix.Sysinfo(&all); err != nil {
			t.Fatal(err)
		}
		ram := all.Totalram * uint64(all.Unit)
		limits := map[string]uint64{"/run": ram / 8, "/run/zerodisc": 8 << 20, "/tmp": ram / 3, "/var/log": 8 << 20}
		var order []string
		for _, m := range mounts {
			order = append(order, m.target)
			limit, ok := limits[m.target]
			if !ok {
				continue
			}
			m.target = filepath.Join(root, m.target)
			if err := m.make(); err != nil {
				t.Fatal(err)
			}
			var fs unix.Statfs_t
			if err := unix.Statfs(m.target, &fs); err != nil {
				t.Fatal(err)
			}
			if size := fs.Blocks * uint64(fs.Bsize); size > limit {
				t.Errorf("%s has room for %d bytes, want %d at most", m.target, size, limit)
			}
			delete(limits, order[len(order)-1])
		}
		if len(limits) > 0 {
			t.Errorf("not mounted: %v", limits)
		}
		for i, target := range order {
			if parent := slices.Index(order, filepath.Dir(target)); parent > i {
				t.Errorf("%s is mounted over %s", order[parent], target)
			}
		}
	})
}
