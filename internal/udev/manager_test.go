package udev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// bench is a manager with what it works on.
type bench struct {
	*Manager
	t    *testing.T
	dev  string
	run  string
	mu   sync.Mutex
	done []string // events that were reported
	said []Properties
}

// newBench runs a manager on the machine for the length of the test.
func newBench(t *testing.T, sys fs.FS, ask func(node string, slow func()) Answer) *bench {
	t.Helper()
	return newIdleBench(t, sys, nil, ask)
}

func newIdleBench(t *testing.T, sys fs.FS, idle <-chan struct{}, ask func(node string, slow func()) Answer) *bench {
	t.Helper()
	b := &bench{t: t, dev: t.TempDir(), run: t.TempDir()}
	b.Manager = New(Config{
		Sys: sys, Dev: b.dev, Run: b.run, Ask: ask, AddNames: func(int, []string) error { return nil }, Idle: idle,
		Announce: func(message []byte) {
			p, err := ParseMessage(message)
			if err != nil {
				t.Error(err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.said = append(b.said, p)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		b.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return b
}

// answerOf answers as the machine's disks do.
func answerOf(node string, _ func()) Answer { return told[filepath.Base(node)] }

// feed has an event handled.
func (b *bench) feed(e uevent.Event) {
	b.Handle(e, func(e uevent.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.done = append(b.done, e.Action+" "+path.Base(e.DevPath))
	})
}

// reported returns what was reported since the last call.
func (b *bench) reported() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	done := b.done
	b.done = nil
	return done
}

// tree lists the links below a directory and what they lead to.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	links := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		target, err := os.Readlink(at)
		name, _ := filepath.Rel(dir, at)
		links[name] = filepath.Base(target)
		if resolved := filepath.Join(filepath.Dir(at), target); filepath.Dir(resolved) != dir {
			t.Errorf("%s leads to %s", name, target)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// TestManagerMakesLinks has the whole machine come and go.
func TestManagerMakesLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(), answerOf)
		for _, f := range fixtures {
			if f.subsystem != "" {
				b.feed(f.event(t))
			}
		}
		if n := len(b.reported()); n < 50 {
			t.Errorf("%d events were reported", n)
		}
		links := tree(t, b.dev)
		for link, node := range map[string]string{
			"disk/by-label/ESP\\x201": "sda1", "disk/by-uuid/1A2B-3C4D": "sda1", "cdrom": "sr0", "block/8:1": "sda1",
			"disk/by-label/ZERODISC": "sr0", "mapper/vg--1-home": "dm-0", "vg-1/home": "dm-0", "md/data": "md127",
			"disk/by-label/..\\x2f..\\x2fetc\\x1b": "sdb1", "disk/by-id/scsi-36001405a123456789abcdef011223344": "sdc",
			"serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0": "ttyUSB0",
		} {
			if links[link] != node {
				t.Errorf("%s leads to %q, want %s", link, links[link], node)
			}
		}
		entry, err := os.ReadFile(filepath.Join(b.run, "data/b8:1"))
		if e := ParseEntry(string(entry)); err != nil || e.Properties.Get("ID_FS_UUID") != "1A2B-3C4D" ||
			!slices.Contains(e.Links, "disk/by-uuid/1A2B-3C4D") || e.Initialized == 0 {
			t.Errorf("%v: %+v", err, e)
		}
		said := b.said[slices.IndexFunc(b.said, func(p Properties) bool { return p.Get("DEVNAME") == "/dev/sda1" })]
		if said.Get("ID_FS_TYPE") != "vfat" || said.Get("SEQNUM") != "77" || said.Get("ACTION") != "add" ||
			!strings.Contains(said.Get("DEVLINKS")+" ", "/dev/disk/by-label/ESP\\x201 ") {
			t.Errorf("announced %q", said)
		}
		for _, f := range slices.Backward(fixtures) {
			if f.subsystem != "" {
				b.feed(f.event(t).WithAction("remove"))
			}
		}
		b.reported()
		if links := tree(t, b.dev); len(links) > 0 {
			t.Errorf("links that were left: %v", links)
		}
		left, err := os.ReadDir(filepath.Join(b.run, "data"))
		if err != nil || len(left) > 0 {
			t.Errorf("entries that were left: %v, %v", left, err)
		}
		if dirs, _ := os.ReadDir(b.dev); len(dirs) > 0 {
			t.Errorf("directories that were left: %v", dirs)
		}
	})
}

// TestTwoDisksWithOneLabel: the first has the link while it is there, but a higher priority wins.
func TestTwoDisksWithOneLabel(t *testing.T) {
	l := newLinks(t.TempDir())
	leads := func(want string) {
		t.Helper()
		if got := tree(t, l.dev)["disk/by-label/x"]; got != want {
			t.Errorf("leads to %q, want %q", got, want)
		}
	}
	x := []string{"disk/by-label/x"}
	steps := []struct {
		device      string
		had, wanted []string
		priority    int
		want        string
	}{
		{"sda", nil, x, 0, "sda"},
		{"sdb", nil, x, 0, "sda"},
		{"sdc", nil, x, 0, "sda"},
		{"sda", x, x, 0, "sda"},
		{"sda", x, nil, 0, "sdb"},
		{"sda", nil, x, 0, "sdb"},
		{"md0", nil, x, 100, "md0"},
		{"sr0", nil, x, -100, "md0"},
		{"md0", x, nil, 0, "sdb"},
		{"sdb", x, nil, 0, "sdc"},
		{"sdc", x, nil, 0, "sda"},
		{"sda", x, nil, 0, "sr0"},
		{"sr0", x, nil, 0, ""},
	}
	for _, s := range steps {
		if err := l.update("/devices/"+s.device, s.device, s.had, s.wanted, s.priority); err != nil {
			t.Error(err)
		}
		leads(s.want)
	}
	if left, _ := os.ReadDir(l.dev); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLinksTakeNobodysPlace: names come from foreign disks.
func TestLinksTakeNobodysPlace(t *testing.T) {
	l := newLinks(t.TempDir())
	for _, dir := range []string{"xen", "pts"} {
		if err := os.Mkdir(filepath.Join(l.dev, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"null", "xen/evtchn", "sda"} {
		if err := os.WriteFile(filepath.Join(l.dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/proc/self/fd", filepath.Join(l.dev, "fd")); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"null", "xen/evtchn", "fd/0", "sda/lv", "vg/../../etc/x"} {
		if err := l.update("/devices/dm-0", "dm-0", nil, []string{link}, 0); err == nil {
			t.Errorf("%s was made", link)
		}
		if err := l.update("/devices/dm-0", "dm-0", []string{link}, nil, 0); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"null", "xen/evtchn"} {
		if info, err := os.Lstat(filepath.Join(l.dev, name)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if err := l.update("/devices/dm-0", "dm-0", nil, []string{"mapper/a", "vg/lv"}, 0); err != nil {
		t.Error(err)
	}
}

// TestDyingDisk: one that does not answer keeps nobody waiting for long, and its links follow.
func TestDyingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revived := make(chan struct{})
		asked := 0
		var mu sync.Mutex
		b := newBench(t, machine(), func(node string, slow func()) Answer {
			if filepath.Base(node) == "sda" {
				mu.Lock()
				asked++
				mu.Unlock()
				<-revived
			}
			return answerOf(node, slow)
		})
		for _, name := range []string{"sda", "sda1", "sdb"} {
			b.feed(find(t, name, "block").event(t))
		}
		if got := b.reported(); !slices.Equal(got, []string{"add sdb"}) {
			t.Errorf("at once: %q", got)
		}
		time.Sleep(3 * time.Second)
		if got := b.reported(); !slices.Equal(got, []string{"add sda", "add sda1"}) {
			t.Errorf("after 3 s: %q", got)
		}
		links := tree(t, b.dev)
		if links["disk/by-path/pci-0000:00:1f.2-ata-3.0"] != "sda" || links["disk/by-uuid/1A2B-3C4D"] != "sda1" ||
			links["disk/by-id/ata-QEMU_HARDDISK_QM00005"] != "" {
			t.Errorf("without its answer: %v", links)
		}
		b.feed(find(t, "sda", "block").event(t).WithAction("change"))
		if got := b.reported(); !slices.Equal(got, []string{"change sda"}) || asked != 1 {
			t.Errorf("a change meanwhile: %q, asked %d times", got, asked)
		}
		close(revived)
		got := b.reported()
		slices.Sort(got)
		if !slices.Equal(got, []string{"change sda", "change sda1"}) {
			t.Errorf("when it answers: %q", got)
		}
		links = tree(t, b.dev)
		if links["disk/by-id/ata-QEMU_HARDDISK_QM00005"] != "sda" ||
			links["disk/by-partuuid/11111111-0000-4000-8000-000000000001"] != "sda1" {
			t.Errorf("with its answer: %v", links)
		}
		if asked != 2 {
			t.Errorf("asked %d times, want 2: it has changed", asked)
		}
	})
}

// TestDyingDiskThatGoes: an answer about a disk that has gone is nobody's.
func TestDyingDiskThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revived := make(chan struct{})
		b := newBench(t, machine(), func(node string, slow func()) Answer {
			<-revived
			return answerOf(node, slow)
		})
		b.feed(find(t, "sr0", "block").event(t))
		time.Sleep(4 * time.Second)
		b.feed(find(t, "sr0", "block").event(t).WithAction("remove"))
		b.reported()
		close(revived)
		if got := b.reported(); len(got) > 0 || len(tree(t, b.dev)) > 0 {
			t.Errorf("reported %q, links %v", got, tree(t, b.dev))
		}
	})
}

// TestSlowDrive: a drive that says that it is reading its disc in is not waited for at all.
func TestSlowDrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(), func(node string, slow func()) Answer {
			for range 20 {
				slow()
				time.Sleep(discPause)
			}
			return answerOf(node, slow)
		})
		b.feed(find(t, "sr0", "block").event(t))
		if got := b.reported(); !slices.Equal(got, []string{"add sr0"}) || tree(t, b.dev)["cdrom"] != "sr0" {
			t.Errorf("at once: %q, %v", got, tree(t, b.dev))
		}
		time.Sleep(time.Minute)
		if got := b.reported(); !slices.Equal(got, []string{"change sr0"}) ||
			tree(t, b.dev)["disk/by-label/ZERODISC"] != "sr0" {
			t.Errorf("later: %q, %v", got, tree(t, b.dev))
		}
		f := find(t, "sr0", "block")
		f.uevent = strings.Replace(f.uevent, "DISKSEQ=10", "DISKSEQ=99", 1)
		b.feed(f.event(t).WithAction("change"))
		if b.reported(); tree(t, b.dev)["disk/by-label/ZERODISC"] != "" {
			t.Error("another disc has the label of the one before")
		}
		time.Sleep(time.Minute) // the drive answers
	})
}

