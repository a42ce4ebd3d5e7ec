package disksave

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/host"
)

const (
	chunk = 4 << 10
	uuid  = "00000000-0000-0000-0000-000000000001"
)

// world is a host with a guest, whose devices are files.
type world struct {
	*tool
	t        *testing.T
	dir      string
	out      bytes.Buffer
	snapshot host.Snapshot
	numbers  map[string]string // devices by number
	paths    map[string]string // devices of the device mapper
	frozen   []string
	onFreeze func()
	slow     time.Duration
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), numbers: map[string]string{}, paths: map[string]string{}, tool: &tool{}}
	w.Config = Config{
		Kernel: w, Disks: filepath.Join(w.dir, "disks"),
		State:  func() (*host.Snapshot, error) { return &w.snapshot, nil },
		Guests: filepath.Join(w.dir, "state/guests"), Lock: filepath.Join(w.dir, "lock"), Freeze: w.freeze,
	}
	w.progress = teller{json.NewEncoder(&w.out)}
	w.snapshot.Host.State = host.StateVolume{Device: "/dev/sdb1", Mount: filepath.Join(w.dir, "state")}
	if err := os.Mkdir(filepath.Join(w.dir, "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) Table(name string) ([]devmapper.Target, error) {
	return []devmapper.Target{{Type: "snapshot", Params: name + " 7:9 P 8"}}, nil
}

func (w *world) Path(name string) (string, error) { return w.paths[name], nil }

func (w *world) ByNumber(number string) (string, error) { return w.numbers[number], nil }

func (w *world) Open(name string) (Source, error) { return Linux{}.Open(name) }

func (w *world) freeze(f Frozen) (func() error, error) {
	w.frozen = append(w.frozen, fmt.Sprint("freeze ", f.Gates, f.Domid))
	if w.onFreeze != nil {
		w.onFreeze()
	}
	return func() error { w.frozen = append(w.frozen, "thaw"); return nil }, nil
}

func (w *world) write(name, text string) string {
	w.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(w.dir, name)
	}
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
	if err != nil {
		w.t.Fatal(err)
	}
	return name
}

// blocks is a disk with a letter for each of its chunks; a dot is zeros.
func blocks(letters string) string {
	var b strings.Builder
	for _, l := range letters {
		if l == '.' {
			l = 0
		}
		b.WriteString(strings.Repeat(string(l), chunk))
	}
	return b.String()
}

// store is a store of changes.
func store(chunks ...uint64) string {
	b := make([]byte, 2*chunk)
	binary.LittleEndian.PutUint32(b, 0x70416e53)
	for i, n := range []uint32{1, 1, 8} {
		binary.LittleEndian.PutUint32(b[4+4*i:], n)
	}
	for i, was := range chunks {
		binary.LittleEndian.PutUint64(b[chunk+16*i:], was)
		binary.LittleEndian.PutUint64(b[chunk+16*i+8:], uint64(2+i))
	}
	return string(b)
}

// cow makes a disk with copy-on-write: what it was made of, and what it is now.
func (w *world) cow(vdev, before, now string, changed ...uint64) host.Disk {
	base := w.write("base-"+vdev, blocks(before))
	w.numbers["guest-"+uuid+"-"+vdev+"-cow"] = base
	w.paths["guest-"+uuid+"-"+vdev+"-cow"] = w.write("cow-"+vdev, blocks(now))
	w.write("disks/"+uuid+"/"+vdev, store(changed...))
	return host.Disk{
		Vdev: vdev, Target: base, Format: "raw", Writable: true, CopyOnWrite: true, Device: "/dev/dm-" + vdev,
	}
}

// guest makes a guest that runs.
func (w *world) guest(dir, config string, disks ...host.Disk) {
	file := w.write(filepath.Join(dir, "web.cfg"), config)
	w.snapshot.Guests = []host.Guest{{
		Name: "web", UUID: uuid, Origin: file, Phase: host.Running, Domid: 7, Managed: true, Disks: disks,
	}}
}

