package guestdisk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/host"
)

// vdevs are the guest's disks as they were told last.
func (w *world) vdevs() []string {
	var names []string
	for _, d := range w.facts[len(w.facts)-1].Disks {
		names = append(names, d.Vdev)
	}
	return names
}

// A disk comes and goes beside others, which are left alone.
func TestAttach(t *testing.T) {
	w := newWorld(t)
	second := writable
	second.Vdev = "xvdb"
	set, err := w.Prepare(t.Context(), w.spec(writable))
	if err != nil {
		t.Fatal(err)
	}
	w.kernel.Calls()
	both := w.spec(writable, second)
	if err := set.Attach(t.Context(), both, "xvdb"); err != nil {
		t.Fatal(err)
	}
	w.want("attach", load, "attach disk.img true", "attach xvdb false",
		fmt.Sprintf(`create guest-u-xvdb-cow "ZERODISC-COW-guest-u-xvdb-cow" false `+
			`[0 %d snapshot /dev/loop3 /dev/loop4 P 8]`, gib),
		fmt.Sprintf(`create guest-u-xvdb "" false [0 %d linear /dev/mapper/guest-u-xvdb-cow 0]`, gib))
	if !slices.Equal(w.vdevs(), []string{"xvda", "xvdb"}) || set.Devices()["xvdb"] != "/dev/mapper/guest-u-xvdb" {
		t.Errorf("%q %q", w.vdevs(), set.Devices())
	}
	set.Detach(w.spec(writable), "xvdb")
	w.want("detach", "remove guest-u-xvdb", "remove guest-u-xvdb-cow")
	if !slices.Equal(w.vdevs(), []string{"xvda"}) || len(set.Devices()) != 1 || len(set.budget.gates) != 1 {
		t.Errorf("%q %q", w.vdevs(), set.Devices())
	}
	if err := set.Attach(t.Context(), both, "xvdb"); err != nil {
		t.Fatal("the first disk of that name is in the way: ", err)
	}
	set.Rename(&guests.Resolved{Guest: &guests.Guest{Name: "new"}, UUID: "u", Disks: both.Disks})
	if owner := w.files[0].Owner; owner != "new (changes to its disks)" {
		t.Error(owner)
	}
	if err := set.Close(); err != nil || len(w.files) != 0 {
		t.Errorf("%v, %+v", err, w.files)
	}
}

// The first disk with copy-on-write that a guest gets brings the budget; one that fails takes it away again.
func TestAttachTheFirst(t *testing.T) {
	w := newWorld(t)
	set, err := w.Prepare(t.Context(), w.spec())
	if err != nil {
		t.Fatal(err)
	}
	w.kernel.Failing = "create guest-u-xvda "
	err = set.Attach(t.Context(), w.spec(writable), "xvda")
	if err == nil || !strings.Contains(err.Error(), "web.cfg: disk xvda: no luck") || len(set.Devices()) != 0 {
		t.Errorf("%v %q", err, set.Devices())
	}
	if calls := w.kernel.Calls(); calls[len(calls)-1] != "unmount u" || len(w.files) != 0 {
		t.Errorf("%q %+v", calls, w.files)
	}
	w.kernel.Failing = ""
	if err := set.Attach(t.Context(), w.spec(writable), "xvda"); err != nil || len(w.files) != 1 {
		t.Fatal(err, w.files)
	}
	set.Detach(w.spec(), "xvda")
	if told := w.facts[len(w.facts)-1]; len(w.files) != 0 || told.Changes.BudgetKiB != 0 || len(told.Disks) != 0 {
		t.Errorf("%+v, %+v", w.files, told)
	}
	if err := set.Close(); err != nil {
		t.Error(err)
	}
}

// Disks whose changes have used up their memory get no further one beside them that could be written to.
func TestAttachWhenFull(t *testing.T) {
	w := newWorld(t)
	set, err := w.Prepare(t.Context(), w.spec(writable))
	if err != nil {
		t.Fatal(err)
	}
	set.unwatch()
	w.kernel.Use(1 << 40)
	set.look()
	second := writable
	second.Vdev = "xvdb"
	if err := set.Attach(t.Context(), w.spec(writable, second), "xvdb"); err == nil ||
		!strings.Contains(err.Error(), "have used up their memory; detach another disk") {
		t.Error(err)
	}
	second.Writable = false
	if err := set.Attach(t.Context(), w.spec(writable, second), "xvdb"); err != nil {
		t.Error(err)
	}
	if !w.facts[len(w.facts)-1].Changes.Full {
		t.Errorf("%+v", w.facts)
	}
}

// When a disk is detached whose changes have filled the budget, the others take writes again, and it is told.
func TestDetachMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Budgets = budgets(64)
		second := writable
		second.Vdev = "xvdb"
		set, err := w.Prepare(t.Context(), w.spec(writable, second))
		if err != nil {
			t.Fatal(err)
		}
		w.kernel.Use(70 * mib)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if told := w.facts[len(w.facts)-1]; !told.Changes.Full {
			t.Fatalf("%+v", told)
		}
		set.Detach(w.spec(writable), "xvdb")
		w.kernel.Calls()
		w.kernel.Use(5 * mib)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.want("room", fmt.Sprintf("replace guest-u-xvda [0 %d linear /dev/mapper/guest-u-xvda-cow 0]", gib))
		if told := w.facts[len(w.facts)-1]; told.Changes.Full || told.Changes.UsedKiB != 5*mib>>10 {
			t.Errorf("%+v", told)
		}
		w.kernel.Use(65 * mib)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if told := w.facts[len(w.facts)-1]; !told.Changes.Full {
			t.Errorf("it fills again: %+v", told)
		}
		if err := set.Close(); err != nil {
			t.Error(err)
		}
		if told := w.facts[len(w.facts)-1]; told.Changes != (host.Changes{}) || len(told.Disks) != 1 ||
			told.Disks[0].Device != "" {
			t.Errorf("of a guest that has ended: %+v", told)
		}
	})
}

// A disk that an earlier manager has made is taken away like others, with its changes.
func TestDetachAfterResume(t *testing.T) {
	w := newWorld(t)
	spec := w.spec(writable)
	set, err := w.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	set.unwatch()
	told := w.facts[len(w.facts)-1]
	again, err := w.Resume(spec, &host.Guest{UUID: "u", Disks: told.Disks, Changes: told.Changes})
	if err != nil {
		t.Fatal(err)
	}
	w.kernel.Calls()
	again.Detach(w.spec(), "xvda")
	calls := w.kernel.Calls()
	_, err = os.Stat(filepath.Join(again.dir, "xvda"))
	if err == nil || !slices.Contains(calls, "remove guest-u-xvda") || !slices.Contains(calls, "unmount u") {
		t.Errorf("%v %q", err, calls)
	}
}
