package guestdisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/diskimage"
	"github.com/zerodisc/zerodisc/internal/guestdisk/guestdisktest"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// image is an image of runs, each as it was written down: its bytes are found by nobody.
type image struct{ runs []diskimage.Run }

func (i image) Size() int64 {
	var size int64
	for _, run := range i.runs {
		size += run.Length
	}
	return size
}

func (i image) Lookup(offset, limit int64) (diskimage.Run, error) {
	for _, run := range i.runs {
		if offset < run.Length {
			if run.Kind == broken {
				return run, errors.New("a broken table")
			}
			run.Offset, run.Length = run.Offset+offset, min(run.Length-offset, limit)
			return run, nil
		}
		offset -= run.Length
	}
	return diskimage.Run{}, io.EOF
}

func (i image) Close() error { return nil }

const broken diskimage.Kind = 99

// world has a manager over a fake kernel.
type world struct {
	*Manager
	t      *testing.T
	kernel *guestdisktest.Kernel
	image  Image
	free   int64 // of dom0's memory, KiB
	facts  []host.GuestDisks
	files  []memory.Entry
	dir    string // of the guest
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, kernel: &guestdisktest.Kernel{Size: 1 << 30}, free: 1 << 20, dir: t.TempDir()}
	ledger := memory.New(memory.Source{
		XenFree:   func(context.Context) (int64, error) { return 0, nil },
		Available: func() (int64, error) { return w.free, nil },
	}, func(entries []memory.Entry) { w.files = entries })
	w.Manager = New(Config{
		Kernel: w.kernel, Images: w, Load: w.kernel.Load, Ledger: ledger, Dir: t.TempDir(),
		Budgets: func() Budgets { return Budgets{} },
		Direct:  func(target string) bool { return target == "/dev/direct" || target == "/dev/vg/lv" },
		Tell:    func(f host.Fact) { w.facts = append(w.facts, f.(host.GuestDisks)) },
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	w.write("disk.img")
	return w
}

func (w *world) write(name string) string {
	w.t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.WriteFile(name, []byte("content"), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *world) Open(string, string) (Image, error) {
	if w.image == nil {
		return nil, errors.New("disk.img: not a qcow2 image")
	}
	return w.image, nil
}

func (w *world) Serve(_ context.Context, key, _, _, format string) (string, error) {
	return "/dev/ublkb0", w.kernel.Load(context.Background(), "serve "+key+" "+format)
}

func (w *world) Stop(key string) error { return w.kernel.Load(context.Background(), "stop "+key) }

// spec is a guest with such disks.
func (w *world) spec(disks ...guests.Disk) *guests.Resolved {
	for i := range disks {
		if !strings.HasPrefix(disks[i].Target, "/") {
			disks[i].Target = filepath.Join(w.dir, disks[i].Target)
		}
	}
	return &guests.Resolved{Guest: &guests.Guest{Name: "web", File: "web.cfg"}, UUID: "u", Disks: disks}
}

func (w *world) want(what string, want ...string) {
	w.t.Helper()
	if got := w.kernel.Calls(); !slices.Equal(got, want) {
		w.t.Errorf("%s:\ngot  %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// writable is a disk that the guest may write to.
var writable = guests.Disk{Vdev: "xvda", Target: "disk.img", Format: "raw", Writable: true}

const (
	load = "load dm_mod ublk_drv"
	gib  = 1 << 30 / 512
)

func TestCopyOnWrite(t *testing.T) {
	w := newWorld(t)
	spec := w.spec(writable)
	set, err := w.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	w.want("prepare", load, fmt.Sprint("mount u ", storeBytes(272*mib)), "attach disk.img true", "attach xvda false",
		fmt.Sprintf(`create guest-u-xvda-cow "ZERODISC-COW-guest-u-xvda-cow" false `+
			`[0 %d snapshot /dev/loop1 /dev/loop2 P 8]`, gib),
		fmt.Sprintf(`create guest-u-xvda "" false [0 %d linear /dev/mapper/guest-u-xvda-cow 0]`, gib))
	if got := set.Devices()["xvda"]; got != "/dev/mapper/guest-u-xvda" {
		t.Errorf("the guest gets %q", got)
	}
	if f := w.facts[0]; f.Changes != (host.Changes{BudgetKiB: 256 << 10}) || !f.Disks[0].CopyOnWrite {
		t.Errorf("told %+v", f)
	}
	if len(w.files) != 1 || w.files[0].Owner != "web (changes to its disks)" || w.files[0].Dom0KiB != 272<<10 {
		t.Errorf("ledger %+v", w.files)
	}
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	w.want("close", "remove guest-u-xvda", "remove guest-u-xvda-cow", "unmount u")
	if len(w.files) != 0 {
		t.Errorf("ledger after close %+v", w.files)
	}
}

// TestWhatNeedsNothing has disks that are given to the guest as they are.
func TestWhatNeedsNothing(t *testing.T) {
	w := newWorld(t)
	w.kernel.Memory = []string{w.dir}
	w.kernel.Blocks = []string{"/dev/direct", "/dev/sda"}
	saved := filepath.Join(t.TempDir(), "saved.img") // on the state volume
	if err := os.WriteFile(saved, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Direct = func(target string) bool { return target == "/dev/direct" || target == saved }
	set, err := w.Prepare(t.Context(), w.spec(
		writable,
		guests.Disk{Vdev: "xvdb", Target: "/dev/direct", Format: "raw", Writable: true},
		guests.Disk{Vdev: "xvdc", Target: "/dev/sda", Format: "raw"},
		guests.Disk{Vdev: "xvdd", Target: saved, Format: "raw", Writable: true},
	))
	if err != nil || len(set.Devices()) != 0 {
		t.Errorf("%v, %v", set.Devices(), err)
	}
	w.want("prepare")
	if err := set.Close(); err != nil {
		t.Error(err)
	}
}

// TestWriteInPlace is a logical volume that a person has named as one to write to.
func TestWriteInPlace(t *testing.T) {
	w := newWorld(t)
	w.kernel.Blocks = []string{"/dev/vg/lv"}
	volume := guests.Disk{Vdev: "xvda", Target: "/dev/vg/lv", Format: "raw", Writable: true}
	_, err := w.Prepare(t.Context(), w.spec(volume))
	want := "web.cfg: disk xvda: /dev/vg/lv can only be read here, like all logical volumes and arrays; " +
		"check the disk, and zerodisc.write"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestBlockDevice is a partition that a guest may write to, which must not change.
func TestBlockDevice(t *testing.T) {
	w := newWorld(t)
	w.kernel.Blocks = []string{"/dev/sda3"}
	partition := guests.Disk{Vdev: "xvda", Target: "/dev/sda3", Format: "raw", Writable: true}
	set, err := w.Prepare(t.Context(), w.spec(partition))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if got := w.facts[0].Disks[0].Node; got != "/dev/sda3" {
		t.Errorf("told that it is %q", got)
	}
	calls := strings.Join(w.kernel.Calls(), "\n")
	if !strings.Contains(calls, "snapshot /dev/sda3 /dev/loop1 P 8]") {
		t.Error(calls)
	}
}

// TestNode has a disk that is named by a link, which goes with the disk.
func TestNode(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	if got := node(link); got != os.DevNull {
		t.Errorf("%s leads to %s", link, got)
	}
	if got := node("/dev/none"); got != "/dev/none" {
		t.Errorf("what is not there: %s", got)
	}
}

// TestImage lays out an image of all kinds of parts.
func TestImage(t *testing.T) {
	w := newWorld(t)
	file, err := os.Open(w.write("disk.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w.image = image{[]diskimage.Run{
		{Kind: diskimage.Data, Length: 1 << 20, File: file, Offset: 1 << 16},
		{Kind: diskimage.Zero, Length: 1 << 20},
		{Kind: diskimage.Packed, Length: 1 << 16}, {Kind: diskimage.Packed, Length: 1 << 16},
		{Kind: diskimage.Data, Length: 1 << 16, File: file, Offset: 100}, // not a whole sector
		{Kind: broken, Length: 1 << 16},
		{Kind: diskimage.Data, Length: 1 << 20, File: file, Offset: 1 << 21},
	}}
	set, err := w.Prepare(t.Context(), w.spec(guests.Disk{Vdev: "xvda", Target: "disk.qcow2", Format: "qcow2"}))
	if err != nil {
		t.Fatal(err)
	}
	w.want("prepare", load, "attach disk.qcow2 true", "load serve guest-u-xvda qcow2",
		`create guest-u-xvda-base "" true [0 2048 linear /dev/loop1 128] [2048 2048 zero ] `+
			`[4096 512 linear /dev/ublkb0 4096] [4608 2048 linear /dev/loop1 4096]`)
	if told := w.facts[len(w.facts)-1].Disks[0].Problem; told != "some of it cannot be read: a broken table" {
		t.Errorf("told %q", told)
	}
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	w.want("close", "remove guest-u-xvda-base", "load stop guest-u-xvda")
}

// TestBrokenForYears has an image of a petabyte of which nothing can be found: that is known in no time.
func TestBrokenForYears(t *testing.T) {
	began := time.Now()
	parts, err := layOut(image{[]diskimage.Run{{Kind: broken, Length: 1 << 50}}})
	if err == nil || len(parts) != 1 || parts[0].kind != served || parts[0].length != 1<<50 {
		t.Errorf("%+v, %v", parts, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestManyPieces has images in more pieces than a table may have rows.
func TestManyPieces(t *testing.T) {
	file := os.Stdin
	pieces := func(n int, length int64) (runs []diskimage.Run) {
		for i := range n {
			at := int64(n-i) << 30
			runs = append(runs, diskimage.Run{Kind: diskimage.Data, Length: length, File: file, Offset: at})
		}
		return runs
	}
	for _, test := range []struct {
		name        string
		runs        []diskimage.Run
		rows, least int // of the layout, and how many of them are not served
	}{
		{"few", pieces(100, 1<<16), 100, 100},
		{"many small ones", pieces(5000, 1<<16), 1, 0},
		{"small ones and large ones", slices.Concat(pieces(5000, 1<<16), pieces(1000, 1<<20)), 1001, 1000},
		{"too many to look at", pieces(70000, 1<<16), 1, 0},
	} {
		parts, err := layOut(image{test.runs})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		direct := 0
		at := int64(0)
		for _, p := range parts {
			if p.kind == stored {
				direct++
			}
			if p.start != at {
				t.Errorf("%s: a part at %d, want %d", test.name, p.start, at)
			}
			at += p.length
		}
		if size := (image{test.runs}).Size(); at != size {
			t.Errorf("%s: %d bytes of %d", test.name, at, size)
		}
		if len(parts) != test.rows || direct != test.least {
			t.Errorf("%s: %d rows, %d direct ones, want %d and %d",
				test.name, len(parts), direct, test.rows, test.least)
		}
	}
}

// TestFailureLeavesNothing lets each step of a preparation fail.
func TestFailureLeavesNothing(t *testing.T) {
	for _, step := range []string{
		"load", "mount", "attach disk.img", "attach xvda", "create guest-u-xvda-cow", `create guest-u-xvda "`,
	} {
		w := newWorld(t)
		w.kernel.Failing = step
		spec := w.spec(writable)
		_, err := w.Prepare(t.Context(), spec)
		var fault *guests.Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), "no luck") {
			t.Errorf("%s: %v", step, err)
		}
		if names, _ := w.kernel.Names(); len(names) > 0 || len(w.files) > 0 || len(w.facts) > 0 {
			t.Errorf("%s: left %v, %+v, told %v", step, names, w.files, w.facts)
		}
		if left, _ := filepath.Glob(filepath.Join(w.Dir, "*")); step != "mount" && len(left) > 0 {
			t.Errorf("%s: left %v", step, left)
		}
	}
}

// budgets are so many MiB for each guest.
func budgets(size int64) func() Budgets { return func() Budgets { return NewBudgets(size*mib, nil) } }

// TestNoRoom is a guest whose budget does not fit.
func TestNoRoom(t *testing.T) {
	w := newWorld(t)
	w.free = 50 << 10
	w.Budgets = budgets(100)
	_, err := w.Prepare(t.Context(), w.spec(writable))
	want := "web.cfg: changes to its disks may take 100 MiB, and 16 MiB more are kept in reserve: " +
		"it takes 116 MiB of dom0's memory, where 26 MiB are free for it; " + budgetRemedy
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestBudget fills a guest's budget.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Budgets = budgets(64)
		set, err := w.Prepare(t.Context(), w.spec(writable))
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		w.kernel.Calls()
		closed := fmt.Sprintf(
			"replace guest-u-xvda [0 %d flakey /dev/mapper/guest-u-xvda-cow 0 0 1 1 error_writes]", gib)
		for _, step := range []struct {
			used  int64
			facts int
		}{{mib / 2, 0}, {5 * mib, 1}, {5*mib + 4096, 0}, {63 * mib, 1}, {64 * mib, 1}, {70 * mib, 0}} {
			w.facts = nil
			w.kernel.Use(step.used)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if len(w.facts) != step.facts {
				t.Errorf("%d bytes used: told %+v", step.used, w.facts)
			}
			if step.facts > 0 && w.facts[0].Changes.UsedKiB != step.used>>10 {
				t.Errorf("%d bytes used: told %+v", step.used, w.facts)
			}
			if calls := w.kernel.Calls(); (step.used == 64*mib) != (len(calls) == 1) {
				t.Errorf("%d bytes used: %v", step.used, calls)
			} else if len(calls) == 1 && calls[0] != closed {
				t.Errorf("got %v, want %s", calls, closed)
			}
		}
	})
}

// TestRevive has snapshots fail: one of a guest that may write, and one of a guest whose budget is used up.
func TestRevive(t *testing.T) {
	for _, test := range []struct {
		name, fails, last string
		used              int64
	}{
		{"open", "", "linear /dev/mapper/new-guest-u-xvda-cow 0]", 0},
		{"full", "", "flakey /dev/mapper/new-guest-u-xvda-cow 0 0 1 1 error_writes]", 300 * mib},
		{"lost", "revive", "", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			set, err := w.Prepare(t.Context(), w.spec(writable))
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			synctest.Wait()
			w.kernel.Calls()
			w.kernel.Failing = test.fails
			w.kernel.Use(test.used)
			w.kernel.Spoil()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			want := []string{
				fmt.Sprintf("replace guest-u-xvda [0 %d error ]", gib),
				`revive guest-u-xvda-cow "ZERODISC-COW-guest-u-xvda-cow" xvda`,
				fmt.Sprintf("replace guest-u-xvda [0 %d ", gib) + test.last,
			}
			calls := w.kernel.Calls()
			switch test.name {
			case "full":
				calls = calls[1:] // it was closed first
			case "lost":
				want = want[:2]
			}
			if !slices.Equal(calls, want) {
				t.Errorf("%s: got %q, want %q", test.name, calls, want)
			}
		})
	}
}

// TestReviveWaits has a snapshot fail that somebody has open.
func TestReviveWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		set, err := w.Prepare(t.Context(), w.spec(writable))
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		synctest.Wait()
		w.kernel.Failing, w.kernel.Error = "revive", unix.EBUSY
		w.kernel.Spoil()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.kernel.Failing = ""
		w.kernel.Calls()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		calls := w.kernel.Calls()
		if len(calls) != 3 || !strings.Contains(calls[2], "linear /dev/mapper/new-guest-u-xvda-cow") {
			t.Errorf("when it is free: %q", calls)
		}
	})
}

// TestBudgetIsSeenInTime has a guest that writes as fast as memory is: what it writes until its disks refuse is less
// than the slack.
func TestBudgetIsSeenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Budgets = budgets(200)
		set, err := w.Prepare(t.Context(), w.spec(writable))
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		w.kernel.Calls()
		for used := int64(0); used < 216*mib; used += mib {
			w.kernel.Use(used)
			time.Sleep(time.Millisecond) // 1 GiB a second
			if len(w.kernel.Calls()) > 0 {
				if used < 200*mib || used > 208*mib {
					t.Errorf("the disk refuses writes at %d MiB", used/mib)
				}
				return
			}
		}
		t.Error("the disk never refuses writes")
	})
}

