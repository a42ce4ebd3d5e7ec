package lvm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// uuid makes a UUID of a word.
func uuid(word string) string {
	return withHyphens((word + strings.Repeat("0", idSize))[:idSize])
}

// write makes a physical volume of 8 MiB with one metadata area, whose text ends up at its end and beginning.
func write(id, text string) disk {
	const size, area, areaSize = 8 << 20, 4096, 1020 << 10
	label := make([]byte, sector)
	put := binary.LittleEndian.PutUint64
	copy(label, "LABELONE")
	put(label[8:], 1)
	binary.LittleEndian.PutUint32(label[20:], 32)
	copy(label[24:], "LVM2 001")
	copy(label[32:], strings.ReplaceAll(uuid(id), "-", ""))
	put(label[64:], size)
	put(label[72:], 1<<20)
	if text != "" {
		put(label[104:], area)
		put(label[112:], areaSize)
	}
	binary.LittleEndian.PutUint32(label[16:], sum(label[20:]))
	d := disk{size, map[int64][]byte{512: label}}
	if text == "" {
		return d
	}
	text += "\x00"
	header := make([]byte, areaHeader)
	copy(header[4:], areaMagic)
	binary.LittleEndian.PutUint32(header[20:], 1)
	put(header[24:], area)
	put(header[32:], areaSize)
	const tail = 512
	put(header[40:], areaSize-tail)
	put(header[48:], uint64(len(text)))
	binary.LittleEndian.PutUint32(header[56:], sum([]byte(text)))
	binary.LittleEndian.PutUint32(header, sum(header[4:]))
	d.pieces[area] = header
	first := min(len(text), tail)
	d.pieces[area+areaSize-tail] = []byte(text[:first])
	d.pieces[area+areaHeader] = []byte(text[first:])
	return d
}

// description is a group on the physical volumes a and b, of 27 extents of 256 KiB each.
type description struct {
	name, id string
	seqno    int
	more     string   // settings of the group
	pvs      []string // words for UUIDs; flags after a colon
	lvs      string
}

var plainGroup = with(lv("root", "VISIBLE", linear(0, 4, "pv0", 0)))

// with describes a group with two physical volumes and what is on them.
func with(lvs string) description { return description{pvs: []string{"a", "b"}, lvs: lvs} }

func text(d description) string {
	if d.name == "" {
		d.name = "vg"
	}
	if d.id == "" {
		d.id = "group"
	}
	pvs := ""
	for i, pv := range d.pvs {
		pv, flags, _ := strings.Cut(pv, ":")
		pvs += fmt.Sprintf(`pv%d {
			id = %q
			device = "/dev/was%d" # hint only
			flags = [%s]
			dev_size = 16384
			pe_start = 2048
			pe_count = 27
		}
`, i, uuid(pv), i, flags)
	}
	return fmt.Sprintf(`%s {
		id = %q
		seqno = %d
		format = "lvm2" # informational
		status = ["RESIZEABLE", "READ", "WRITE"]
		flags = []
		extent_size = 512
		%s
		physical_volumes { %s }
		logical_volumes { %s }
	}
	contents = "Text Format Volume Group"
	version = 1
`, d.name, uuid(d.id), max(d.seqno, 1), d.more, pvs, d.lvs)
}

// lv describes a logical volume.
func lv(name, status string, segments ...string) string {
	if status != "" {
		status = `, "` + status + `"`
	}
	word := "x" + strings.NewReplacer("_", "", "-", "", ".", "", "/", "").Replace(name) + "x"
	return fmt.Sprintf("%s {\nid = %q\nstatus = [\"READ\"%s]\nsegment_count = %d\n%s}\n",
		name, uuid(word), status, len(segments), strings.Join(segments, ""))
}

func segmentText(start, count int, kind, rest string) string {
	return fmt.Sprintf("segment%d {\nstart_extent = %d\nextent_count = %d\ntype = %q\n%s\n}\n", start+1, start, count,
		kind, rest)
}

func linear(start, count int, on string, extent int) string {
	return segmentText(start, count, "striped", fmt.Sprintf("stripe_count = 1\nstripes = [%q, %d]", on, extent))
}

