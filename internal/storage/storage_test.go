package storage

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
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// disk is a fake device: a file system with these files. A path that ends in "->" is a symbolic link.
type disk struct {
	content blkid.Content
	files   map[string]string
	hangs   chan struct{} // until it is closed
	err     error
	mount   error
	card    string
}

// world has a manager over fake disks.
type world struct {
	*Manager
	t      *testing.T
	events chan Event
	turn   chan struct{}

	mu      sync.Mutex // guards what follows
	disks   map[string]disk
	facts   []string
	started []string
	refused []string
	found   []string
	mounted map[string]string
	parts   []string // what the assembler was told
}

func newWorld(t *testing.T) *world {
	w := newEarlyWorld(t)
	close(w.turn)
	synctest.Wait()
	return w
}

// newEarlyWorld has a manager that may not mount file systems yet.
func newEarlyWorld(t *testing.T) *world {
	w := &world{
		t: t, events: make(chan Event), turn: make(chan struct{}),
		disks: map[string]disk{}, mounted: map[string]string{},
	}
	w.Manager = New(Config{
		Kernel: w, Assembler: parts{w}, Dir: t.TempDir(), Turn: w.turn,
		Skip: func(device string, _ blkid.Content) bool { return device == "/dev/sr0" },
		Start: func(_ context.Context, found []*guests.Guest) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, g := range found {
				w.started = append(w.started, fmt.Sprint(g.Name, " ", g.Trusted))
			}
		},
		Found: func(found []*guests.Guest) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, g := range found {
				w.found = append(w.found, fmt.Sprint(g.Name, " ", g.Trusted))
			}
		},
		Refuse: func(err *guests.Error, _ string, _ bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refused = append(w.refused, err.Guest+": "+err.Problem)
		},
		Uses: func(dir, device string) []string { return []string{"user of " + filepath.Base(dir)} },
		Tell: func(f host.Fact) {
			w.mu.Lock()
			defer w.mu.Unlock()
			switch f := f.(type) {
			case host.Volume:
				w.facts = append(w.facts, strings.TrimSpace(fmt.Sprintf("%s %s %s %t %s %s", f.Device, f.Type,
					strings.TrimPrefix(f.Mount, w.Dir), f.Trusted, strings.Join(f.Guests, ","), f.Problem)))
			case host.VolumeGone:
				w.facts = append(w.facts, fmt.Sprintf("%s gone, %s", f.Device, strings.Join(f.Guests, ",")))
			}
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	go w.Run(t.Context(), w.events)
	return w
}

// parts is an assembler that keeps what it is told.
type parts struct{ *world }

func (p parts) Found(device, content string) { p.note(device + " " + content) }
func (p parts) Gone(device string)           { p.note(device + " gone") }

func (p parts) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = append(p.parts, text)
}

func (w *world) Identify(device string) (blkid.Content, error) {
	w.mu.Lock()
	d := w.disks[device]
	w.mu.Unlock()
	if d.hangs != nil {
		<-d.hangs
	}
	return d.content, d.err
}

func (w *world) Card(partition string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.disks[partition].card
}

func (w *world) Rescan(partition string) { parts{w}.note("rescan " + partition) }

