package statevolume

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
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
)

// loading is how long the driver takes to be loaded.
const loading = 20 * time.Second

// world has a manager over fake disks.
type world struct {
	*Manager
	t      *testing.T
	events chan Event

	mu        sync.Mutex // guards what follows
	calls     []string
	facts     []string
	late      int
	unwritten bool          // mounts fail but for reading
	broken    bool          // all mounts fail
	hangs     chan struct{} // a mount hangs until it is closed
	condition Condition
	looked    error
	progress  int64
	inside    map[string]string // by device; "hangs" does
	asked     []string          // of what was looked into
}

func newWorld(t *testing.T, uuid string) *world {
	w := &world{t: t, events: make(chan Event), condition: Condition{Bytes: 100 << 20, Free: 50 << 20}}
	w.Manager = New(Config{
		Kernel: w, Dir: "/state", UUID: uuid, Load: func(...string) { time.Sleep(loading) },
		Uses: func(string) []string { return []string{"web"} },
		Late: func() { w.note(func() { w.late++ }) },
		Tell: func(f host.Fact) {
			v := f.(host.StateVolume)
			fact := fmt.Sprintf("%s%s %s %t %s %s",
				v.Device, v.File, v.Mount, v.ReadOnly, strings.Join(v.Guests, ","), v.Problem)
			w.note(func() { w.facts = append(w.facts, strings.TrimSpace(fact)) })
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	return w
}

func (w *world) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) Mount(device string, v Volume, dir string, readOnly bool) error {
	w.mu.Lock()
	hangs := w.hangs
	w.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, fmt.Sprintf("mount %s%s %t", device, v.File, readOnly))
	if w.broken || w.unwritten && !readOnly {
		return errors.New("structure needs cleaning")
	}
	w.condition.ReadOnly = readOnly
	return nil
}

// Inside looks into a file system. That takes a second.
func (w *world) Inside(device, kind string) (string, error) {
	time.Sleep(time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, device)
	if w.inside[device] == "hangs" {
		w.mu.Unlock()
		<-w.t.Context().Done()
		w.mu.Lock()
	}
	return w.inside[device], nil
}

func (w *world) Unmount(string) error {
	w.note(func() { w.calls = append(w.calls, "unmount") })
	return nil
}

func (w *world) Look(string) (Condition, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.condition, w.looked
}

func (w *world) Progress(string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress
}

func state(device string) Event {
	return Event{Device: device, Volume: Volume{Label: boot.StateLabel, Type: "ext4", UUID: "uuid-" + device}}
}

// begin starts the manager with what is there, and returns whether the boot finds a volume.
func (w *world) begin(there ...Event) bool {
	go w.Run(w.t.Context(), there, w.events)
	return w.Wait(w.t.Context())
}

func (w *world) send(e Event) {
	w.events <- e
	time.Sleep(loading)
	synctest.Wait()
}

// want compares what was told and asked for since the last time.
func (w *world) want(what string, facts, calls []string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.facts, facts) {
		w.t.Errorf("%s: told %q, want %q", what, w.facts, facts)
	}
	if !slices.Equal(w.calls, calls) {
		w.t.Errorf("%s: asked for %q, want %q", what, w.calls, calls)
	}
	w.facts, w.calls = nil, nil
}