// TestPlan works out groups that this test describes.
func TestPlan(t *testing.T) {
	const visible = "VISIBLE"
	ab := []string{"a", "b"}
	chain := ""
	for i := range 10 {
		chain += lv(fmt.Sprintf("lv%d", i), visible, linear(0, 1, fmt.Sprintf("lv%d", i+1), 0))
	}
	raid := func(kind, more string) string {
		legs := ""
		for i := range 2 {
			legs += lv(fmt.Sprintf("r_rmeta_%d", i), "", linear(0, 1, fmt.Sprintf("pv%d", i), 20)) +
				lv(fmt.Sprintf("r_rimage_%d", i), "", linear(0, 2, fmt.Sprintf("pv%d", i), 21))
		}
		return lv("r", visible, segmentText(0, 2, kind,
			more+`raids = ["r_rmeta_0", "r_rimage_0", "r_rmeta_1", "r_rimage_1"]`)) + legs
	}
	for name, test := range map[string]struct {
		group    description
		want     string
		problems []string
	}{
		"plain":     {plainGroup, "root", nil},
		"no volume": {description{pvs: ab}, "", nil},
		"exported":  {description{pvs: ab, more: `status = ["EXPORTED"]`}, "", nil}, // the first of a key counts
		"shared":    {description{pvs: ab, more: `lock_type = "sanlock"`}, "", []string{"shared with other hosts"}},
		"other PC":  {description{pvs: ab, more: `system_id = "pc"`, lvs: plainGroup.lvs}, "root", nil},
		"missing flag": {description{pvs: []string{"a", `b:"MISSING"`}, lvs: lv("one", visible,
			linear(0, 1, "pv0", 0)) + lv("two", visible, linear(0, 1, "pv1", 0))}, "one*",
			[]string{"two left out: physical volume b00000-"}},
		"hyphens": {description{name: "a-b", pvs: ab, lvs: lv("c-d", visible, linear(0, 1, "pv0", 0))},
			"c-d", nil},
		"named as a PV": {with(lv("pv0", visible, linear(0, 1, "pv1", 0))), "pv0", nil},
		"PV beyond": {with(lv("x", visible, linear(0, 4, "pv0", 24))), "",
			[]string{"x left out: it goes beyond the last extent of physical volume a"}},
		"unknown PV": {with(lv("x", visible, linear(0, 4, "pv7", 0))), "",
			[]string{`x left out: it is made of "pv7", which does not exist`}},
		"itself": {with(lv("x", visible, linear(0, 1, "x", 0))), "",
			[]string{"x left out: it is made of itself"}},
		"circle": {with(lv("x", visible, linear(0, 1, "y", 0)) +
			lv("y", visible, linear(0, 1, "x", 0))), "", []string{"x, y left out: it is made of itself"}},
		"chain": {with(chain + lv("lv10", visible, linear(0, 1, "pv0", 0))),
			"lv10", []string{"lv0, lv1, lv2, lv3, lv4, lv5 and 4 more left out: more than 4 volumes"}},
		"moving": {with(lv("x", visible, linear(0, 2, "pvmove0", 1)) + lv("pvmove0", "",
			segmentText(0, 3, "mirror", `mirror_count = 2 mirrors = ["pv0", 4, "pv1", 5]`))), "x", nil},
		"moving beyond": {with(lv("x", visible, linear(0, 2, "pvmove0", 2)) + lv("pvmove0", "",
			segmentText(0, 3, "mirror", `mirrors = ["pv0", 4, "pv1", 5]`))), "",
			[]string{"x left out: it goes beyond the end of pvmove0"}},
		"in common": {with(lv("x", visible, linear(0, 4, "pv0", 0)) +
			lv("y", visible, linear(0, 4, "pv0", 3)) + lv("z", visible, linear(0, 4, "pv0", 8))), "z",
			[]string{"x left out: it has extents in common with y", "y left out: it has extents in common with x"}},
		"inside another": {with(lv("x", visible, linear(0, 20, "pv0", 0)) +
			lv("y", visible, linear(0, 1, "pv0", 1)) + lv("z", visible, linear(0, 1, "pv0", 10))), "",
			[]string{"x left out: it has extents in common with z", "y, z left out: it has extents in common with x"}},
		"stripes": {with(lv("x", visible, segmentText(0, 3, "striped",
			`stripe_count = 2 stripe_size = 128 stripes = ["pv0", 0, "pv1", 0]`))), "",
			[]string{"3 extents are made of 2 areas"}},
		"no stripe size": {with(lv("x", visible, segmentText(0, 4, "striped",
			`stripe_count = 2 stripes = ["pv0", 0, "pv1", 0]`))), "", []string{"cannot be striped"}},
		"odd stripe size": {with(lv("x", visible, segmentText(0, 4, "striped",
			`stripe_size = 3 stripes = ["pv0", 0, "pv1", 0]`))), "", []string{"cannot be striped"}},
		"no areas":    {with(lv("x", visible, segmentText(0, 4, "striped", ""))), "", []string{"0 areas"}},
		"no segments": {with(lv("x", visible)), "", []string{"x left out: it has no extents"}},
		"thin": {with(lv("pool", visible, segmentText(0, 4, "thin-pool", `pool = "p"`)) +
			lv("t1", visible, segmentText(0, 4, "thin", `thin_pool = "pool"`)) +
			lv("t2", visible, segmentText(0, 4, "thin", `thin_pool = "pool"`))), "",
			[]string{"pool left out: it is a pool", "t1, t2 left out: thin volumes cannot be read without writing"}},
		"cache": {with(lv("x", visible, segmentText(0, 4, "cache+METADATA_FORMAT", ""))), "",
			[]string{`x left out: volumes of kind "cache+METADATA_FORMAT" are not supported`}},
		"escape sequence in a kind": {with(lv("x", visible, segmentText(0, 4, "\x1b[2J", ""))), "",
			[]string{`volumes of kind "`}},
		"snapshot": {with(lv("o", visible, linear(0, 1, "pv0", 0)) + lv("s", "",
			linear(0, 1, "pv0", 1)) + lv("snapshot0", visible, segmentText(0, 1, "snapshot",
			`origin = "o" cow_store = "s"`))), "o", []string{"s left out: snapshots cannot be read"}},
		"merging": {with(lv("o", visible, linear(0, 1, "pv0", 0)) + lv("s", "",
			linear(0, 1, "pv0", 1)) + lv("snapshot0", visible, segmentText(0, 1, "snapshot",
			`origin = "o" merging_store = "s"`))), "",
			[]string{"s left out: snapshots", "o left out: a snapshot is being merged into it"}},
		"raid1":       {with(raid("raid1", "")), "r", nil},
		"raid1 moved": {with(raid("raid1", "data_offset = 8\n")), "", []string{"shape was changed"}},
		"raid5":       {with(raid("raid5", "stripe_size = 128\n")), "r", nil},
		"raid10 too small": {with(strings.Replace(raid("raid10", "stripe_size = 128\n"),
			"extent_count = 2", "extent_count = 3", 1)), "",
			[]string{"r left out: too few of its parts can be read: "}},
		"raid6 of two": {with(raid("raid6", "stripe_size = 128\n")), "", []string{"want 4 to 256"}},
		"raid10 of 9 copies": {with(raid("raid10", "stripe_size = 128 data_copies = 9\n")), "",
			[]string{"layout 0x109"}},
		"raid1 of stripes": {with(lv("r", visible, segmentText(0, 2, "raid1", `stripes = ["pv0", 0, "pv1", 0]`))), "",
			[]string{"r left out: an array without the driver's metadata"}},
		"raid of itself": {with(lv("r", visible, segmentText(0, 2, "raid1",
			`raids = ["r", "r", "r", "r"]`))), "", []string{"r left out: too few of its parts can be read: "}},
	} {
		var pvs []*PV
		for i, pv := range []string{"a", "b"} {
			d := write(pv, text(test.group))
			pvs = append(pvs, read(t, fmt.Sprintf("/dev/sd%d", i), d, d.size))
		}
		volumes, problems := Plan(pvs)
		if got := names(volumes); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		compareProblems(t, name, problems, test.problems)
		for _, p := range problems {
			if strings.ContainsRune(p, 0x1b) {
				t.Errorf("%s: %q is not printable", name, p)
			}
		}
	}
}