// want compares a file.
func (w *world) want(name, text string) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil || string(data) != text {
		w.t.Errorf("%s: %v, %d bytes, want %d: %s", name, err, len(data), len(text), letters(data))
	}
}

func letters(data []byte) string {
	var b strings.Builder
	for at := 0; at < len(data); at += chunk {
		b.WriteByte(data[at])
	}
	return fmt.Sprintf("%q", b.String())
}

const config = "kernel = 'vmlinuz'\nramdisk = 'boot/initrd.img'\nmemory = 128\n" +
	"disk = [ 'disk.qcow2,qcow2,xvda,rw', 'data.img,raw,xvdb,r', 'phy:/dev/sdz,xvdc,w' ]\n"

// TestSaveGuest saves a guest, and starts it from there in the eyes of package guests.
func TestSaveGuest(t *testing.T) {
	w := newWorld(t)
	disk := w.cow("xvda", "ab.d..gh", "aX.d.Y.h", 1, 5, 6)
	data := w.write("medium/web/data.img", "data")
	w.write("medium/web/vmlinuz", "kernel")
	w.write("medium/web/boot/initrd.img", "initrd")
	w.guest("medium/web", config, disk, host.Disk{Vdev: "xvdb", Target: data, Format: "raw"},
		host.Disk{Vdev: "xvdc", Target: "/dev/sdz", Format: "raw", Writable: true})
	if err := w.run(t.Context(), Want{Guest: "web"}); err != nil {
		t.Fatal(err)
	}
	w.want("state/guests/web/xvda.img", blocks("aX.d.Y.h"))
	w.want("state/guests/web/data.img", "data")
	w.want("state/guests/web/boot/initrd.img", "initrd")
	if want := []string{"freeze [guest-" + uuid + "-xvda] 0", "thaw"}; !slices.Equal(w.frozen, want) {
		t.Errorf("%q, want %q", w.frozen, want)
	}
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(w.Guests, "web/xvda.img"), &stat); err != nil || stat.Blocks*512 > 5*chunk {
		t.Errorf("%d bytes are allocated, %v", stat.Blocks*512, err)
	}
	found, broken := guests.Scan(w.Guests)
	if len(found) != 1 || len(broken) != 0 || found[0].Name != "web" {
		t.Fatalf("%v %v", found, broken)
	}
	found[0].Trusted = true
	spec, err := found[0].Resolve(guests.Machine{Seed: "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := []guests.Disk{
		{Vdev: "xvda", Target: filepath.Join(w.Guests, "web/xvda.img"), Format: "raw", Writable: true},
		{Vdev: "xvdb", Target: filepath.Join(w.Guests, "web/data.img"), Format: "raw"},
		{Vdev: "xvdc", Target: "/dev/sdz", Format: "raw", Writable: true},
	}
	for i := range spec.Disks {
		spec.Disks[i].Pos = guests.Pos{}
	}
	if !slices.Equal(spec.Disks, want) {
		t.Errorf("%+v, want\n%+v", spec.Disks, want)
	}
	w.saveAgain(data)
}

// saveAgain replaces what is there only if it is asked to, and leaves nothing behind.
func (w *world) saveAgain(data string) {
	w.t.Helper()
	w.write(data, "other")
	err := w.run(w.t.Context(), Want{Guest: "web"})
	if err == nil || !strings.Contains(err.Error(), "-replace replaces it") {
		w.t.Errorf("a second time: %v", err)
	}
	w.want("state/guests/web/data.img", "data")
	if err := w.run(w.t.Context(), Want{Guest: "web", Replace: true}); err != nil {
		w.t.Fatal(err)
	}
	w.want("state/guests/web/data.img", "other")
	entries, err := os.ReadDir(w.Guests)
	if err != nil || len(entries) != 1 {
		w.t.Errorf("%v, %v", entries, err)
	}
}

