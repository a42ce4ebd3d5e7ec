package host

import (
	"fmt"
	"strings"
	"testing"
)

// shown is what views show of a guest's disks.
func shown(g *Guest) string {
	var lines []string
	for _, d := range g.AllDisks() {
		line := d.Vdev + " " + d.Target
		for _, mark := range []struct {
			word  string
			holds bool
		}{{" cow", d.CopyOnWrite}, {" by xl", d.ByXL}, {" detached", d.Detached}} {
			if mark.holds {
				line += mark.word
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// A guest's disks are what xl says that they are, whoever has asked xl for them.
func TestDisksByXL(t *testing.T) {
	const device = "/dev/mapper/guest-xvda"
	image := Disk{Vdev: "xvda", Target: "/x.img", Format: "raw", Writable: true, CopyOnWrite: true, Device: device}
	data := Disk{Vdev: "xvdb", Target: "/data.img", Format: "raw"}
	servedImage, byXL := Disk{Vdev: "xvda", Target: device}, Disk{Vdev: "xvdc", Target: "/c.img"}
	s := begin(t).create("web", 1, 3)
	for i, step := range []struct {
		fact Fact
		want string
	}{
		{GuestDisks{UUID: uuid(1), Disks: []Disk{image, data}}, "xvda /x.img cow; xvdb /data.img"}, // nobody has looked
		{Served{3, []Disk{servedImage, data}}, "xvda /x.img cow; xvdb /data.img"},
		{Served{3, []Disk{servedImage, data, byXL}}, "xvda /x.img cow; xvdb /data.img; xvdc /c.img by xl"},
		{Served{3, []Disk{servedImage, byXL}}, "xvda /x.img cow; xvdb /data.img detached; xvdc /c.img by xl"},
		{Served{3, []Disk{servedImage}}, "xvda /x.img cow; xvdb /data.img detached"},
		{Served{3, []Disk{servedImage, {Vdev: "51728", Target: "/other.img"}}},
			"xvda /x.img cow; 51728 /other.img by xl"},
		{Served{3, []Disk{servedImage}}, "xvda /x.img cow; xvdb /data.img detached"},
		{GuestDisks{UUID: uuid(1), Disks: []Disk{image}}, "xvda /x.img cow"}, // guest detach
		{GuestDisks{UUID: uuid(1), Disks: []Disk{image, data}}, "xvda /x.img cow; xvdb /data.img"},
		{Served{3, []Disk{servedImage, data}}, "xvda /x.img cow; xvdb /data.img"},
		{Served{3, nil}, "xvda /x.img cow detached; xvdb /data.img detached"},
		{GuestPhase{UUID: uuid(1), Phase: Stopping}, "xvda /x.img cow; xvdb /data.img"}, // all of it goes
		{Gone{3}, "xvda /x.img cow; xvdb /data.img"},
	} {
		s.tell(step.fact)
		if got := shown(s.Snapshot().ByUUID(uuid(1))); got != step.want {
			t.Errorf("%d: %+v: %s, want %s", i, step.fact, got, step.want)
		}
	}
}

func TestDisksOfAGuestMadeByHand(t *testing.T) {
	s := begin(t).tell(Came{Domid: 4, UUID: uuid(2), Name: "hand"},
		Served{4, []Disk{{Vdev: "xvda", Target: "/x\x1b.img"}}}, Served{5, []Disk{{Vdev: "xvda"}}})
	g := s.Snapshot().Live("hand")
	if got := shown(g); strings.ContainsRune(got, 0x1b) || !strings.HasSuffix(got, ".img by xl") {
		t.Errorf("%q", got)
	}
	if _, err := g.Disk("xvdz"); fmt.Sprint(err) != `guest hand has no disk "xvdz"; it has xvda` {
		t.Error(err)
	}
	if d, err := g.Disk("xvda"); err != nil || !d.ByXL {
		t.Error(d, err)
	}
}
