package md

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// disk is a device of zeros with one block.
type disk struct {
	size, at int64
	block    []byte
}

func (d disk) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > d.size {
		return 0, io.ErrUnexpectedEOF
	}
	clear(p)
	if end := d.at + int64(len(d.block)); at < end && d.at < at+int64(len(p)) {
		from := max(at, d.at)
		copy(p[from-at:], d.block[from-d.at:])
	}
	return len(p), nil
}

func (d disk) clone() disk {
	d.block = slices.Clone(d.block)
	return d
}

// put32 changes a number in the superblock, whose checksum stays right.
func (d disk) put32(at int, value uint32) disk {
	d = d.clone()
	binary.LittleEndian.PutUint32(d.block[at:], value)
	d.sum()
	return d
}

func (d disk) sum() {
	if binary.LittleEndian.Uint32(d.block[4:]) == 0 {
		binary.LittleEndian.PutUint32(d.block[152:], sum090(d.block, 152))
		return
	}
	count := min(binary.LittleEndian.Uint32(d.block[220:]), maxRoles)
	binary.LittleEndian.PutUint32(d.block[216:], sum1(d.block, int(count)))
}

// fixtures are the members in testdata by their names, as "raid5.0".
func fixtures(t testing.TB) map[string]disk {
	t.Helper()
	file, err := os.Open("testdata/superblocks.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	disks := map[string]disk{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return disks
		}
		if err != nil {
			t.Fatal(err)
		}
		var d disk
		name, numbers, _ := strings.Cut(header.Name, "@")
		if _, err := fmt.Sscanf(numbers, "%d@%d", &d.size, &d.at); err != nil {
			t.Fatal(err)
		}
		if d.block, err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
		disks[name] = d
	}
}

func read(t testing.TB, name string, d disk) *Member {
	t.Helper()
	m, err := Read(d, d.size)
	if err != nil || m == nil {
		t.Fatalf("%s: %v, %v", name, m, err)
	}
	m.Device = name
	return m
}

// members reads the fixtures whose names match.
func members(t testing.TB, names ...string) []*Member {
	t.Helper()
	all := fixtures(t)
	var found []*Member
	for _, name := range names {
		d, ok := all[name]
		if !ok {
			t.Fatalf("no fixture %s", name)
		}
		found = append(found, read(t, name, d))
	}
	return found
}