// TestSaveFromState saves a guest that is on the state volume already. The guest goes on writing to the same file.
func TestSaveFromState(t *testing.T) {
	w := newWorld(t)
	own := w.write("state/guests/web/own.img", "own")
	kernel := w.write("state/guests/web/k", "kernel")
	settings := "kernel = '" + kernel + "'\ndisk = [ 'own.img,raw,xvda,rw' ]\n"
	disks := []host.Disk{{Vdev: "xvda", Target: own, Format: "raw", Writable: true}}
	w.guest("state/guests/web", settings, disks...)
	if err := w.run(t.Context(), Want{Guest: "web"}); err != nil ||
		!strings.Contains(w.out.String(), "already") {
		t.Errorf("%v\n%s", err, w.out.String())
	}
	settings = strings.Replace(settings, "]", ", 'x.qcow2,qcow2,xvdb,rw' ]", 1)
	w.guest("state/guests/web", settings, append(disks, w.cow("xvdb", "abc", "abX", 2))...)
	before, err := os.Stat(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t.Context(), Want{Guest: "web"}); err != nil {
		t.Fatal(err)
	}
	w.want("state/guests/web/xvdb.img", blocks("abX"))
	if after, err := os.Stat(own); err != nil || !os.SameFile(before, after) {
		t.Errorf("the guest writes to a file that has no name any more (%v)", err)
	}
}

// TestSaveFromMemory saves a guest that writes to its files themselves, which lie in memory: its domain is paused.
func TestSaveFromMemory(t *testing.T) {
	w := newWorld(t)
	file := w.write("stores/1/web/disk.img", blocks("ab"))
	w.write("stores/1/web/k", "")
	w.guest("stores/1/web", "kernel = 'k'\ndisk = [ 'disk.img,raw,xvda,rw' ]\n",
		host.Disk{Vdev: "xvda", Target: file, Format: "raw", Writable: true})
	w.onFreeze = func() { w.write(file, blocks("aX")) }
	if err := w.run(t.Context(), Want{Guest: "web"}); err != nil {
		t.Fatal(err)
	}
	w.want("state/guests/web/xvda.img", blocks("aX"))
	if want := []string{"freeze [] 7", "thaw"}; !slices.Equal(w.frozen, want) {
		t.Errorf("%q, want %q", w.frozen, want)
	}
}