func TestAtTheBoot(t *testing.T) {
	other := Event{Device: "/dev/sda1", Volume: Volume{Label: "data", Type: "ext4"}}
	fat := Event{Device: "/dev/sdb1", Volume: Volume{Label: boot.StateLabel, Type: "vfat"}}
	for _, test := range []struct {
		name, uuid   string
		there        []Event
		change       func(*world)
		mounted      bool
		facts, calls []string
	}{
		{name: "none", there: []Event{other}},
		{
			name: "one", there: []Event{other, state("/dev/sdb1")}, mounted: true,
			facts: []string{"/dev/sdb1 /state false"}, calls: []string{"mount /dev/sdb1 false"},
		},
		{
			name: "two", there: []Event{state("/dev/sdb1"), state("/dev/sdc1")},
			facts: []string{"false  there are 2 volumes with the label ZERODISC-STATE: /dev/sdb1, /dev/sdc1; " +
				"none of them is used"},
		},
		{
			name: "one of two", uuid: "UUID-/dev/sdc1", mounted: true,
			there: []Event{state("/dev/sdb1"), state("/dev/sdc1")},
			facts: []string{"/dev/sdc1 /state false"}, calls: []string{"mount /dev/sdc1 false"},
		},
		{
			name: "another one", uuid: "x", there: []Event{state("/dev/sdb1")},
			facts: []string{"false  no volume with the label ZERODISC-STATE has the UUID x"},
		},
		{name: "FAT", there: []Event{fat}, facts: []string{"/dev/sdb1  false  it holds vfat and not ext4"}},
		{
			name: "damaged", there: []Event{state("/dev/sdb1")}, mounted: true,
			change: func(w *world) { w.condition.Errors = 3 },
			facts: []string{"/dev/sdb1 /state true  it is mounted for reading only: " +
				"the file system is damaged (3 errors)"},
			calls: []string{"mount /dev/sdb1 false", "unmount", "mount /dev/sdb1 true"},
		},
		{
			name: "not writable", there: []Event{state("/dev/sdb1")}, mounted: true,
			change: func(w *world) { w.unwritten = true },
			facts:  []string{"/dev/sdb1 /state true  it is mounted for reading only: structure needs cleaning"},
			calls:  []string{"mount /dev/sdb1 false", "mount /dev/sdb1 true"},
		},
		{
			name: "not readable", there: []Event{state("/dev/sdb1")},
			change: func(w *world) { w.broken = true },
			facts:  []string{"/dev/sdb1  false  it cannot be mounted: structure needs cleaning"},
			calls:  []string{"mount /dev/sdb1 false", "mount /dev/sdb1 true"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.uuid)
				if test.change != nil {
					test.change(w)
				}
				began := time.Now()
				if mounted := w.begin(test.there...); mounted != test.mounted {
					t.Errorf("mounted: %t", mounted)
				}
				synctest.Wait()
				if took := time.Since(began); took > loading || len(test.calls) == 0 && took > 0 {
					t.Errorf("the boot waited for %v", took)
				}
				w.want(test.name, test.facts, test.calls)
				w.send(Event{Device: "/dev/sdz"}) // nothing is tried again for no reason
				w.facts = slices.DeleteFunc(w.facts, func(f string) bool { return slices.Contains(test.facts, f) })
				w.want("another device", nil, nil)
			})
		})
	}
}

// TestPulled has a volume that comes late, is pulled while guests use it, and comes back.
func TestPulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		if w.begin() {
			t.Error("there is a volume")
		}
		w.send(state("/dev/sdb1"))
		w.want("it comes", []string{"/dev/sdb1 /state false"}, []string{"mount /dev/sdb1 false"})
		w.send(state("/dev/sdc1"))
		w.want("another one", nil, nil)
		w.send(Event{Device: "/dev/sdc1", Gone: true})
		w.want("the other one goes", nil, nil)
		w.send(Event{Device: "/dev/sdb1", Gone: true})
		w.want("it goes", []string{"/dev/sdb1  false web it was taken away"}, []string{"unmount"})
		w.send(state("/dev/sdd1"))
		w.want("it comes again", []string{"/dev/sdd1 /state false"}, []string{"mount /dev/sdd1 false"})
		if w.late != 2 {
			t.Errorf("late %d times", w.late)
		}
	})
}

// TestGoneMeanwhile pulls a volume while it is mounted.
// The volume stays mounted over a crash of init. Nobody mounts it again, and its end is seen.
func TestLeftMounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		left := w.Config
		left.Left = host.StateVolume{Device: "/dev/sdb1", Mount: "/state"}
		w.Manager = New(left)
		go w.Run(t.Context(), []Event{state("/dev/sdb1")}, w.events)
		time.Sleep(loading)
		synctest.Wait()
		w.note(func() { w.facts = nil }) // how it is
		w.want("it is there", nil, nil)
		w.send(Event{Device: "/dev/sdb1", Gone: true})
		w.want("it goes", []string{"/dev/sdb1  false web it was taken away"}, []string{"unmount"})
		w.send(state("/dev/sdd1"))
		w.want("it comes again", []string{"/dev/sdd1 /state false"}, []string{"mount /dev/sdd1 false"})
		if w.late != 1 {
			t.Errorf("late %d times", w.late)
		}
	})
}

func TestGoneMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.hangs = make(chan struct{})
		began := time.Now()
		if w.begin(state("/dev/sdb1")) {
			t.Error("it is mounted")
		}
		if took := time.Since(began); took > loading+patience+time.Second {
			t.Errorf("the boot waited for %v", took)
		}
		w.send(Event{Device: "/dev/sdb1", Gone: true})
		close(w.hangs)
		synctest.Wait()
		w.want("gone", []string{"/dev/sdb1 /state false", "/dev/sdb1  false web it was taken away"},
			[]string{"mount /dev/sdb1 false", "unmount"})
		if w.late != 0 {
			t.Error("guests of it are started")
		}
	})
}