// TestManyDyingDisks: those that are silent take no worker from the others.
func TestManyDyingDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revived := make(chan struct{})
		t.Cleanup(func() { close(revived) })
		b := newBench(t, fstest.MapFS{}, func(node string, slow func()) Answer {
			if !strings.HasSuffix(node, "sdz") {
				<-revived
			}
			return Answer{}
		})
		for i := range 20 {
			b.feed(diskEvent("add", fmt.Sprintf("sd%c", 'a'+i), i))
		}
		b.feed(diskEvent("add", "sdz", 99))
		time.Sleep(10 * time.Second)
		if got := b.reported(); len(got) != 21 {
			t.Errorf("%d events were reported: %q", len(got), got)
		}
	})
}

// diskEvent is an event of a disk that is nowhere.
func diskEvent(action, name string, minor int) uevent.Event {
	text := fmt.Sprintf("%s@/devices/virtual/block/%s\x00SUBSYSTEM=block\x00DEVNAME=%s\x00"+
		"DEVTYPE=disk\x00MAJOR=8\x00MINOR=%d\x00DISKSEQ=%d\x00SEQNUM=1\x00", action, name, name, minor, minor+1)
	e, err := uevent.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	return e
}

// liveSys is a sysfs in which disks come and go.
type liveSys struct {
	mu    sync.Mutex
	disks map[string]bool
}