func (w *world) Mount(device, dir string, how readonly.Mount) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if how.Driver == "xfs" {
		return errNoDriver
	}
	if err := w.disks[device].mount; err != nil {
		return err
	}
	w.mounted[dir] = device
	for name, text := range w.disks[device].files {
		link, isLink := strings.CutSuffix(name, "->")
		name = filepath.Join(dir, link)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if isLink {
			err = errors.Join(err, os.Symlink(text, name))
		} else {
			err = errors.Join(err, os.WriteFile(name, []byte(text), 0o644))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Unmount(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mounted, dir)
	return os.RemoveAll(dir)
}

func (w *world) Mounted(dir string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mounted[dir] != ""
}

// plug plugs a disk in and waits until it was looked at.
func (w *world) plug(device string, d disk) {
	w.mu.Lock()
	w.disks[device] = d
	w.mu.Unlock()
	w.send(Event{Device: device})
}

func (w *world) send(e Event) {
	w.events <- e
	synctest.Wait()
}

// want compares what was told, started and refused since the last time.
func (w *world) want(what string, facts, started, refused []string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range []struct {
		name      string
		got, want []string
	}{{"told", w.facts, facts}, {"started", w.started, started}, {"refused", w.refused, refused}} {
		if !slices.Equal(list.got, list.want) {
			w.t.Errorf("%s: %s %q, want %q", what, list.name, list.got, list.want)
		}
	}
	w.facts, w.started, w.refused = nil, nil, nil
}

func fileSystem(kind, label string, files map[string]string) disk {
	return disk{content: blkid.Content{Type: kind, Usage: blkid.FileSystem, Label: label, UUID: "1234"}, files: files}
}

const config = "kernel = 'dom0'\n"

func TestStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.plug("/dev/sr0", fileSystem("iso9660", "ZERODISC", map[string]string{"guests/tty1/tty1.cfg": config}))
		w.want("the boot medium", nil, nil, nil)
		w.plug("/dev/sda1", disk{})
		w.want("nothing that is known", nil, nil, nil)
		w.plug("/dev/sda2", disk{content: blkid.Content{Type: "swap", Usage: blkid.Other}})
		w.want("swap space", []string{"/dev/sda2 swap  false"}, nil, nil)
		w.plug("/dev/sdb1", fileSystem("ext4", "backup", map[string]string{
			"guests/web/web.cfg": config, "guests/readme.txt": "", "guests/bad/none": "",
		}))
		w.want("a stranger's stick", []string{"/dev/sdb1 ext4 /backup false web"}, nil, nil)
		if !slices.Equal(w.found, []string{"web false"}) {
			t.Errorf("found %q", w.found)
		}
		w.plug("/dev/sdc1", fileSystem("vfat", "ZERODISC-A", map[string]string{
			"zerodisc/guests/one/one.cfg": config, "guests/two/two.cfg": config, "three/three.cfg": config,
			"guests/bad/none": "", "photos/one.jpg": "", ".hidden/x.cfg": config,
		}))
		w.want("a labelled stick", []string{"/dev/sdc1 vfat /ZERODISC-A true one,two,three"},
			[]string{"one true", "two true", "three true"}, []string{"bad: there is no *.cfg in this guest directory"})
		w.plug("/dev/sdd", fileSystem("xfs", "", nil))
		w.want("no driver", []string{"/dev/sdd xfs  false  mount it: this disc has no driver for it"}, nil, nil)
		w.plug("/dev/sde", disk{err: errors.New("input/output error")})
		w.want("not to be read", []string{"/dev/sde   false  it cannot be read: input/output error"}, nil, nil)
		w.plug("/dev/sdf", fileSystem("ext4", "ZERODISC-CONFIG", map[string]string{"guests/x/x.cfg": config}))
		w.want("the configuration", []string{"/dev/sdf ext4 /ZERODISC-CONFIG false x"}, nil, nil)
		w.plug("/dev/sdg", fileSystem("ext4", boot.StateLabel, map[string]string{"guests/x/x.cfg": config}))
		w.send(Event{Device: "/dev/sdg", Gone: true})
		w.want("the state, which is another one's", nil, nil, nil)
		w.send(Event{Device: "/dev/sdc1", Gone: true})
		w.want("pulled", []string{"/dev/sdc1 gone, user of ZERODISC-A"}, nil, nil)
		w.send(Event{Device: "/dev/sdc1", Gone: true})
		w.want("pulled twice", nil, nil, nil)
		w.plug("/dev/sdc1", fileSystem("vfat", "ZERODISC-A", map[string]string{"one/one.cfg": config}))
		w.want("plugged in again", []string{"/dev/sdc1 vfat /ZERODISC-A true one"}, []string{"one true"}, nil)
	})
}

// TestStartAll starts guests of volumes without a label; they are not trusted.
func TestStartAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Config.StartAll = true
		w.plug("/dev/sdb1", fileSystem("ext4", "", map[string]string{"guests/web/web.cfg": config, "guests/bad/x": ""}))
		w.want("a stranger's stick", []string{"/dev/sdb1 ext4 /1234 false web"}, []string{"web false"},
			[]string{"bad: there is no *.cfg in this guest directory"})
	})
}

