package volumes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestArrayComesAndGoes(t *testing.T) {
	b := newBench(t)
	b.plug("/dev/sda1", "raid1_12.0")
	b.expect("")
	b.plug("/dev/sdb1", "raid1_12.1")
	b.expect("md_raid1_12")
	b.expectMade("md_raid1_12", "level 1 raid1_12.0+2048+6144 raid1_12.1+2048+6144")
	b.plug("/dev/sdb1", "raid1_12.1") // a change that is none
	b.pull("/dev/sda1")               // it goes on with the other one
	b.wait(patience)
	b.expect("md_raid1_12", "member 1 of 2 missing")
	b.pull("/dev/sdb1")
	b.expect("")
	if want := "[made md_raid1_12 removed md_raid1_12]"; fmt.Sprint(b.kernel.log) != want {
		t.Errorf("%s, want %s", b.kernel.log, want)
	}
	if want := "[md_mod]"; fmt.Sprint(b.modules) != want {
		t.Errorf("%s, want %s", b.modules, want)
	}
}

// What is incomplete waits for disks that lag behind.
func TestPatience(t *testing.T) {
	b := newBench(t)
	b.plug("/dev/sda", "raid1_stale.0") // alone it looks as if the others were missing
	b.wait(patience - time.Second)
	b.plug("/dev/sdb", "raid1_stale.2")
	b.wait(patience - time.Second)
	b.expect("")
	b.wait(time.Second)
	b.expect("md_raid1_stale", "/dev/sda is out of date and is left out", "members 1, 2 of 3 missing")
	b.expectMade("md_raid1_stale", "level 1 - - raid1_stale.2+2048+6144")
	b.plug("/dev/sdc", "raid1_stale.1") // late, and nobody uses the array: it is made anew
	b.wait(patience)
	b.expect("md_raid1_stale", "member 1 of 3 missing")
	b.expectMade("md_raid1_stale", "level 1 - raid1_stale.1+2048+6144 raid1_stale.2+2048+6144")
}

// An array that is in use is not made anew, and what it has is said.
func TestLateMemberOfArrayInUse(t *testing.T) {
	b := newBench(t)
	b.plug("/dev/sda", "raid1_stale.0")
	b.wait(patience)
	b.expect("md_raid1_stale", "members 2, 3 of 3")
	b.kernel.busy["md_raid1_stale"] = true
	b.plug("/dev/sdb", "raid1_stale.1")
	b.expect("md_raid1_stale", "md_raid1_stale is in use; disks that came later are taken in when it is not")
	b.plug("/dev/sdc", "raid1_stale.2")
	b.wait(patience)
	b.expect("md_raid1_stale", "/dev/sda is out of date", "member 1 of 3")
	delete(b.kernel.busy, "md_raid1_stale")
	b.wait(maxBusyPause)
	b.expect("md_raid1_stale")
	b.expectMade("md_raid1_stale", "level 1 - raid1_stale.1+2048+6144 raid1_stale.2+2048+6144")
}

const all = "vg-0.test/lin vg-0.test/filler vg-0.test/stripe-d vg-0.test/bare vg-0.test/r1 vg-0.test/r5 " +
	"vg-0.test/r10 vg-0.test/r4 vg-0.test/r0 vg-0.test/mir vg-0.test/filler2 vg-0.test/orig"

func (b *bench) plugGroup() {
	for i, path := range []string{"/dev/sda2", "/dev/sdb", "/dev/sdc1", "/dev/sdd"} {
		b.plug(path, fmt.Sprintf("pv.%d", i))
	}
}