// TestMdadmAgrees has mdadm judge what is read.
func TestMdadmAgrees(t *testing.T) {
	if _, err := exec.LookPath("mdadm"); err != nil {
		t.Skip("mdadm is not installed (Debian package mdadm)")
	}
	dir := t.TempDir()
	for name, d := range fixtures(t) {
		file := filepath.Join(dir, name)
		image := make([]byte, d.size)
		copy(image[d.at:], d.block)
		if err := os.WriteFile(file, image, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("mdadm", "--examine", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		m := read(t, name, d)
		level := map[Level]string{RAID0: "raid0", RAID1: "raid1", RAID4: "raid4", RAID5: "raid5", RAID6: "raid6",
			RAID10: "raid10"}[m.Level]
		wants := []string{
			`UUID : ` + m.Array.String(), `Raid Level : ` + level,
			fmt.Sprintf(`Raid Devices : %d`, m.Disks), fmt.Sprintf(`Events : %d`, m.events),
		}
		if !strings.HasPrefix(name, "raid1_bm") { // it misses the bitmap, which is not here, and sums up without
			wants = append(wants, `Checksum : [0-9a-f]+ - correct`)
		}
		if m.start == 0 && m.name == "9" { // version 0.90, whose name is its number
			wants = append(wants, fmt.Sprintf(`Used Dev Size : %d\n`, m.size/2), fmt.Sprintf(`this +%d `, m.number))
		} else {
			wants = append(wants, `Name : `+m.name, fmt.Sprintf(`Avail Dev Size : %d sectors`, m.length),
				`State : `+map[bool]string{true: "clean", false: "active"}[m.clean])
			if r := m.roles[m.number]; r != unused {
				wants = append(wants, fmt.Sprintf(`Device Role : Active device %d`, r))
			} else {
				wants = append(wants, `Device Role : spare`)
			}
			if m.start > 0 {
				wants = append(wants, fmt.Sprintf(`Data Offset : %d sectors`, m.start))
			}
		}
		if m.Chunk > 0 {
			wants = append(wants, fmt.Sprintf(`Chunk Size : %dK`, m.Chunk/1024))
		}
		for _, want := range wants {
			if !regexp.MustCompile(want).Match(out) {
				t.Errorf("%s: mdadm does not say %q:\n%s", name, want, out)
			}
		}
		os.Remove(file)
	}
}

// summary writes an array as its members in their places.
func summary(a Array) string {
	s := fmt.Sprintf("%s level %d layout %#x chunk %d", a.Name, a.Level, a.Layout, a.Chunk)
	for _, slot := range a.Slots {
		if slot.Device == "" {
			s += " -"
			continue
		}
		s += fmt.Sprintf(" %s+%d+%d", slot.Device[strings.IndexByte(slot.Device, '.'):], slot.Start, slot.Length)
	}
	if a.Degraded {
		s += " degraded"
	}
	return s
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		members  string
		want     string
		problems []string // what they contain
	}{
		{"raid1_12.0 raid1_12.1", "md_raid1_12 level 1 layout 0x0 chunk 0 .0+2048+6144 .1+2048+6144", nil},
		{"raid1_11.1 raid1_11.0", "md_raid1_11 level 1 layout 0x0 chunk 0 .0+2048+6144 .1+2048+6144", nil},
		{"raid1_10.0 raid1_10.1", "md_raid1_10 level 1 layout 0x0 chunk 0 .0+0+8064 .1+0+8064", nil},
		{"raid1_090.0 raid1_090.1", "md_9 level 1 layout 0x0 chunk 0 .0+0+8064 .1+0+8064", nil},
		{"raid1_bm.0 raid1_bm.1", "md_raid1_bm level 1 layout 0x0 chunk 0 .0+2048+14336 .1+2048+14336", nil},
		{"raid1_12.1", "md_raid1_12 level 1 layout 0x0 chunk 0 - .1+2048+6144 degraded",
			[]string{"member 1 of 2 missing"}},
		{"raid0_eq.2 raid0_eq.1 raid0_eq.0",
			"md_raid0_eq level 0 layout 0x0 chunk 65536 .0+2048+6144 .1+2048+6144 .2+2048+6144", nil},
		{"raid0_eq.0 raid0_eq.2", "", []string{"member 2 of 3 missing", "too few"}},
		{"raid0_uneq.0 raid0_uneq.1 raid0_uneq.2",
			"md_raid0_uneq level 0 layout 0x1 chunk 65536 .0+2048+6144 .1+2048+12288 .2+2048+16384", nil},
		{"raid4.0 raid4.1 raid4.2",
			"md_raid4 level 4 layout 0x0 chunk 65536 .0+2048+6144 .1+2048+6144 .2+2048+6144", nil},
		{"raid5.2 raid5.0", "md_raid5 level 5 layout 0x2 chunk 65536 .0+2048+6144 - .2+2048+6144 degraded",
			[]string{"member 2 of 3 missing"}},
		{"raid5.2", "", []string{"members 1, 2 of 3 missing", "too few of its members"}},
		{"raid5_ra.0 raid5_ra.1 raid5_ra.2 raid5_ra.3",
			"md_raid5_ra level 5 layout 0x1 chunk 4096 .0+2048+6144 .1+2048+6144 .2+2048+6144 .3+2048+6144", nil},
		{"raid6.0 raid6.2 raid6.4", "md_raid6 level 6 layout 0x2 chunk 65536 .0+2048+6144 - .2+2048+6144 - " +
			".4+2048+6144 degraded", []string{"members 2, 4 of 5 missing"}},
		{"raid6.0 raid6.2", "", []string{"members 2, 4, 5 of 5 missing", "too few"}},
		{"raid10_n2.0 raid10_n2.3",
			"md_raid10_n2 level 10 layout 0x102 chunk 65536 .0+2048+6144 - - .3+2048+6144 degraded",
			[]string{"members 2, 3 of 4"}},
		{"raid10_n2.0 raid10_n2.1", "", []string{"members 3, 4 of 4", "too few"}},
		{"raid10_n2o.0 raid10_n2o.2",
			"md_raid10_n2o level 10 layout 0x102 chunk 65536 .0+2048+6144 - .2+2048+6144 degraded",
			[]string{"member 2 of 3"}},
		{"raid10_f2.0 raid10_f2.1 raid10_f2.2",
			"md_raid10_f2 level 10 layout 0x201 chunk 65536 .0+2048+6144 .1+2048+6144 .2+2048+6144", nil},
		{"raid10_o2.0 raid10_o2.1 raid10_o2.2",
			"md_raid10_o2 level 10 layout 0x10201 chunk 65536 .0+2048+6144 .1+2048+6144 .2+2048+6144", nil},
		// The first member failed, and the others know.
		{"raid1_stale.0 raid1_stale.1 raid1_stale.2",
			"md_raid1_stale level 1 layout 0x0 chunk 0 - .1+2048+6144 .2+2048+6144 degraded",
			[]string{"raid1_stale.0 is out of date", "member 1 of 3"}},
		{"raid1_stale.0", "md_raid1_stale level 1 layout 0x0 chunk 0 .0+2048+6144 - - degraded",
			[]string{"members 2, 3 of 3"}},
		{"raid5_stale.0 raid5_stale.1 raid5_stale.2",
			"md_raid5_stale level 5 layout 0x2 chunk 65536 .0+2048+6144 - .2+2048+6144 degraded",
			[]string{"raid5_stale.1 is out of date", "member 2 of 3"}},
		// While something is written the copies may differ, and so does the parity.
		{"raid1_dirty.0 raid1_dirty.1", "md_raid1_dirty level 1 layout 0x0 chunk 0 .0+2048+6144 -", nil},
		{"raid5_dirty.0 raid5_dirty.1 raid5_dirty.2",
			"md_raid5_dirty level 5 layout 0x2 chunk 65536 .0+2048+6144 .1+2048+6144 .2+2048+6144", nil},
		{"raid5_dirty.0 raid5_dirty.1", "", []string{"member 3 of 3", "was being written to"}},
		{"spare.2 spare.1 spare.0", "md_spare level 1 layout 0x0 chunk 0 .0+2048+6144 .1+2048+6144", nil},
	} {
		arrays, problems := Plan(members(t, strings.Fields(test.members)...))
		got := ""
		for _, a := range arrays {
			got += summary(a)
		}
		if got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.members, got, test.want)
		}
		compareProblems(t, test.members, problems, test.problems)
	}
}