// TestLinks has symbolic links that lead out of the volume.
func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		outside := t.TempDir()
		if err := os.WriteFile(filepath.Join(outside, "x.cfg"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		w.plug("/dev/sda1", fileSystem("ext4", "ZERODISC-A", map[string]string{
			"guests/out->": outside, "zerodisc->": outside, "guests/in->": "../real", "real/real.cfg": config,
		}))
		w.want("links", []string{"/dev/sda1 ext4 /ZERODISC-A true in,real"}, []string{"in true", "real true"},
			[]string{"out: it is a symbolic link that leads out of the volume, to " + outside})
		w.plug("/dev/sda2", fileSystem("ext4", "ZERODISC-B", map[string]string{"guests->": outside}))
		w.want("the store itself", []string{"/dev/sda2 ext4 /ZERODISC-B true  " + w.Dir + "/ZERODISC-B/guests" +
			": it is a symbolic link that leads out of the volume, to " + outside}, nil, nil)
		w.plug("/dev/sda3", fileSystem("ext4", "stranger", map[string]string{"guests->": "guests"}))
		w.want("a stranger's", []string{"/dev/sda3 ext4 /stranger false  " + filepath.Join(w.Dir, "stranger/guests") +
			": EvalSymlinks: too many links"}, nil, nil)
		w.plug("/dev/sda4", fileSystem("ext4", "ZERODISC-C", map[string]string{
			"guests/a/a.cfg->": filepath.Join(outside, "x.cfg"), "guests/\x1b[31mb/b.cfg": config,
			"guests/d->": "../\x1b[32md", "\x1b[32md/d.cfg": config, "\x1bc/c.cfg": config,
		}))
		w.want("names and a configuration", []string{"/dev/sda4 ext4 /ZERODISC-C true"}, nil, []string{
			`\x1b[31mb: its name has a character that cannot be printed`,
			"a: it is a symbolic link that leads out of the volume, to " + filepath.Join(outside, "x.cfg"),
			"d: its name has a character that cannot be printed",
		})
	})
}

// TestSameLabels has two disks with one label and UUID, and labels that are no file names.
func TestSameLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, test := range []struct{ device, label, want string }{
			{"/dev/sda1", "data", "/data"}, {"/dev/sda2", "data", "/1234"},
			{"/dev/sda3", "data", "/data-sda3"},
			{"/dev/sdb1", "../../etc", "/_._.._etc"}, {"/dev/sdb2", "boot", "/boot_"},
			{"/dev/sdb3", "a\x1b[2Jb\n", "/a_[2Jb_"},
			{"/dev/sdb4", "\xff\xfe", "/_"}, {"/dev/sdb5", "", "/sdb5"},
			{"/dev/sdb6", strings.Repeat("ä", 100), "/" + strings.Repeat("ä", 32)},
			{"/dev/sdb7", ".", "/_-sdb7"}, {"/dev/sdb8", "-rf", "/_rf"},
		} {
			w.plug(test.device, fileSystem("ext4", test.label, nil))
			dir := ""
			w.mu.Lock()
			for at, device := range w.mounted {
				if device == test.device {
					dir = strings.TrimPrefix(at, w.Dir)
				}
			}
			w.mu.Unlock()
			if dir != test.want {
				t.Errorf("%s %q is mounted at %q, want %q", test.device, test.label, dir, test.want)
			}
		}
	})
}

// TestDyingDisk has disks that do not answer, more than are looked at at a time, and one behind them that does.
func TestDyingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hangs := make(chan struct{})
		for n := range maxLooks {
			w.plug(fmt.Sprintf("/dev/sd%c", 'a'+n), disk{hangs: hangs})
		}
		w.plug("/dev/sdz", fileSystem("ext4", "good", nil))
		w.want("at once", nil, nil, nil)
		time.Sleep(patience + time.Second)
		synctest.Wait()
		w.mu.Lock()
		facts := strings.Join(w.facts, "\n")
		w.mu.Unlock()
		if !strings.Contains(facts, "/dev/sda   false  it does not answer; a dying disk?") ||
			!strings.Contains(facts, "/dev/sdz ext4 /good false") {
			t.Errorf("told %s", facts)
		}
		w.send(Event{Device: "/dev/sda", Gone: true})
		close(hangs)
		synctest.Wait()
		if w.looking != 0 {
			t.Errorf("%d devices are still looked at", w.looking)
		}
	})
}