// TestSlowReplay has a journal whose replay takes long. As long as the disk answers the boot waits for it.
func TestSlowReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.hangs = make(chan struct{})
		go func() {
			for range 30 {
				time.Sleep(time.Second)
				w.note(func() { w.progress++ })
			}
			close(w.hangs)
		}()
		if !w.begin(state("/dev/sdb1")) || w.late != 0 {
			t.Error("the boot did not wait")
		}
	})
}

// TestFoundDamagedLater has the kernel stop writing while the volume is in use.
func TestFoundDamagedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.begin(state("/dev/sdb1"))
		synctest.Wait()
		w.want("mounted", []string{"/dev/sdb1 /state false"}, []string{"mount /dev/sdb1 false"})
		w.note(func() { w.condition.ReadOnly = true })
		time.Sleep(3 * lookPause)
		synctest.Wait()
		w.want("damaged", []string{
			"/dev/sdb1 /state true  the kernel has found errors in it and writes to it no more, see dmesg",
		}, nil)
	})
}

// TestMadeAnew has a person unmount the volume, and make another one of its device.
func TestMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.begin(state("/dev/sdb1"))
		synctest.Wait()
		w.want("mounted", []string{"/dev/sdb1 /state false"}, []string{"mount /dev/sdb1 false"})
		w.note(func() { w.looked = ErrNotMounted })
		w.send(state("/dev/sdb1"))
		w.want("unmounted", []string{"false"}, nil)
		w.note(func() { w.looked = nil })
		anew := state("/dev/sdb1")
		anew.UUID = "another"
		w.send(anew)
		w.want("anew", []string{"/dev/sdb1 /state false"}, []string{"mount /dev/sdb1 false"})
	})
}

// fat is a file system that may have a state volume's file.
func fat(device, label string) Event {
	return Event{Device: device, Volume: Volume{Label: label, Type: "vfat", UUID: "UUID-" + device}}
}

// TestFileAtTheBoot has file systems with a state volume's file.
func TestFileAtTheBoot(t *testing.T) {
	const file = "zerodisc-state.img"
	ours, other := fat("/dev/sdb1", "ZERODISC-A"), fat("/dev/sdc1", "PHOTOS")
	mounted := func(device string) ([]string, []string) {
		return []string{device + file + " /state false"}, []string{"mount " + device + file + " false"}
	}
	for _, test := range []struct {
		name, uuid string
		there      []Event
		inside     map[string]string
		device     string // that is mounted
		asked      []string
		facts      []string // where none is
	}{
		{name: "none", there: []Event{ours, other}, asked: []string{"/dev/sdb1"}},
		{name: "one", there: []Event{ours, other}, asked: []string{"/dev/sdb1"},
			inside: map[string]string{"/dev/sdb1": "x", "/dev/sdc1": "y"}, device: "/dev/sdb1"},
		{name: "named", uuid: "uuid-/dev/sdc1", there: []Event{ours, other}, asked: []string{"/dev/sdc1"},
			inside: map[string]string{"/dev/sdb1": "x", "/dev/sdc1": "y"}, device: "/dev/sdc1"},
		{name: "two", there: []Event{ours, fat("/dev/sdd1", "ZERODISC-B")}, asked: []string{"/dev/sdb1", "/dev/sdd1"},
			inside: map[string]string{"/dev/sdb1": "x", "/dev/sdd1": "y"},
			facts: []string{"false  there are 2 files zerodisc-state.img: /dev/sdb1, /dev/sdd1; " +
				"none of them is used"}},
		{name: "settings", there: []Event{fat("/dev/sda2", "ZERODISC-CONFIG")}},
		{name: "NTFS", there: []Event{{Device: "/dev/sdb1", Volume: Volume{Label: "ZERODISC-A", Type: "ntfs"}}}},
		{name: "one that hangs", there: []Event{ours, fat("/dev/sdd1", "ZERODISC-B")},
			asked:  []string{"/dev/sdb1", "/dev/sdd1"},
			inside: map[string]string{"/dev/sdb1": "hangs", "/dev/sdd1": "y"}, device: "/dev/sdd1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.uuid)
				w.inside = test.inside
				began := time.Now()
				if found := w.begin(test.there...); found != (test.device != "") {
					t.Errorf("mounted: %t", found)
				}
				if took := time.Since(began); test.device == "" && took > loading+patience {
					t.Errorf("the boot waited for %v", took)
				}
				facts, calls := test.facts, []string(nil)
				if test.device != "" {
					facts, calls = mounted(test.device)
				}
				synctest.Wait()
				w.want(test.name, facts, calls)
				if slices.Sort(w.asked); !slices.Equal(w.asked, test.asked) {
					t.Errorf("looked into %q, want %q", w.asked, test.asked)
				}
			})
		})
	}
}