// now is what is there of what name is about.
func (s *liveSys) now(name string) fstest.MapFS {
	s.mu.Lock()
	defer s.mu.Unlock()
	sys := fstest.MapFS{"bus/pci/devices/x": &fstest.MapFile{}, "class/block/x": &fstest.MapFile{}}
	for disk := range s.disks {
		if name != "class/block" && !slices.Contains(strings.Split(name, "/"), disk) {
			continue
		}
		var minor int
		_, _ = fmt.Sscanf(disk, "sd%d", &minor)
		dir := "devices/virtual/block/" + disk
		sys[dir+"/uevent"] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"MAJOR=8\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=disk\nDISKSEQ=%d\n", minor, disk, minor+1)}
		sys["class/block/"+disk] = &fstest.MapFile{Data: []byte("../../" + dir), Mode: fs.ModeSymlink}
	}
	return sys
}

func (s *liveSys) Open(name string) (fs.File, error)      { return s.now(name).Open(name) }
func (s *liveSys) ReadLink(name string) (string, error)   { return s.now(name).ReadLink(name) }
func (s *liveSys) Lstat(name string) (fs.FileInfo, error) { return s.now(name).Lstat(name) }

// flood is a source of events that loses some.
type flood struct {
	events chan uevent.Event
	closed chan struct{}
}