// TestGoneWhileLooking pulls a disk while it is looked at: nothing stays mounted.
// A volume stays mounted over a crash of init: nobody looks for its guests again, and its end is seen.
func TestLeftMounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.plug("/dev/sda1", fileSystem("ext4", "ZERODISC-A", map[string]string{"one/one.cfg": config}))
		w.want("mounted", []string{"/dev/sda1 ext4 /ZERODISC-A true one"}, []string{"one true"}, nil)
		config := w.Config
		config.Left = []host.Volume{w.volumes["/dev/sda1"].Volume}
		w.Manager, w.events = New(config), make(chan Event)
		go w.Run(t.Context(), w.events)
		w.send(Event{Device: "/dev/sda1"})
		w.want("there again", nil, nil, nil)
		w.send(Event{Device: "/dev/sda1", Gone: true})
		w.want("gone", []string{"/dev/sda1 gone, user of ZERODISC-A"}, nil, nil)
		if len(w.mounted) > 0 {
			t.Errorf("still mounted: %v", w.mounted)
		}
	})
}

func TestGoneWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hangs := make(chan struct{})
		d := fileSystem("ext4", "ZERODISC-A", map[string]string{"one/one.cfg": config})
		d.hangs = hangs
		w.plug("/dev/sda1", d)
		w.send(Event{Device: "/dev/sda1", Gone: true})
		close(hangs)
		synctest.Wait()
		w.want("gone", nil, nil, nil)
		if len(w.mounted) > 0 {
			t.Errorf("still mounted: %v", w.mounted)
		}
	})
}

// TestThousandPartitions keeps a bounded number of file systems mounted, and all of those with guests.
func TestThousandPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 1000 {
			files := map[string]string{}
			if n%100 == 99 {
				files[fmt.Sprintf("guests/g%d/g.cfg", n)] = config
			}
			w.plug(fmt.Sprintf("/dev/sda%d", n+1), fileSystem("ext4", fmt.Sprint("part ", n), files))
		}
		if len(w.mounted) != maxMounts+10 {
			t.Errorf("%d file systems are mounted, want %d", len(w.mounted), maxMounts+10)
		}
		said := "32 file systems without guests are mounted already: this one and the rest of its disk are not"
		if n := strings.Count(strings.Join(w.facts, "\n"), said); n != 1 || len(w.facts) != maxMounts+10+1 {
			t.Errorf("told %d times, and %d facts in all", n, len(w.facts))
		}
		store := fileSystem("ext4", "copy", map[string]string{"guests/g/g.cfg": config})
		for n := range 200 {
			w.plug(fmt.Sprintf("/dev/sdb%d", n+1), store)
		}
		if len(w.mounted) != maxMounts+10+ofOneDisk {
			t.Errorf("%d file systems are mounted, want %d", len(w.mounted), maxMounts+10+ofOneDisk)
		}
		for n := range 200 {
			w.plug(fmt.Sprintf("/dev/nvme%dn1p1", n+1), store)
		}
		if len(w.mounted) != maxMounts+maxStores {
			t.Errorf("%d file systems are mounted, want %d", len(w.mounted), maxMounts+maxStores)
		}
		w.facts = nil
		w.send(Event{Device: "/dev/sdb1", Gone: true})
		w.plug("/dev/sdc", fileSystem("ext4", "other", map[string]string{"guests/h/h.cfg": config}))
		w.want("there is room again", []string{"/dev/sdb1 gone, user of copy", "/dev/sdc ext4 /other false h"},
			nil, nil)
	})
}

// TestBadVolumes names what is wrong with a disk, whether or not something of it can be used.
func TestBadVolumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.plug("/dev/sda", disk{content: blkid.Content{Table: blkid.Table{Faults: []string{"one", "two"}}}})
		w.want("a partition table", []string{"/dev/sda   false  partition table: one, two"}, nil, nil)
		cut := fileSystem("vfat", "cut", map[string]string{"guests/web/web.cfg": config})
		cut.content.Bytes, cut.content.Lacks = 64e6, 56e6
		w.plug("/dev/sdb", cut)
		const short = "it is cut short: of the 64.0 MB of its file system 56.0 MB are missing"
		w.want("cut short", []string{"/dev/sdb vfat /cut false web " + short}, nil, nil)
		cut.mount = syscall.EINVAL
		w.plug("/dev/sdc", cut)
		w.want("not mounted", []string{"/dev/sdc vfat  false  " + short + "; invalid argument; the file system is " +
			"damaged, or of a kind that this kernel does not know: see dmesg"}, nil, nil)
	})
}