func TestVolumeGroup(t *testing.T) {
	b := newBench(t)
	b.plugGroup()
	b.expect(all)
	b.expectMade("vg--0.test-stripe--d", "0 6144 striped 2 128 pv.0 12288 pv.1 4096")
	b.expectMade("vg--0.test-r5_rimage_2", "0 3072 linear pv.2 2560")
	array := strings.Fields(b.kernel.made["vg--0.test-r5"])[3]
	b.expectMade(array, "level 5 vg--0.test-r5_rimage_0 vg--0.test-r5_rimage_1 vg--0.test-r5_rimage_2")
	b.wait(patience)
	b.expect(all, "snap left out")
	for _, path := range []string{"/dev/sda2", "/dev/sdb", "/dev/sdc1", "/dev/sdd"} {
		b.pull(path)
	}
	b.problems = nil
	b.expect("")
	if len(b.kernel.made) > 0 {
		t.Errorf("left over: %v", b.kernel.made)
	}
}

// The volumes that do not need the missing disk are there, after a while.
func TestIncompleteGroup(t *testing.T) {
	b := newBench(t)
	b.plug("/dev/sda2", "pv.0")
	b.plug("/dev/sdd", "pv.3")
	b.expect("")
	b.wait(patience)
	volumes := "vg-0.test/filler vg-0.test/bare vg-0.test/r1 vg-0.test/r10 vg-0.test/mir vg-0.test/filler2 " +
		"vg-0.test/orig"
	if len(b.problems) < 4 {
		t.Errorf("problems %q", b.problems)
	}
	b.problems = nil
	b.expect(volumes)
	b.expectMade("vg--0.test-r1", "0 6144 linear vg--0.test-r1_rimage_0 0")
	b.plug("/dev/sdb", "pv.1")
	b.plug("/dev/sdc1", "pv.2")
	b.expect("vg-0.test/filler vg-0.test/bare vg-0.test/r10 vg-0.test/mir vg-0.test/filler2 vg-0.test/orig "+
		"vg-0.test/lin vg-0.test/stripe-d vg-0.test/r1 vg-0.test/r5 vg-0.test/r4 vg-0.test/r0",
		"vg-0.test/r10 goes on without disks that came later")
}

// A disk is pulled while a guest reads from it, and comes back as another device.
func TestPulledInUse(t *testing.T) {
	b := newBench(t)
	for i, path := range []string{"/dev/sda", "/dev/sdb"} {
		b.plug(path, fmt.Sprintf("wrapped.%d", i))
	}
	b.expect("wrapped/root wrapped/home")
	before := b.kernel.made["wrapped-root"]
	b.kernel.busy["wrapped-root"] = true
	b.pull("/dev/sda")
	b.expectLost("wrapped-home wrapped-root")
	b.expect("wrapped/root")
	b.wait(time.Minute) // said once
	b.expectLost("")
	b.problems = slices.DeleteFunc(b.problems, func(p string) bool { return strings.HasPrefix(p, "volume group") })
	b.expect("wrapped/root")
	b.plug("/dev/sdx", "wrapped.0")
	b.expect("wrapped/root wrapped/home")
	b.expectMade("wrapped-root", before)
	if want := "changed wrapped-root"; !slices.Contains(b.kernel.log, want) {
		t.Errorf("%q, want %q", b.kernel.log, want)
	}
	b.pull("/dev/sdx")
	b.expect("wrapped/root")
	b.expectLost("wrapped-home wrapped-root")
	delete(b.kernel.busy, "wrapped-root")
	b.wait(maxBusyPause)
	b.problems = nil
	b.expect("")
}

// lvmOnArray has a physical volume on an array.
func lvmOnArray(t *testing.T) *bench {
	b := newBench(t)
	b.plug("/dev/sda", "raid1_12.0")
	b.plug("/dev/sdb", "raid1_12.1")
	b.plug("/dev/md_raid1_12", "wrapped.0")
	b.plug("/dev/sdc", "wrapped.1")
	b.expect("md_raid1_12 wrapped/root wrapped/home")
	return b
}

