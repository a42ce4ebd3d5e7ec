package volumes

import (
	"slices"
	"strings"
	"testing"
)

// After a crash another assembler takes over what there is, makes what is not, and follows both.
func TestAdopt(t *testing.T) {
	b := newBench(t)
	plugAll := func() {
		b.plug("/dev/sda", "raid1_12.0")
		b.plug("/dev/sdb", "raid1_12.1")
		for i, path := range []string{"/dev/sdc2", "/dev/sdd", "/dev/sde1", "/dev/sdf"} {
			b.plug(path, []string{"pv.0", "pv.1", "pv.2", "pv.3"}[i])
		}
		b.wait(patience)
	}
	plugAll()
	before, wrong, made := b.volumes(), b.problems, len(b.kernel.made)
	if made < 5 || !slices.Contains(before, "md_raid1_12") {
		t.Fatalf("there is %q", before)
	}
	b.begin(true)
	plugAll()
	b.expect(strings.Join(before, " "), wrong...)
	if len(b.kernel.log) > 0 || len(b.kernel.made) != made {
		t.Errorf("done: %q", b.kernel.log)
	}
	b.pull("/dev/sda")
	b.pull("/dev/sdb")
	b.expectLost("md_raid1_12")
	if want := []string{"removed md_raid1_12"}; !slices.Equal(b.kernel.log, want) {
		t.Errorf("done: %q, want %q", b.kernel.log, want)
	}
	b.plug("/dev/sdg", "raid1_12.0")
	b.plug("/dev/sdh", "raid1_12.1")
	if !slices.Contains(b.volumes(), "md_raid1_12") {
		t.Errorf("there is %q", b.volumes())
	}
}

// What is made of other disks is not taken over, and said.
func TestAdoptOther(t *testing.T) {
	b := newBench(t)
	b.plug("/dev/sda", "raid1_12.0")
	b.plug("/dev/sdb", "raid1_12.1")
	b.begin(true)
	b.pull("/dev/sda")
	b.plug("/dev/sdc", "raid1_12.0")
	b.plug("/dev/sdb", "raid1_12.1")
	b.expect("", "md_raid1_12 cannot be made: a device of that name is there since before init has crashed")
}