func TestSaveDisk(t *testing.T) {
	w := newWorld(t)
	w.guest("medium/web", "", w.cow("xvda", strings.Repeat("ab..", 200), strings.Repeat("ab..", 199)+"....", 796, 797))
	file := filepath.Join(w.dir, "copy.img")
	if err := w.run(t.Context(), Want{Guest: "web", Disk: "xvda", File: file}); err != nil {
		t.Fatal(err)
	}
	w.want("copy.img", blocks(strings.Repeat("ab..", 199)+"...."))
	err := w.run(t.Context(), Want{Guest: "web", Disk: "xvda", File: file})
	if err == nil || !strings.Contains(err.Error(), "-replace replaces it") {
		t.Error(err)
	}
	if err := w.run(t.Context(), Want{Guest: "web", Disk: "xvda", File: file, Replace: true}); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		save    Want
		prepare func(*world)
		want    string
	}{
		{save: Want{Guest: "other"}, want: `no guest "other" runs`},
		{save: Want{Guest: "web"}, prepare: func(w *world) { w.snapshot.Guests[0].Phase = host.Stopped },
			want: `no guest "web" runs`},
		{save: Want{Guest: "web", Disk: "xvdz", File: "/x"}, want: `guest web has no disk "xvdz"; it has xvda`},
		{save: Want{Guest: "web", Disk: "xvdc", File: "/x"}, prepare: func(w *world) {
			w.snapshot.Guests[0].Served = []host.Disk{{Vdev: "xvdc", Target: "/c.img"}}
		}, want: "disk xvdc: xl was given it by hand"},
		{save: Want{Guest: "web"}, prepare: func(w *world) { w.snapshot.Host.State = host.StateVolume{} },
			want: "there is no state volume; zerodisc-state create DEVICE"},
		{save: Want{Guest: "web"}, prepare: func(w *world) { w.snapshot.Host.State.ReadOnly = true },
			want: "cannot be written to"},
		{save: Want{Guest: "web"}, prepare: func(w *world) {
			w.snapshot.Host.State = host.StateVolume{Device: "/dev/sdb1", Problem: "two of them", Remedy: "look"}
		}, want: "two of them; look"},
		{save: Want{Guest: "web"}, prepare: func(w *world) { w.snapshot.Guests[0].Origin = "" },
			want: "made by hand"},
		{save: Want{Guest: "web"}, prepare: func(w *world) { w.write("disks/"+uuid+"/xvda", store(99)) },
			want: "beyond the disk's end"},
		{save: Want{Guest: "web"}, prepare: func(w *world) {
			if err := os.Truncate(w.snapshot.Guests[0].Disks[0].Target, 1<<50); err != nil {
				w.t.Skip(err)
			}
			w.snapshot.Guests[0].Changes.UsedKiB = 1 << 40
		}, want: "not enough room"},
		{save: Want{Guest: "web"}, prepare: func(w *world) {
			w.Freeze = func(Frozen) (func() error, error) { return nil, errors.New("no luck") }
		}, want: "no luck"},
	} {
		w := newWorld(t)
		w.guest("medium/web", "kernel = 'k'\ndisk = [ 'x,raw,xvda,rw' ]", w.cow("xvda", "ab", "aX", 1))
		w.write("medium/web/k", "")
		if test.prepare != nil {
			test.prepare(w)
		}
		if err := w.run(t.Context(), test.save); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.save, err, test.want)
		}
		left, err := os.ReadDir(w.Guests)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
			t.Errorf("%+v: left behind %v, %v", test.save, left, err)
		}
	}
}

// TestOneAtATime has another save under way.
func TestOneAtATime(t *testing.T) {
	w := newWorld(t)
	w.guest("medium/web", "kernel = 'k'\n")
	unlock, err := w.lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(t.Context(), Want{Guest: "web"}); err == nil || !strings.Contains(err.Error(), "is being saved") {
		t.Error(err)
	}
	unlock()
	w.write("medium/web/k", "")
	if err := w.run(t.Context(), Want{Guest: "web"}); err != nil {
		t.Error(err)
	}
}

// TestSave has a program tell how far it is, and why it failed.
func TestSave(t *testing.T) {
	program := filepath.Join(t.TempDir(), "init")
	script := "#!/bin/sh\n" + `echo '{"Step":"copying","Done":1,"Total":9}'
echo '{"Step":"copying","Done":2,"Total":9}'
echo nonsense; echo '{"Note":"saved \u001b[2J"}'
[ "$1" = disk-save ] && [ "$2" = '{"Guest":"web","Disk":"","File":"","Replace":true}' ] && exit 0
echo no luck >&2; exit 1
`
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var told []Told
	tell := func(what Told) { told = append(told, what) }
	if err := Save(t.Context(), program, Want{Guest: "web", Replace: true}, tell); err != nil {
		t.Error(err)
	}
	if want := []Told{{Step: "copying", Done: 1, Total: 9}, {Note: `saved \x1b[2J`}}; !slices.Equal(told, want) {
		t.Errorf("%+v, want %+v", told, want)
	}
	if err := Save(t.Context(), program, Want{}, tell); err == nil || err.Error() != "no luck" {
		t.Error(err)
	}
}

// TestThaw has the process that watches end with what it watches.
func TestThaw(t *testing.T) {
	r, stdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() { done <- Thaw([]string{"0"}, r, &bytes.Buffer{}) }()
	select {
	case <-done:
		t.Fatal("it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	stdin.Close()
	if status := <-done; status != 0 {
		t.Errorf("status %d", status)
	}
}