func TestVolumesOnArray(t *testing.T) {
	b := lvmOnArray(t)
	b.expectMade("wrapped-root", "0 2048 linear md_raid1_12 80")
	b.pull("/dev/sda")
	b.expect("md_raid1_12 wrapped/root wrapped/home")
	b.pull("/dev/sdb")
	b.expect("")
	b.pull("/dev/md_raid1_12")
	b.plug("/dev/sda", "raid1_12.0")
	b.plug("/dev/sdb", "raid1_12.1")
	b.plug("/dev/md_raid1_12", "wrapped.0")
	b.expect("md_raid1_12 wrapped/root wrapped/home")
}

func TestVolumesInUseOnArrayThatIsLost(t *testing.T) {
	b := lvmOnArray(t)
	b.kernel.busy["wrapped-root"] = true
	b.pull("/dev/sda")
	b.pull("/dev/sdb")
	b.expect("md_raid1_12 wrapped/root")
	b.expectLost("wrapped-home wrapped-root md_raid1_12")
	delete(b.kernel.busy, "wrapped-root")
	b.wait(maxBusyPause)
	b.problems = nil
	b.expect("")
	if len(b.kernel.made) > 0 {
		t.Errorf("left over: %v", b.kernel.made)
	}
}

func TestLVMOnItself(t *testing.T) {
	b := newBench(t)
	b.plugGroup()
	b.problems = nil
	device := b.named("vg--0.test-lin").device
	b.plug(device, "wrapped.0")
	b.expect(all, device+" is left alone: it is in the logical volume vg-0.test/lin")
	if b.problems = nil; !b.named("vg--0.test-r5_rimage_0").hidden {
		t.Error("a part of a volume is not hidden")
	}
	b.gone(device)
	b.plug(device, "wrapped.1")
	b.expect(all, device+" is left alone")
}

func TestArraysOfArrays(t *testing.T) {
	b := newBench(t)
	b.plug("/dev/sda", "raid1_12.0")
	b.plug("/dev/sdb", "raid1_12.1")
	b.plug("/dev/md_raid1_12", "raid1_11.0")
	b.plug("/dev/sdc", "raid1_11.1")
	b.plug("/dev/md_raid1_11", "raid1_10.0")
	b.plug("/dev/sdd", "raid1_10.1")
	b.expect("md_raid1_12 md_raid1_11 md_raid1_10")
	b.plug("/dev/md_raid1_10", "raid1_bm.0")
	b.expect("md_raid1_12 md_raid1_11 md_raid1_10", "too many arrays are made of each other")
	for _, path := range []string{"/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"} {
		b.pull(path)
	}
	b.problems = nil
	b.expect("")
}

func TestLeftAlone(t *testing.T) {
	b := newBench(t)
	b.kernel.disks["/dev/zero"] = &fakeDisk{size: 1 << 20}
	b.found("/dev/sda", "isw_raid_member")
	b.found("/dev/sdb", "ext4")
	b.found("/dev/sdc", "LVM2_member")
	b.found("/dev/zero", "linux_raid_member")
	b.expect("", "/dev/sda is left alone: RAID of the firmware (isw_raid_member) is not supported",
		"/dev/sdc is left alone: open /dev/sdc", "/dev/zero is left alone: no superblock is there any more")
	damaged := b.fixtures["pv.0"]
	damaged.pieces[306176][100]++
	b.plug("/dev/sdd", "pv.0")
	b.expect("", "/dev/sdd: LVM metadata: their checksum")
	b.plug("/dev/sde", "pv.1")
	b.plug("/dev/sdf", "pv.2")
	b.plug("/dev/sdg", "pv.3")
	b.expect(all)
	b.found("/dev/sdd", "ext4") // it was made anew
	b.problems = nil
	if strings.Contains(strings.Join(b.volumes(), " "), "filler") {
		t.Errorf("%q", b.volumes())
	}
}