func (f *flood) Receive() (uevent.Event, error) {
	select {
	case e := <-f.events:
		if e.Action == "" {
			return uevent.Event{}, uevent.ErrOverflow
		}
		return e, nil
	case <-f.closed:
		return uevent.Event{}, errors.New("closed")
	}
}

func (f *flood) Close() error { close(f.closed); return nil }

// TestFlood has disks come and go thirty thousand times. A third of the events is lost in the middle; in the end there
// is a link for each disk that is there, and none besides.
func TestFlood(t *testing.T) {
	const disks, events, lostFrom, lostTo = 100, 30000, 10000, 20000
	sys := &liveSys{disks: map[string]bool{}}
	source := &flood{make(chan uevent.Event), make(chan struct{})}
	links := New(Config{
		Sys: sys, Dev: t.TempDir(), Run: t.TempDir(), Announce: func([]byte) {},
		Ask: func(node string, slow func()) Answer {
			return Answer{Content: blkid.Content{Type: "ext4", Usage: blkid.FileSystem, UUID: filepath.Base(node)}}
		},
	})
	m := uevent.NewManager(uevent.Config{
		Source: source, Sys: sys, Load: func(context.Context, string) error { return nil },
		Handle: links.Handle, Remember: Concerns,
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go links.Run(ctx)
	go m.Run(ctx)
	heard, err := m.Subscribe(ctx, func(e uevent.Event) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	there := make(chan map[string]bool)
	go follow(heard, there)

	random := rand.New(rand.NewPCG(1, 2))
	for i := range events {
		n := random.IntN(disks)
		name := fmt.Sprintf("sd%d", n)
		sys.mu.Lock()
		action := "add"
		if sys.disks[name] {
			action = "remove"
		}
		sys.disks[name] = action == "add"
		if action == "remove" {
			delete(sys.disks, name)
		}
		sys.mu.Unlock()
		switch {
		case i == lostTo:
			source.events <- uevent.Event{}
		case i < lostFrom || i > lostTo:
			source.events <- diskEvent(action, name, n)
		}
	}
	if err := m.Settle(ctx, 0); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name := range sys.disks {
		want["disk/by-uuid/"+name] = name
	}
	got := tree(t, links.config.Dev)
	for link := range got {
		if path.Dir(link) != "disk/by-uuid" {
			delete(got, link)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d links, want %d", len(got), len(want))
	}
	entries, err := os.ReadDir(filepath.Join(links.config.Run, "data"))
	if err != nil || len(entries) != len(want) {
		t.Errorf("%d entries, %v, want %d", len(entries), err, len(want))
	}
	source.events <- diskEvent("add", "last", 999)
	if told := <-there; len(told) != len(want) {
		t.Errorf("a subscriber knows of %d disks, want %d", len(told), len(want))
	}
}

// follow keeps track of the disks that a subscriber is told of, until one is called last.
func follow(events <-chan uevent.Event, end chan<- map[string]bool) {
	there := map[string]bool{}
	for e := range events {
		switch {
		case e.DevName == "last":
			end <- there
			return
		case e.Action == "remove":
			delete(there, e.DevName)
		default:
			there[e.DevName] = true
		}
	}
}

func TestMoveKeepsTheInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(), answerOf)
		b.feed(find(t, "eth0", "net").event(t))
		b.reported()
		before, err := os.ReadFile(filepath.Join(b.run, "data/n2"))
		if err != nil {
			t.Fatal(err)
		}
		moved, err := uevent.Parse([]byte("move@/devices/pci0000:00/0000:00:03.0/net/lan0\x00SUBSYSTEM=net\x00" +
			"INTERFACE=lan0\x00IFINDEX=2\x00DEVPATH_OLD=/devices/pci0000:00/0000:00:03.0/net/eth0\x00SEQNUM=80\x00"))
		if err != nil {
			t.Fatal(err)
		}
		b.feed(moved)
		b.reported()
		after, err := os.ReadFile(filepath.Join(b.run, "data/n2"))
		if ParseEntry(string(after)).Initialized != ParseEntry(string(before)).Initialized || err != nil {
			t.Errorf("%v\n%s, before\n%s", err, after, before)
		}
	})
}