// TestChange has another disc in a drive.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.plug("/dev/sr1", disk{})
		w.want("an empty drive", nil, nil, nil)
		w.plug("/dev/sr1", fileSystem("iso9660", "CD", map[string]string{"guests/web/web.cfg": config}))
		w.want("a disc", []string{"/dev/sr1 iso9660 /CD false web"}, nil, nil)
		w.send(Event{Device: "/dev/sr1"})
		w.want("an event of the same disc", nil, nil, nil)
		w.plug("/dev/sr1", disk{err: errors.New("bad sector")})
		w.want("the same disc, which cannot be read", nil, nil, nil)
		w.plug("/dev/sr1", fileSystem("ext4", "new", nil))
		w.want("another disc", []string{"/dev/sr1 gone, user of CD", "/dev/sr1 ext4 /new false"}, nil, nil)
		if err := w.Unmount(filepath.Join(w.Dir, "new")); err != nil {
			t.Fatal(err)
		}
		w.plug("/dev/sr1", fileSystem("ext4", "other", nil))
		w.want("what was unmounted and made anew", []string{"/dev/sr1 ext4 /other false"}, nil, nil)
		hanging := fileSystem("ext4", "other", nil)
		hanging.hangs = make(chan struct{})
		w.plug("/dev/sr1", hanging)
		time.Sleep(2 * patience)
		w.send(Event{Device: "/dev/sr1", Gone: true})
		w.want("a drive that was taken away", []string{"/dev/sr1 gone, user of other"}, nil, nil)
		if len(w.mounted) > 0 {
			t.Errorf("mounted: %q", w.mounted)
		}
		close(hanging.hangs)
		synctest.Wait()
		if w.looking != 0 {
			t.Errorf("looking at %d", w.looking)
		}
		w.plug("/dev/sr1", fileSystem("ext4", "other", nil))
		w.want("the drive again", []string{"/dev/sr1 ext4 /other false"}, nil, nil)
		if err := w.Unmount(filepath.Join(w.Dir, "other")); err != nil {
			t.Fatal(err)
		}
		w.plug("/dev/sr1", disk{})
		w.want("the disc was taken out", []string{"/dev/sr1 gone, "}, nil, nil)
		slow := fileSystem("ext4", "slow", nil)
		slow.hangs = make(chan struct{})
		w.plug("/dev/sr1", slow)
		w.mu.Lock()
		w.disks["/dev/sr1"] = fileSystem("ext4", "fast", nil)
		w.mu.Unlock()
		w.send(Event{Device: "/dev/sr1"})
		close(slow.hangs)
		synctest.Wait()
		w.want("a disc changed while it was looked at",
			[]string{"/dev/sr1 ext4 /slow false", "/dev/sr1 gone, user of slow", "/dev/sr1 ext4 /fast false"}, nil, nil)
	})
}

// TestCard has another card with partitions in a reader, which then cannot be read as what it was.
func TestCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		card := fileSystem("vfat", "CARD", nil)
		card.card = "7"
		w.plug("/dev/sdb1", card)
		w.want("a card", []string{"/dev/sdb1 vfat /CARD false"}, nil, nil)
		w.plug("/dev/sdb1", card)
		w.want("an event of the same card", nil, nil, nil)
		card.card, card.err = "8", errors.New("no medium")
		w.parts = nil
		w.plug("/dev/sdb1", card)
		w.want("no card", []string{"/dev/sdb1 gone, user of CARD"}, nil, nil)
		if want := []string{"/dev/sdb1 gone", "rescan /dev/sdb1"}; !slices.Equal(w.parts, want) || len(w.mounted) > 0 {
			t.Errorf("%q, mounted %q", w.parts, w.mounted)
		}
	})
}