// What the kernel refuses is said once, and the rest goes on.
func TestFailures(t *testing.T) {
	b := newBench(t)
	b.kernel.fail["vg--0.test-r5_rimage_0"] = errors.New("no\x1b[2J")
	b.kernel.fail["vg--0.test-lin"] = errors.Join(errors.New("a"), errors.New("b"))
	b.plugGroup()
	without := strings.Replace(strings.Replace(all, "vg-0.test/lin ", "", 1), "vg-0.test/r5 ", "", 1)
	b.expect(without, "vg-0.test/lin cannot be made: a; b", `vg-0.test/r5_rimage_0 cannot be made: no\x1b[2J`)
	b.wait(patience)
	b.expect(without, "snap left out")
	clear(b.kernel.fail)
	b.plug("/dev/sde", "raid1_12.0")
	b.expect(without + " vg-0.test/lin vg-0.test/r5")
	b = newBench(t)
	b.config.Load = func(string) error { return errors.New("no such module") }
	b.plug("/dev/sda", "wrapped.0")
	b.plug("/dev/sdb", "wrapped.1")
	b.expect("", "wrapped/home cannot be made: no such module", "wrapped/root cannot be made: no such module")
}

func TestLimits(t *testing.T) {
	b := newBench(t)
	for i := range maxMembers + 2 {
		b.plug(fmt.Sprintf("/dev/sd%d", i), "spare.2")
	}
	if len(b.members) != maxMembers || len(b.problems) != 2 {
		t.Errorf("%d members, %q", len(b.members), b.problems)
	}
}

// TestTooManyVolumes has room for ten more devices.
func TestTooManyVolumes(t *testing.T) {
	b := newBench(t)
	for i := range maxActive - 10 {
		name := fmt.Sprint("other", i)
		b.kernel.busy[name], b.kernel.made[name] = true, "something"
		b.active = append(b.active, &active{node: &node{name: name, hidden: true}})
	}
	b.plugGroup()
	if len(b.active) != maxActive || len(b.problems) != 1 || !strings.HasSuffix(b.problems[0], " are there already") {
		t.Errorf("%d devices, %q", len(b.active), b.problems)
	}
}

// TestRun has disks come and go while the assembler is busy: nobody waits for it, and it does things in their order.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		hangs := make(chan struct{})
		b.config.Load = func(string) error { <-hangs; return nil }
		go b.Run(t.Context())
		b.kernel.disks["/dev/sda"], b.kernel.disks["/dev/sdb"] = b.fixtures["raid1_12.0"], b.fixtures["raid1_12.1"]
		b.Found("/dev/sda", "linux_raid_member")
		b.Found("/dev/sdb", "linux_raid_member")
		synctest.Wait()
		for range 1000 {
			b.Gone("/dev/sda")
			b.Found("/dev/sda", "linux_raid_member")
		}
		b.Gone("/dev/sda")
		b.Gone("/dev/sdb")
		close(hangs)
		synctest.Wait()
		b.expect("")
		b.expectLost("md_raid1_12")
	})
}

// TestArrayOfItself has an array whose contents begin with the superblock of one of its members. It stays as it is:
// if it were taken down for it, it would be made anew at once, again and again.
func TestArrayOfItself(t *testing.T) {
	for _, inside := range []string{"raid1_12.0", "raid1_12.1"} {
		b := newBench(t)
		b.plug("/dev/sda", "raid1_12.0")
		b.wait(patience)
		b.expect("md_raid1_12", "member 2 of 2 missing")
		b.plug("/dev/md_raid1_12", inside)
		b.wait(10 * patience)
		b.expect("md_raid1_12",
			"/dev/md_raid1_12 is left alone: it says that it is a part of an array that it is made of")
		if want := "[made md_raid1_12]"; fmt.Sprint(b.kernel.log) != want {
			t.Errorf("%s inside: %s, want %s", inside, b.kernel.log, want)
		}
		b.plug("/dev/sdb", "raid1_12.1")
		b.wait(patience)
		b.problems = nil
		b.expect("md_raid1_12")
	}
}