// TestVolumeBeforeFile has both: nobody waits for the file.
func TestVolumeBeforeFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.inside = map[string]string{"/dev/sda1": "hangs"}
		began := time.Now()
		if !w.begin(fat("/dev/sda1", "ZERODISC-A"), state("/dev/sdb1")) || time.Since(began) > loading+waitPause {
			t.Errorf("it took %v", time.Since(began))
		}
		time.Sleep(2 * time.Second) // until it hangs
	})
}

// TestFileComesAndGoes has a file that is made while the machine runs, unmounted by a person, made anew, and pulled.
func TestFileComesAndGoes(t *testing.T) {
	const fact, call = "/dev/sdb1zerodisc-state.img /state false", "mount /dev/sdb1zerodisc-state.img false"
	const gone = "/dev/sdb1zerodisc-state.img  false web it was taken away"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		stick := fat("/dev/sdb1", "ZERODISC-A")
		if w.begin(stick) {
			t.Error("there is a volume")
		}
		w.note(func() { w.inside = map[string]string{"/dev/sdb1": "x"} })
		w.send(stick)
		synctest.Wait()
		time.Sleep(2 * loading)
		w.want("it is made", []string{fact}, []string{call})
		w.note(func() { w.looked = ErrNotMounted })
		w.send(stick)
		w.note(func() { w.looked = nil })
		w.send(stick)
		w.want("a person has unmounted it", []string{"false"}, nil)
		w.note(func() { w.inside = map[string]string{"/dev/sdb1": "y"} })
		w.send(stick)
		time.Sleep(2 * loading)
		w.want("it is made anew", []string{fact}, []string{call})
		w.send(Event{Device: "/dev/sdb1", Gone: true})
		w.want("it goes", []string{gone}, []string{"unmount"})
		w.send(stick)
		time.Sleep(2 * loading)
		w.send(Event{Device: "/dev/sdb1", Gone: true})
		w.want("it came", []string{fact, gone}, []string{call, "unmount"})
	})
}

func TestKnown(t *testing.T) {
	run, sys := t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		sys + "/class/block/sda1/dev": "8:1\n", sys + "/class/block/sdb1/dev": "8:17\n",
		run + "/data/b8:33": "E:ID_FS_LABEL=gone\n", run + "/data/c5:1": "E:ID_FS_LABEL=tty\n",
		run + "/data/b8:1":  "E:ID_FS_LABEL=data\nE:ID_FS_TYPE=ext4\n",
		run + "/data/b8:17": "S:disk/x\nE:ID_FS_LABEL=ZERODISC-STATE\nE:ID_FS_TYPE=ext4\nE:ID_FS_UUID=1-2\n",
		run + "/data/b7:0":  "E:ID_FS_LABEL=ZERODISC-STATE\nE:ID_FS_TYPE=ext4\n",
	} {
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	for number, name := range map[string]string{"8:1": "sda1", "8:17": "sdb1", "7:0": "loop0"} {
		link := filepath.Join(sys, "dev/block", number)
		err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("../../class/block/"+name, link))
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := Lookup(run, sys, "/dev/sda1"); got.Label != "data" {
		t.Errorf("sda1: %+v", got)
	}
	found, err := Known(run, sys, func(name string) bool { return name != "loop0" })
	want := []Event{
		{Device: "/dev/sda1", Volume: Volume{Label: "data", Type: "ext4"}},
		{Device: "/dev/sdb1", Volume: Volume{Label: "ZERODISC-STATE", Type: "ext4", UUID: "1-2"}},
	}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%v, %v", found, err)
	}
}

// TestWaitEndsWithContext calls a boot off.
func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.hangs = make(chan struct{})
		defer close(w.hangs)
		ctx, cancel := context.WithTimeout(t.Context(), loading+time.Second)
		defer cancel()
		go w.Run(t.Context(), []Event{state("/dev/sdb1")}, w.events)
		if w.Wait(ctx) || ctx.Err() == nil {
			t.Error("it did not wait, or it is mounted")
		}
	})
}