// TestEntriesAreWrittenWhenTheyChange: a device that reports again costs no write.
func TestEntriesAreWrittenWhenTheyChange(t *testing.T) {
	d := newDatabase(t.TempDir())
	e := Entry{Links: []string{"a"}, Initialized: 5, Properties: Properties{"A=1"}}
	if err := d.put("b8:0", e); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.dir, "b8:0")
	first, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.put("b8:0", e); err != nil {
		t.Fatal(err)
	}
	if second, err := os.Stat(file); err != nil || !os.SameFile(first, second) {
		t.Errorf("written again: %v", err)
	}
	e.Priority = -100
	if err := d.put("b8:0", e); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if want := "S:a\nL:-100\nI:5\nE:A=1\nV:1\n"; string(text) != want || err != nil {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
}

// TestThousandPartitions has a disk with more partitions than any has for good, and one that comes after it. There is
// time for those from the second second on.
func TestThousandPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		running, most := 0, 0
		idle := make(chan struct{})
		b := newIdleBench(t, fstest.MapFS{}, idle, func(node string, _ func()) Answer {
			mu.Lock()
			running++
			order = append(order, filepath.Base(node))
			if len(order) > usualPartitions+2 {
				most = max(most, running)
			}
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			running--
			mu.Unlock()
			return Answer{}
		})
		block := func(name, more string) {
			e, err := uevent.Parse([]byte("add@/devices/" + name + "\x00ACTION=add\x00DEVPATH=/devices/" + name +
				"\x00SUBSYSTEM=block\x00DEVNAME=" + name + "\x00" + more))
			if err != nil {
				t.Fatal(err)
			}
			b.feed(e)
		}
		block("sda", "DEVTYPE=disk\x00")
		for n := 1; n <= 255; n++ {
			block(fmt.Sprint("sda", n), fmt.Sprintf("DEVTYPE=partition\x00PARTN=%d\x00", n))
		}
		block("sdb", "DEVTYPE=disk\x00")
		time.Sleep(time.Second)
		if n := len(b.reported()); n != usualPartitions+2 {
			t.Errorf("%d events were reported before there was time for all", n)
		}
		close(idle)
		time.Sleep(time.Second)
		if n := len(b.reported()); n != 255-usualPartitions {
			t.Errorf("%d events were reported after that", n)
		}
		if at := slices.Index(order, "sdb"); at < 0 || at > usualPartitions+1 || most != 1 {
			t.Errorf("sdb was the %d. to be asked, and then %d at a time", at+1, most)
		}
	})
}