// TestThousandVolumes has a group with a thousand volumes, and a thousand ways in which volumes are wrong.
func TestThousandVolumes(t *testing.T) {
	good, bad := "", ""
	for i := range 1000 {
		good += lv(fmt.Sprint("lv", i), "VISIBLE", linear(0, 1, "pv0", i))
		bad += lv(fmt.Sprint("lv", i), "VISIBLE", linear(0, 1, fmt.Sprint("none", i), 0))
	}
	plan := func(lvs string) ([]Volume, []string) {
		d := write("a", strings.Replace(text(with(lvs)), "pe_count = 27", "pe_count = 1000", 1))
		pv := read(t, "/dev/sda", d, d.size)
		pv.sectors = 1 << 30
		return Plan([]*PV{pv})
	}
	if volumes, problems := plan(good); len(volumes) != 1000 || len(problems) > 0 {
		t.Errorf("%d volumes, %q", len(volumes), problems)
	}
	volumes, problems := plan(bad)
	if len(volumes) > 0 || len(problems) != 21 || !strings.Contains(problems[20], "980 more") {
		t.Errorf("%d volumes, %q", len(volumes), problems)
	}
}

// TestDescriptionsThatAreRefused are wrong as a whole: the physical volume counts as one without metadata.
func TestDescriptionsThatAreRefused(t *testing.T) {
	replace := func(old, new string) string {
		s := text(plainGroup)
		if !strings.Contains(s, old) {
			t.Fatalf("no %q in the description", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	for name, test := range map[string]struct{ text, want string }{
		"empty":             {" ", "describe no volume group"},
		"contents":          {replace("Text Format", "Text"), "describe no volume group"},
		"version":           {replace("version = 1", "version = 2"), "version"},
		"no group":          {"contents = \"Text Format Volume Group\"\nversion = 1\n", "no volume group"},
		"path as a name":    {replace("vg {", `"../x" {`), `volume group "../x": that is no name`},
		"dots as a name":    {replace("vg {", `.. {`), "no name"},
		"control character": {replace("vg {", "\"v\x1b[2J\" {"), `"v\x1b[2J": that is no name`},
		"option as a name":  {replace("vg {", "-vg {"), "no name"},
		"volume's path":     {replace("root {", `"../root" {`), `logical volume "../root": that is no name`},
		"long name":         {replace("vg {", strings.Repeat("v", 128)+" {"), "no name"},
		"UUID":              {replace(uuid("group"), "short"), "no UUID"},
		"UUID's characters": {replace(uuid("group"), strings.Replace(uuid("group"), "0", "/", 1)), "no UUID"},
		"extent size 0":     {replace("extent_size = 512", "extent_size = 0"), "extent_size: want 1"},
		"extent size":       {replace("extent_size = 512", "extent_size = 4294967296"), "extent_size: want 1"},
		"negative seqno":    {replace("seqno = 1", "seqno = -1"), "seqno: want a number"},
		"seqno is a text":   {replace("seqno = 1", `seqno = "1"`), "seqno: want a number"},
		"absurd pe_start":   {replace("pe_start = 2048", "pe_start = 9223372036854775807"), "pe_start"},
		"absurd pe_count":   {replace("pe_count = 27", "pe_count = 99999999999999999999"), "pe_count"},
		"same PV twice":     {text(description{pvs: []string{"a", "a"}}), "or that of another one"},
		"same name twice":   {text(with(lv("x", "") + lv("x", ""))), "there twice"},
		"absurd extents": {text(with(lv("x", "", linear(0, 1<<33, "pv0", 0)))),
			"extent_count"},
		"no extents": {text(with(lv("x", "", linear(0, 0, "pv0", 0)))), "no extents"},
		"gap": {text(with(lv("x", "", linear(0, 1, "pv0", 0), linear(2, 1, "pv0", 2)))),
			"starts at extent 2 and not at 1"},
		"far area": {text(with(lv("x", "", linear(0, 1, "pv0", 1<<40)))), "want pairs"},
		"odd pairs": {text(with(lv("x", "", segmentText(0, 1, "striped", `stripes = ["pv0"]`)))),
			"want pairs"},
		"odd raids":   {text(with(lv("x", "", segmentText(0, 1, "raid1", `raids = ["a"]`)))), "raids"},
		"open":        {"a { b { c = 1 }", "section without end"},
		"a thousand":  {strings.Repeat("a{", 1000), "more than 8 sections"},
		"too many":    {strings.Repeat("a=1 ", maxNodes+1), "more than 200000 settings"},
		"long list":   {"a=[" + strings.Repeat("1,", maxNodes+1) + "]", "more than 200000 settings"},
		"no value":    {"\n\na =", "line 3: a name was expected"},
		"no equals":   {"a b", "neither a section nor a setting"},
		"open text":   {`a = "b`, "text without end"},
		"open list":   {`a = ["b" "c"]`, "list without end"},
		"open quotes": {`a = 'b`, "text without end"},
	} {
		d := write("a", test.text)
		pv, damaged, err := Read(d, d.size)
		if err != nil || pv == nil || pv.group != nil {
			t.Errorf("%s: %v, %v", name, pv != nil && pv.group != nil, err)
		}
		if damaged == nil || !strings.Contains(damaged.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, damaged, test.want)
		}
	}
}

// TestGroups is about several copies of metadata, and several groups.
func TestGroups(t *testing.T) {
	pv := func(device, id, text string) *PV {
		d := write(id, text)
		return read(t, device, d, d.size)
	}
	old := plainGroup
	newer := description{seqno: 7, pvs: []string{"a", "b"}, lvs: lv("new", "VISIBLE", linear(0, 1, "pv1", 0))}
	reduced := description{seqno: 8, pvs: []string{"b"}, lvs: lv("kept", "VISIBLE", linear(0, 1, "pv0", 0))}
	mine := lv("mine", "VISIBLE", linear(0, 1, "pv0", 0))
	other := description{name: "other", id: "other", pvs: []string{"a"}, lvs: mine}
	twin := description{id: "twin", pvs: []string{"c"}, lvs: lv("twin", "VISIBLE", linear(0, 1, "pv0", 0))}
	for name, test := range map[string]struct {
		pvs      []*PV
		want     string
		problems []string
	}{
		"newest first":   {[]*PV{pv("1", "a", text(newer)), pv("2", "b", text(old))}, "new", nil},
		"newest last":    {[]*PV{pv("1", "a", text(old)), pv("2", "b", text(newer))}, "new", nil},
		"without":        {[]*PV{pv("1", "a", text(old)), pv("2", "b", "")}, "root", nil},
		"taken out":      {[]*PV{pv("1", "a", text(newer)), pv("2", "b", text(reduced))}, "kept", nil},
		"moved to other": {[]*PV{pv("1", "a", text(other)), pv("2", "b", text(newer))}, "mine new*", nil},
		"copy": {[]*PV{pv("/dev/1", "a", text(old)), pv("/dev/2", "b", text(old)), pv("/dev/3", "a", text(old))}, "",
			[]string{"root left out: physical volume " + uuid("a") + " is on /dev/1 and on /dev/3"}},
		"same name": {[]*PV{pv("1", "a", text(old)), pv("2", "b", text(old)), pv("3", "c", text(twin))}, "root",
			[]string{"there are two with that name; the one with UUID twin00-"}},
		"same name first": {[]*PV{pv("3", "c", text(twin)), pv("1", "a", text(old)), pv("2", "b", text(old))}, "twin",
			[]string{"there are two with that name; the one with UUID group0-"}},
		"none": {nil, "", nil},
	} {
		volumes, problems := Plan(test.pvs)
		if got := names(volumes); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		compareProblems(t, name, problems, test.problems)
	}
}

func TestText(t *testing.T) {
	root, err := parseText("# first\na { b = [ \"x\\\"\\\\y\", -12, 'q\"', ]# c\n" +
		"\tc=1.5 \"d e\" = \"\" f = word\n}\ng=[]\n\x00 rubbish")
	if err != nil {
		t.Fatal(err)
	}
	a := root.child("a")
	got := fmt.Sprint(a.child("b").values, a.child("c").values, a.child("d e").values, a.child("f").values,
		root.child("g").values)
	want := `[{x"\y 0 true} { -12 false} {q" 0 true}] [{1.5 0 true}] [{ 0 true}] [{word 0 true}] []`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !a.has("b", `x"\y`) || a.has("b", "-12") || a.has("z", "") || root.child("z").child("y") != nil {
		t.Error("has")
	}
}

func FuzzText(f *testing.F) {
	f.Add(text(plainGroup))
	f.Add("a { b = [ \"x\\\"\\\\y\", -12, ]# c\n\tc=1.5 \"d e\" = \"\"\n}\n")
	disks, _ := fixtures(f)
	f.Add(string(disks["wrapped.0"].pieces[39424]) + string(disks["wrapped.0"].pieces[4608]))
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parseGroup([]byte(text))
		if err != nil {
			return
		}
		var pvs []*PV
		for i, name := range g.order {
			pv := &PV{Device: fmt.Sprint(i), ID: g.pvs[name].id, Data: disk{size: 1 << 30}, sectors: 1 << 21}
			pv.group = g
			pvs = append(pvs, pv)
		}
		volumes, problems := Plan(pvs)
		checkVolumes(t, volumes, 1<<21)
		for _, p := range problems {
			if strings.ContainsAny(p, "\x1b\n") {
				t.Errorf("%q", p)
			}
		}
	})
}