func compareProblems(t *testing.T, name string, got, want []string) {
	t.Helper()
	matches := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		matches = matches && strings.Contains(got[i], want[i])
	}
	if !matches {
		t.Errorf("%s: problems %q, want %q", name, got, want)
	}
}

// TestPlanOfBadMembers changes superblocks whose checksums are right.
func TestPlanOfBadMembers(t *testing.T) {
	all := fixtures(t)
	five := func(change func(disk) disk) []disk {
		return []disk{change(all["raid5.0"]), change(all["raid5.1"]), change(all["raid5.2"])}
	}
	one := func(change func(disk) disk) []disk {
		return []disk{all["raid5.0"], change(all["raid5.1"]), all["raid5.2"]}
	}
	put := func(at int, value uint32) func(disk) disk {
		return func(d disk) disk { return d.put32(at, value) }
	}
	for name, test := range map[string]struct {
		disks    []disk
		arrays   int
		problems []string
	}{
		"as it was":       {five(disk.clone), 1, nil},
		"reshape":         {five(put(8, featureReshape)), 0, []string{"shape was being changed"}},
		"journal":         {five(put(8, featureJournal)), 0, []string{"journal"}},
		"clustered":       {five(put(8, featureClustered)), 0, []string{"several hosts"}},
		"unknown feature": {five(put(8, 1<<20)), 0, []string{"features that are not known"}},
		"being filled":    {one(put(8, featureRecovery)), 1, []string{"disk1 is only partly filled", "member 2 of 3"}},
		"bad blocks":      {one(put(8, featureBadBlocks)), 1, []string{"disk1 has bad blocks", "member 2 of 3"}},
		"replacement":     {one(put(8, featureReplacement)), 1, []string{"disk1 is to replace", "member 2 of 3"}},
		"other chunks":    {one(put(88, 8)), 1, []string{"disk1 describes another array", "member 2 of 3"}},
		"now a spare":     {one(put(160, 100)), 1, []string{"member 2 of 3"}},
		"number too high": {one(func(d disk) disk { return d.put32(220, 1000).put32(160, 900) }), 1,
			[]string{"disk1 is not in it any more", "member 2 of 3"}},
		"copy":         {one(put(160, 0)), 0, []string{"disk0 and disk1 are the same member"}},
		"level 7":      {five(put(72, 7)), 0, []string{"level 7 cannot be read"}},
		"multipath":    {five(put(72, 0xfffffffc)), 0, []string{"level -4"}},
		"no members":   {five(put(92, 0)), 0, []string{"0 members"}},
		"many members": {five(put(92, 1<<31)), 0, []string{"members: want 2 to 256"}},
		"no chunks":    {five(put(88, 0)), 0, []string{"chunks of 0 bytes"}},
		"odd chunks":   {five(put(88, 24)), 0, []string{"power of two"}},
		"huge chunks":  {five(put(88, 1<<31)), 0, []string{"chunks of 1099511627776 bytes"}},
		"two members":  {five(put(92, 2)), 1, []string{"disk2 has place 2 of 2"}},
		"no size":      {five(put(80, 0)), 0, []string{"has no data"}},
		"a chunk less": {five(put(80, 100)), 0, []string{"has no data"}},
	} {
		var found []*Member
		for i, d := range test.disks {
			found = append(found, read(t, fmt.Sprintf("disk%d", i), d))
		}
		arrays, problems := Plan(found)
		if len(arrays) != test.arrays {
			t.Errorf("%s: %d arrays, want %d", name, len(arrays), test.arrays)
		}
		compareProblems(t, name, problems, test.problems)
	}
}