// TestHostileDirectories has a pipe where a directory is looked for, and more text than is kept.
func TestHostileDirectories(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "guests"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, faults := Scan(dir, false)
	if len(found) > 0 || len(faults) != 1 || !errors.Is(faults[0], unix.ENOTDIR) {
		t.Errorf("a pipe: %v, %v", found, faults)
	}
	large := config + strings.Repeat("# filler\n", 6000)
	for i := range 40 {
		guest := filepath.Join(dir, "zerodisc/guests", fmt.Sprint("g", i))
		if err := os.MkdirAll(guest, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(guest, "g.cfg"), []byte(large), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, faults = Scan(dir, false)
	if most := maxBytes / len(large); len(found) != most || !strings.Contains(faults[0].Problem, "have more than") {
		t.Errorf("large configurations: %d guests, want %d; %v", len(found), most, faults)
	}
}

// TestParts hands parts of volumes on, in their order and only as long as they are there. The volume's device comes
// with an event, and goes by word of the assembler.
func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		part := disk{content: blkid.Content{Type: "LVM2_member", Usage: blkid.RAID}}
		w.plug("/dev/sda", part)
		w.plug("/dev/dm-0", fileSystem("ext4", "ZERODISC-L", map[string]string{"one/one.cfg": config}))
		w.want("a volume", []string{"/dev/sda LVM2_member  false", "/dev/dm-0 ext4 /ZERODISC-L true one"},
			[]string{"one true"}, nil)
		w.send(Event{Device: "/dev/sda", Gone: true})
		w.send(Event{Device: "/dev/dm-0", Gone: true})
		w.want("pulled", []string{"/dev/sda gone, user of .", "/dev/dm-0 gone, user of ZERODISC-L"}, nil, nil)
		if len(w.mounted) > 0 {
			t.Errorf("still mounted: %v", w.mounted)
		}
		part.hangs = make(chan struct{})
		w.plug("/dev/sdb", part)
		w.send(Event{Device: "/dev/sdb", Gone: true})
		close(part.hangs)
		synctest.Wait()
		w.plug("/dev/sdb", disk{})
		want := "/dev/sda LVM2_member,/dev/dm-0 ext4,/dev/sda gone,/dev/dm-0 gone,/dev/sdb gone,/dev/sdb "
		if got := strings.Join(w.parts, ","); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestTurn has disks that come before file systems may be mounted: parts of volumes are handed on at once.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newEarlyWorld(t)
		w.plug("/dev/sda", disk{content: blkid.Content{Type: "LVM2_member", Usage: blkid.RAID}})
		w.plug("/dev/sdb", fileSystem("ext4", "ZERODISC-A", map[string]string{"guests/a/a.cfg": config}))
		w.plug("/dev/sdc", fileSystem("ext4", "gone", nil))
		w.send(Event{Device: "/dev/sdb"}) // it is announced twice
		w.send(Event{Device: "/dev/sdc", Gone: true})
		w.want("early", []string{"/dev/sda LVM2_member  false"}, nil, nil)
		if len(w.mounted) > 0 {
			t.Errorf("mounted: %v", w.mounted)
		}
		close(w.turn)
		synctest.Wait()
		w.want("its turn", []string{"/dev/sdb ext4 /ZERODISC-A true a"}, []string{"a true"}, nil)
		w.send(Event{Device: "/dev/sdb"})
		w.want("once more", nil, nil, nil)
	})
}

// TestPlace gives each mount a directory of its own, whatever servers call their exports.
func TestPlace(t *testing.T) {
	parent := t.TempDir()
	for _, want := range []string{"guests", "nas-guests", "guests-2", "nas-guests-2", "guests-3"} {
		if dir, err := Place(parent, "guests", "nas-guests"); err != nil || dir != filepath.Join(parent, want) {
			t.Errorf("%s, %v, want %s", dir, err, want)
		}
	}
	for _, name := range []string{"boot", "/", "..", "\x1b[2J"} {
		dir, err := Place(parent, name, "nas")
		if base := filepath.Base(dir); err != nil || filepath.Dir(dir) != parent || base == "boot" || base[0] == '.' ||
			strings.ContainsRune(base, 0x1b) {
			t.Errorf("%q: %s, %v", name, dir, err)
		}
	}
	if _, err := Place(parent, ""); err == nil {
		t.Error("there is a place without a name")
	}
}