// checkVolumes makes sure that volumes are of what there is, in an order in which they can be made.
func checkVolumes(t *testing.T, volumes []Volume, sectors uint64) {
	made := map[string]bool{}
	for _, v := range volumes {
		if made[v.Name] || len(v.Name) > maxName || strings.Contains(v.Name, "/") {
			t.Errorf("%q", v.Name)
		}
		made[v.Name] = true
		for _, s := range v.Segments {
			for _, a := range s.Areas {
				if !made[a.Device] && a.Start+s.Sectors/uint64(len(s.Areas)) > sectors {
					t.Errorf("%s: %+v is beyond the end", v.Name, a)
				}
				if strings.ContainsAny(a.Device, "-_") && !made[a.Device] {
					t.Errorf("%s is made of %s, which is not there", v.Name, a.Device)
				}
			}
		}
	}
}

// FuzzLabel puts a sector and the beginning of a metadata area on a device, with their checksums put right.
func FuzzLabel(f *testing.F) {
	good := write("a", text(plainGroup))
	f.Add(good.pieces[512], good.pieces[4096], []byte(text(plainGroup)))
	disks, _ := fixtures(f)
	f.Add(disks["pv.2"].pieces[0][512:1024], disks["pv.2"].pieces[4096], disks["pv.2"].pieces[306176])
	f.Fuzz(func(t *testing.T, label, header, content []byte) {
		label, header = append(label, make([]byte, 512)...)[:512], append(header, make([]byte, 512)...)[:512]
		binary.LittleEndian.PutUint32(label[16:], sum(label[20:]))
		binary.LittleEndian.PutUint32(header, sum(header[4:]))
		d := disk{8 << 20, map[int64][]byte{512: label, 4096: header}}
		if at := int64(binary.LittleEndian.Uint64(header[40:])); at > 512 && at < 4<<20 {
			d.pieces[4096+at] = content
		}
		pv, _, err := Read(d, d.size)
		if err != nil || pv == nil {
			return
		}
		if !validID(pv.ID) || pv.text > maxText {
			t.Errorf("%+v", pv)
		}
		volumes, _ := Plan([]*PV{pv})
		checkVolumes(t, volumes, 16384)
	})
}

// FuzzParts has foreign bytes in place of what the driver keeps of each part of an array.
func FuzzParts(f *testing.F) {
	disks, _ := fixtures(f)
	var pvs []*PV
	for i := range 4 {
		name := fmt.Sprint("pv.", i)
		pvs = append(pvs, read(f, name, disks[name], disks[name].size))
	}
	places := map[int64]disk{}
	for _, d := range disks {
		for at, piece := range d.pieces {
			if strings.HasPrefix(string(piece), partMagic) {
				places[at] = d
				f.Add(slices.Clone(piece))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for at, d := range places {
			d.pieces[at] = append([]byte(partMagic), b[min(len(b), len(partMagic)):]...)
		}
		volumes, _ := Plan(pvs)
		checkVolumes(t, volumes, 1<<21)
	})
}