func TestReadRefuses(t *testing.T) {
	all := fixtures(t)
	good, old := all["raid5.0"], all["raid1_090.0"]
	damaged := good.clone()
	damaged.block[100]++
	short := good
	short.size /= 2
	big := old.clone()
	slices.Reverse(big.block[:4])
	for name, test := range map[string]struct {
		disk disk
		want string
	}{
		"checksum":         {damaged, "checksum"},
		"cut off":          {short, "cut off"},
		"many devices":     {good.put32(220, 5000), "5000 devices"},
		"number":           {good.put32(160, 1<<31), "number"},
		"data beyond":      {good.put32(132, 1<<31), "cut off"},
		"more than has":    {good.put32(84, 1), "room for"},
		"big-endian":       {big, "byte order"},
		"0.90 is number x": {old.put32(3968, 27), "number 27 of 27"},
		"0.90 grown":       {old.put32(32, 5000), "room for"},
	} {
		m, err := Read(test.disk, test.disk.size)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v, want an error with %q", name, m, err, test.want)
		}
	}
	for name, d := range map[string]disk{
		"nothing":              {size: 1 << 20},
		"tiny":                 {size: 4096},
		"of another partition": {good.size, 0, good.block},
	} {
		if m, err := Read(d, d.size); m != nil || err != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := Read(broken{}, 1<<20); !errors.Is(err, syscall.EIO) {
		t.Errorf("a device that cannot be read: %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// What mdadm made before and did not wipe does not count.
func TestNewestSuperblockCounts(t *testing.T) {
	all := fixtures(t)
	newer, older := all["raid1_12.0"], all["raid1_10.0"].put32(64, 1)
	image := make([]byte, newer.size)
	copy(image[newer.at:], newer.block)
	copy(image[older.at:], older.block)
	if m, err := Read(bytes.NewReader(image), newer.size); err != nil || m.start != 2048 {
		t.Errorf("%v, %v", m, err)
	}
}

// The superblock of a partition at the end of a disk is found on both.
func TestDiskOfLastPartition(t *testing.T) {
	all := fixtures(t)
	partition := all["raid1_090.0"]
	whole := disk{partition.size + 1<<20, partition.at + 1<<20, partition.block}
	found := []*Member{read(t, "sda", whole), read(t, "sda1", partition), read(t, "sdb1", all["raid1_090.1"])}
	for range found {
		found = append(found[1:], found[0])
		arrays, problems := Plan(found)
		if len(arrays) != 1 || len(problems) > 0 || arrays[0].Slots[0].Device != "sda1" {
			t.Errorf("%v, %q", arrays, problems)
		}
	}
}

func TestLinear(t *testing.T) {
	all := fixtures(t)
	var found []*Member
	for i, name := range []string{"raid0_uneq.0", "raid0_uneq.1", "raid0_uneq.2"} {
		found = append(found, read(t, fmt.Sprintf("disk%d", i), all[name].put32(72, 0xffffffff)))
	}
	arrays, problems := Plan(found)
	if len(arrays) != 1 || len(problems) > 0 {
		t.Fatalf("%v, %q", arrays, problems)
	}
	got := fmt.Sprint(arrays[0].Segments())
	if want := "[{6144 0 [{disk0 2048}]} {12288 0 [{disk1 2048}]} {16384 0 [{disk2 2048}]}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNames(t *testing.T) {
	one := fixtures(t)["raid1_12.0"]
	array := func(name string, uuid uint32) *Member {
		d := one.put32(16, uuid)
		clear(d.block[32:64])
		copy(d.block[32:64], name)
		d.sum()
		return read(t, "disk", d)
	}
	for i, test := range []struct{ name, want string }{
		{"pc:home", "md_home"}, {"home", "md_home"}, {"other:0", "md_0"}, {"", ""}, {"pc:", ""}, {"pc:../x", ""},
		{"pc:a\x1b[2J", ""}, {"a.name+all_chars", "md_a.name+all_chars"}, {"pc:of-two-words", "md_of_two_words"},
		{"pc:too long, also by its chars", ""}, {"pc:twentyfive_characters_are", ""}, {"x:lvm-0", "md_lvm_0"},
	} {
		m := array(test.name, uint32(i))
		if test.want == "" {
			test.want = fmt.Sprintf("md_%x", m.Array[:8])
		}
		arrays, problems := Plan([]*Member{m})
		if len(arrays) != 1 || arrays[0].Name != test.want {
			t.Errorf("%q: %+v, want %s; %q", test.name, arrays, test.want, problems)
		}
		for _, p := range problems {
			if strings.ContainsRune(p, 0x1b) {
				t.Errorf("%q is not printable", p)
			}
		}
	}
	first, second := array("a:home", 1), array("b:home", 2)
	arrays, _ := Plan([]*Member{first, second})
	if want := fmt.Sprintf("md_%x", second.Array[:8]); arrays[0].Name != "md_home" || arrays[1].Name != want {
		t.Errorf("%s and %s, want md_home and %s", arrays[0].Name, arrays[1].Name, want)
	}
	thief := array(fmt.Sprintf("%x", second.Array[:8]), 3)
	arrays, problems := Plan([]*Member{first, thief, second})
	if len(arrays) != 2 || !strings.Contains(problems[3], "another one has its name") {
		t.Errorf("%v, %q", arrays, problems)
	}
}

func TestGeometry(t *testing.T) {
	raid10 := func(layout uint32, disks int) Geometry {
		return Geometry{Level: RAID10, Layout: layout, Chunk: 65536, Disks: disks}
	}
	for _, test := range []struct {
		g       Geometry
		sectors uint64 // of members with 1000
		lost    []int
		enough  bool
	}{
		{Geometry{Level: RAID5, Chunk: 4096, Disks: 3}, 2000, []int{2}, true},
		{Geometry{Level: RAID6, Chunk: 4096, Disks: 5}, 3000, []int{0, 1, 2}, false},
		{Geometry{Level: RAID1, Disks: 2}, 1000, []int{0}, true},
		{Geometry{Level: RAID0, Chunk: 65536, Disks: 2}, 1792, nil, true},
		{raid10(0x102, 4), 1792, []int{0, 3}, true},
		{raid10(0x102, 4), 1792, []int{2, 3}, false},
		{raid10(0x102, 3), 1280, []int{0}, true},
		{raid10(0x102, 3), 1280, []int{0, 2}, false},
		{raid10(0x201, 4), 1536, []int{0, 2}, true},
		{raid10(0x201, 4), 1536, []int{3, 0}, false},
		{raid10(0x10201, 3), 1152, []int{1}, true},
		{raid10(0x104, 6), 1280, []int{0, 1, 2}, true},
		{raid10(0x104, 6), 1280, []int{0, 1, 2, 3}, false},
	} {
		if err := test.g.Check(); err != nil {
			t.Errorf("%+v: %v", test.g, err)
		}
		present := make([]bool, test.g.Disks)
		for i := range present {
			present[i] = !slices.Contains(test.lost, i)
		}
		if got := test.g.Enough(present); got != test.enough {
			t.Errorf("%+v without %v: %v", test.g, test.lost, got)
		}
		if got := test.g.Sectors(1000); got != test.sectors {
			t.Errorf("%+v: %d sectors, want %d", test.g, got, test.sectors)
		}
	}
	for _, bad := range []Geometry{raid10(0x101, 4), raid10(0, 4), raid10(0x105, 4), raid10(1<<20|0x102, 4)} {
		if bad.Check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	present := []bool{true, true, true, true}
	if raid10(0x102, 4).Single(present); !slices.Equal(present, []bool{true, false, true, false}) {
		t.Errorf("%v", present)
	}
}

// FuzzPlan reads a block at each place, with its checksum put right, as one of three members.
func FuzzPlan(f *testing.F) {
	all := fixtures(f)
	for _, name := range []string{
		"raid5.0", "raid1_090.0", "raid10_n2o.1", "raid1_10.0", "raid1_11.0", "raid0_uneq.1",
	} {
		f.Add(all[name].block)
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		const size = 4 << 20
		found := []*Member{read(t, "a", all["raid5.1"]), read(t, "b", all["raid0_uneq.2"])}
		for _, place := range places {
			d := disk{size, int64(place.at(size/sector)) * sector, append(slices.Clone(block), make([]byte, 4096)...)}
			d.sum()
			if m, err := Read(d, size); err == nil && m != nil {
				found = append(found, m)
			}
		}
		arrays, _ := Plan(found)
		for _, a := range arrays {
			if !safeName.MatchString(a.Name) || len(a.Name) > maxName || len(a.Slots) != a.Disks {
				t.Errorf("%+v", a)
			}
			for _, s := range a.Slots {
				if s.Start+s.Length > 10<<20/sector {
					t.Errorf("%+v: beyond the device", a)
				}
			}
		}
	})
}