// TestResume goes on with a guest's disks in another process.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.image = image{[]diskimage.Run{
			{Kind: diskimage.Packed, Length: 1 << 20}, {Kind: diskimage.Zero, Length: 1 << 20},
		}}
		spec := w.spec(guests.Disk{Vdev: "xvda", Target: "disk.img", Format: "qcow2", Writable: true})
		first, err := w.Prepare(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		first.stop()
		<-first.watched
		left := host.Guest{Disks: w.facts[0].Disks, Changes: w.facts[0].Changes}
		w.kernel.Calls()
		second, err := w.Manager.Resume(&guests.Resolved{Guest: spec.Guest, UUID: "u"}, &left)
		if err != nil || second.Devices()["xvda"] != first.Devices()["xvda"] {
			t.Fatalf("%v, %v", second.Devices(), err)
		}
		opened := fmt.Sprintf("replace guest-u-xvda [0 %d linear /dev/mapper/guest-u-xvda-cow 0]", gib)
		w.want("resume", opened)
		w.kernel.Use(300 * mib)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if calls := w.kernel.Calls(); len(calls) != 1 || !strings.HasPrefix(calls[0], "replace guest-u-xvda [") {
			t.Errorf("over the budget: %v", calls)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		w.want("close", "remove guest-u-xvda", "remove guest-u-xvda-cow", "remove guest-u-xvda-base",
			"load stop guest-u-xvda", "unmount u")
	})
}

func TestBudgets(t *testing.T) {
	for _, test := range []struct {
		all  int64
		want string
	}{{0, "256 16 1024"}, {64 * mib, "64 64 1024"}} {
		b := NewBudgets(test.all, map[string]int64{"web": 1024 * mib})
		got := fmt.Sprint(b.of("db", 1<<40)/mib, " ", b.of("db", 0)/mib, " ", b.of("web", 1<<40)/mib)
		if got != test.want {
			t.Errorf("%d: %s, want %s", test.all, got, test.want)
		}
	}
}
