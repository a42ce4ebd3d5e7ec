package toram

import (
	"bytes"
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

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/memory"
)

func TestModeOf(t *testing.T) {
	for text, want := range map[string]Mode{"": Auto, "auto": Auto, "yes": Yes, "On": Yes, "no": No, "0": No} {
		if got := ModeOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// world is a machine whose mounts are plain directories.
type world struct {
	*Manager
	t      *testing.T
	facts  []host.Medium
	calls  []string
	free   int64 // KiB, of dom0
	gone   chan struct{}
	back   chan host.Medium
	busy   bool // somebody has the medium open
	wrong  error
	medium string
	done   chan struct{} // closed when Run has returned
	files  []memory.Entry
	state  *host.State
}

func newWorld(t *testing.T, mode Mode) *world {
	w := &world{
		t: t, free: 1 << 20, gone: make(chan struct{}), back: make(chan host.Medium), medium: t.TempDir(),
		done: make(chan struct{}),
	}
	w.state = host.New(t.Context(), "test")
	w.state.Tell(host.Ready{})
	w.Manager = New(Config{
		Mode: mode, Medium: host.Medium{Device: "/dev/sdb", Mount: w.medium},
		Needed: []string{"boot/vmlinuz", "guests", "nowhere"}, Dir: filepath.Join(t.TempDir(), "next"), Kernel: w,
		Ledger: memory.New(memory.Source{
			XenFree:   func(context.Context) (int64, error) { return 0, nil },
			Available: func() (int64, error) { return w.free, nil },
		}, func(e []memory.Entry) { w.files = e }),
		Subscribe: w.state.Subscribe,
		Gone: func(ctx context.Context, device string) {
			select {
			case <-w.gone:
			case <-ctx.Done():
			}
		},
		Find: func(ctx context.Context, dir string) (host.Medium, error) {
			select {
			case found := <-w.back:
				return found, nil
			case <-ctx.Done():
				return host.Medium{}, ctx.Err()
			}
		},
		Users: func() []string { return []string{"web"} }, Others: func(string) ([]string, string) { return nil, "" },
		Tell:   func(f host.Fact) { w.facts = append(w.facts, f.(host.Medium)) },
		Copied: func() { w.calls = append(w.calls, "copied") },
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	w.write("boot/vmlinuz", bytes.Repeat([]byte("kernel"), 100_000))
	w.write("boot/xen.gz", []byte("not needed"))
	disk := make([]byte, 3<<20+100)
	copy(disk[1<<20:], "in the middle")
	copy(disk[len(disk)-5:], "end")
	w.write("guests/web/disk.img", disk)
	w.write("guests/web/web.cfg", []byte("kernel = 'dom0'\n"))
	return w
}

func (w *world) write(name string, data []byte) {
	name = filepath.Join(w.medium, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) call(format string, args ...any) error {
	w.calls = append(w.calls, fmt.Sprintf(format, args...))
	return nil
}

func (w *world) MountMemory(dir string, bytes int64) error { return w.call("mount %d", bytes>>20) }
func (w *world) Protect(string) error                      { return w.call("protect") }
func (w *world) Unmount(dir string) error                  { return w.call("unmount %s", filepath.Base(dir)) }

func (w *world) Replace(dir, target string) error {
	return errors.Join(w.call("replace %s", filepath.Base(dir)), w.wrong)
}

func (w *world) Release(_ context.Context, device string) error {
	if w.busy {
		return errors.New(device + " is still in use")
	}
	return w.call("release %s", device)
}

// start runs the Manager, and stop ends it.
func (w *world) start() (stop func()) {
	ctx, stop := context.WithCancel(w.t.Context())
	go func() {
		w.Run(ctx)
		close(w.done)
	}()
	synctest.Wait()
	return stop
}

func (w *world) want(calls ...string) {
	w.t.Helper()
	synctest.Wait()
	if !slices.Equal(w.calls, calls) {
		w.t.Errorf("calls %q, want %q", w.calls, calls)
	}
	w.calls = nil
}

// last is the newest fact of so many.
func (w *world) last(count int) host.Medium {
	w.t.Helper()
	if len(w.facts) != count {
		w.t.Fatalf("told %+v, want %d facts", w.facts, count)
	}
	return w.facts[count-1]
}

func TestCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Auto)
		defer w.start()()
		if len(w.calls) > 0 {
			t.Errorf("copied before the guests were there: %q", w.calls)
		}
		time.Sleep(quiet + time.Second)
		w.want("mount 4", "protect", "replace next", "copied", "release /dev/sdb")
		<-w.done
		if f := w.last(1); f.State != host.MediumInRAM || f.Problem != "" {
			t.Errorf("%+v", f)
		}
		for _, name := range []string{"boot/vmlinuz", "guests/web/disk.img", "guests/web/web.cfg"} {
			got, err := os.ReadFile(filepath.Join(w.Dir, name))
			want, _ := os.ReadFile(filepath.Join(w.medium, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v, %d bytes, want %d", name, err, len(got), len(want))
			}
		}
		if _, err := os.Stat(filepath.Join(w.Dir, "boot/xen.gz")); err == nil {
			t.Error("what is not needed was copied")
		}
		// The kernel has 147 pages; of the disk two are not zero; the configuration has one.
		if len(w.files) != 1 || w.files[0].Owner != owner || w.files[0].Dom0KiB != (147+2+1)*4 {
			t.Errorf("%+v", w.files)
		}
	})
}

// TestWaitsForGuests copies nothing while a guest is being made, and says so. One that waits for a disk is not awaited.
func TestWaitsForGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Auto)
		for _, name := range []string{"web", "lone"} {
			w.state.Tell(host.Planned{Spec: &guests.Resolved{Guest: &guests.Guest{Name: name}, UUID: name}})
		}
		w.state.Tell(host.GuestPhase{UUID: "lone", Phase: host.Waiting, Problem: "it waits for /dev/sdz"})
		w.state.Tell(host.GuestPhase{UUID: "web", Phase: host.Creating})
		defer w.start()()
		time.Sleep(longWait + time.Second)
		w.want()
		if f := w.last(1); f.State != "" || f.Problem != errLater.Error() {
			t.Errorf("%+v", f)
		}
		w.state.Tell(host.GuestPhase{UUID: "web", Phase: host.Running})
		time.Sleep(quiet / 2)
		w.want()
		<-w.done
		w.want("mount 4", "protect", "replace next", "copied", "release /dev/sdb")
	})
}

func TestStillInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Yes)
		w.busy = true
		defer w.start()()
		<-w.done
		if f := w.last(1); f.State != host.MediumInRAM || f.Problem != "/dev/sdb is still in use" {
			t.Errorf("%+v", f)
		}
	})
}

// TestISOFile has the medium in a file system, which is let go of.
func TestISOFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Yes)
		w.Medium.File, w.Medium.HostDir = "/z.iso", "/media/.iso-host"
		defer w.start()()
		<-w.done
		w.want("mount 4", "protect", "replace next", "copied", "unmount .iso-host", "release /dev/sdb")
	})
}

// TestNoRoom tries again when there may be memory, and tells the reason once.
func TestNoRoom(t *testing.T) {
	for _, test := range []struct {
		mode Mode
		room int64 // MiB
		want string
	}{
		{Yes, 2, "it takes 4 MiB of dom0's memory, where 2 MiB are free for it"},
		{Auto, 2, "it takes 4 MiB of dom0's memory, where 2 MiB are free for it"},
		{Auto, 6, "it takes 4 MiB, which is more than half of the 6 MiB that are free: " +
			"zerodisc.toram=yes copies it all the same"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, test.mode)
			w.free = memory.KeepKiB + test.room<<10
			defer w.start()()
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if f := w.last(1); f.State != "" || f.Problem != test.want {
				t.Errorf("%+v", f)
			}
			w.free = 1 << 20
			<-w.done
			if f := w.last(2); f.State != host.MediumInRAM || f.Problem != "" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestPulled pulls the medium and plugs it in again.
func TestPulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, No)
		defer w.start()()
		time.Sleep(time.Hour)
		w.want()
		w.gone <- struct{}{}
		synctest.Wait()
		if f := w.last(1); f.State != host.MediumGone || !slices.Equal(f.Guests, []string{"web"}) {
			t.Errorf("%+v", f)
		}
		w.back <- host.Medium{Device: "/dev/sdc"}
		w.want("replace next")
		if f := w.last(2); f.State != "" || f.Device != "/dev/sdc" || f.Mount != w.medium {
			t.Errorf("%+v", f)
		}
		w.gone <- struct{}{}
		synctest.Wait()
		if f := w.last(3); f.State != host.MediumGone || f.Device != "/dev/sdc" {
			t.Errorf("%+v", f)
		}
	})
}

// TestReadError has a medium that cannot be read: all stays as it was, and the memory is given back.
func TestReadError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Yes)
		w.wrong = errors.New("no luck")
		defer w.start()()
		w.want("mount 4", "protect", "replace next", "unmount next")
		if f := w.last(1); f.State != "" || !strings.Contains(f.Problem, "no luck") || len(w.files) > 0 {
			t.Errorf("%+v, %+v", f, w.files)
		}
	})
}
