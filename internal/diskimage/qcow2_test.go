package diskimage

import (
	"encoding/binary"
	"strings"
	"testing"
)

// put is a number to write into an image.
type put struct {
	at    int
	bytes int // 1, 4 or 8
	value uint64
}

func (p put) into(b []byte) {
	switch p.bytes {
	case 1:
		b[p.at] = byte(p.value)
	case 4:
		binary.BigEndian.PutUint32(b[p.at:], uint32(p.value))
	case 8:
		binary.BigEndian.PutUint64(b[p.at:], p.value)
	}
}

func TestQCOW2Refuses(t *testing.T) {
	for name, test := range map[string]struct {
		puts []put
		want string
	}{
		"not qcow2":             {[]put{{0, 1, 0}}, "qemu-img info"},
		"version 1":             {[]put{{4, 4, 1}}, "qemu-img convert"},
		"version 4":             {[]put{{4, 4, 4}}, "version 4"},
		"encrypted":             {[]put{{32, 4, 2}}, "decrypt it with qemu-img convert"},
		"corrupt":               {[]put{{72, 8, 2}}, "qemu-img check -r all"},
		"data file":             {[]put{{72, 8, 4}}, "qemu-img convert"},
		"unknown features":      {[]put{{72, 8, 1<<40 | 1<<63}}, "bits 40, 63"},
		"compression 2":         {[]put{{72, 8, 8}, {100, 4, 112}, {104, 1, 2}}, "method 2"},
		"compression 0":         {[]put{{72, 8, 8}, {100, 4, 112}}, "contradicts"},
		"compression unflagged": {[]put{{100, 4, 112}, {104, 1, 1}}, "contradicts"},
		"tiny clusters":         {[]put{{20, 4, 8}}, "power of 8"},
		"huge clusters":         {[]put{{20, 4, 1<<32 - 1}}, "power of 4294967295"},
		"tiny subclusters":      {[]put{{72, 8, 16}, {20, 4, 13}}, "power of 13"},
		"size of 8 EiB":         {[]put{{24, 8, 1<<63 - 1}}, "disk of 9223372036854775807"},
		"size of 16 EiB":        {[]put{{24, 8, 1<<64 - 1}}, "disk of 18446744073709551615"},
		"short L1":              {[]put{{24, 8, 2<<20 + 1}}, "L1 table of 1 entries"},
		"L1 beyond":             {[]put{{24, 8, 1 << 32}, {36, 4, 1 << 20}}, "beyond the end"},
		"L1 of 32 GiB":          {[]put{{24, 8, 1 << 60}, {36, 4, 1<<32 - 1}}, "L1 table"},
		"L1 unaligned":          {[]put{{40, 8, 4104}}, "offset 4104"},
		"L1 far":                {[]put{{40, 8, 1<<64 - 4096}}, "offset 18446744073709547520"},
		"L1 at 2^62":            {[]put{{40, 8, 1 << 62}}, "beyond the end"},
		"short header":          {[]put{{100, 4, 96}}, "header of 96"},
		"long header":           {[]put{{100, 4, 8192}}, "header of 8192"},
		"name beyond":           {[]put{{8, 8, 4000}, {16, 4, 200}}, "200 bytes at offset 4000"},
		"name far":              {[]put{{8, 8, 1<<64 - 8}, {16, 4, 16}}, "16 bytes at offset"},
		"name empty":            {[]put{{8, 8, 200}}, "0 bytes"},
		"long extension":        {[]put{{8, 8, 200}, {16, 4, 5}, {104, 4, 1}, {108, 4, 1 << 31}}, "extension 0x1"},
	} {
		image := emptyQCOW2()
		for _, p := range test.puts {
			p.into(image)
		}
		dir := t.TempDir()
		write(t, dir, "disk", image)
		if _, err := tryOpen(t, dir, "disk", "qcow2"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
	for _, size := range []int{0, 3, 50, 80} {
		dir := t.TempDir()
		write(t, dir, "disk", emptyQCOW2()[:size])
		if _, err := tryOpen(t, dir, "disk", "qcow2"); err == nil {
			t.Errorf("a file of %d bytes was opened", size)
		}
	}
}

// TestQCOW2Dirty: a dirty image has wrong refcounts, which do not matter to a reader.
func TestQCOW2Dirty(t *testing.T) {
	image := emptyQCOW2()
	put{72, 8, featureDirty}.into(image)
	dir := t.TempDir()
	write(t, dir, "disk", image)
	check(t, open(t, dir, "disk", "qcow2"), make([]byte, 1<<20))
}

// TestQCOW2Entries reads the first two clusters of images whose tables hold all sorts of things. The image has
// clusters of 4 KiB: the header, the L1 table, an L2 table, and one with data.
func TestQCOW2Entries(t *testing.T) {
	const l1, l2, data, copied = 4096, 2 * 4096, 3 * 4096, 1 << 63
	for name, test := range map[string]struct {
		puts []put
		kind Kind
		want string // an error
	}{
		"absent":                 {nil, Zero, ""},
		"data":                   {[]put{{l2, 8, data | copied}}, Data, ""},
		"without bit 63":         {[]put{{l2, 8, data}}, Data, ""},
		"zero":                   {[]put{{l2, 8, 1}}, Zero, ""},
		"zero, allocated":        {[]put{{l2, 8, data | copied | 1}}, Zero, ""},
		"zero in version 2":      {[]put{{l2, 8, 1}, {4, 4, 2}}, 0, "zero cluster"},
		"unaligned":              {[]put{{l2, 8, data + 512}}, 0, "a cluster at offset 12800"},
		"data beyond":            {[]put{{l2, 8, 1 << 40}}, 0, "data at offset 1099511627776 is beyond the end"},
		"data far":               {[]put{{l2, 8, offsetMask &^ 4095}}, 0, "beyond the end"},
		"data in the header":     {[]put{{l2, 8, l1}}, Data, ""},
		"table unaligned":        {[]put{{l1, 8, l2 + 512}}, 0, "an L2 table at offset 8704"},
		"table beyond":           {[]put{{l1, 8, 1 << 50}}, 0, "an L2 table at offset 1125899906842624 is beyond"},
		"table far":              {[]put{{l1, 8, offsetMask &^ 4095}}, 0, "beyond the end"},
		"table in itself":        {[]put{{l1, 8, l1}}, Data, ""},
		"compressed, beyond":     {[]put{{l2, 8, flagCompressed | 1<<40}}, Packed, "beyond the end"},
		"compressed, not":        {[]put{{l2, 8, flagCompressed | data}}, Packed, "cluster at offset 12288 is damaged"},
		"compressed, cut":        {[]put{{l2, 8, flagCompressed | 16380}}, Packed, "at offset 16380 is damaged"},
		"compressed, of 8 KiB":   {[]put{{l2, 8, 1<<63 - 1}}, Packed, "beyond the end"},
		"compressed with bit 63": {[]put{{l2, 8, flagCompressed | copied | data}}, Packed, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			image := emptyQCOW2()
			put{l2 + 8, 8, data}.into(image)
			for _, p := range test.puts {
				p.into(image)
			}
			dir := t.TempDir()
			write(t, dir, "disk", image)
			i := open(t, dir, "disk", "qcow2")
			run, err := i.Lookup(0, 100)
			if err == nil && run.Kind == Packed {
				_, err = i.ReadAt(make([]byte, 100), 0)
			}
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if run.Kind != test.kind {
				t.Errorf("a run of kind %d, want %d", run.Kind, test.kind)
			}
			tableIsGood := len(test.puts) == 0 || test.puts[0].at != l1
			if run, err := i.Lookup(4096, 100); tableIsGood && (err != nil || run.Kind == Packed) {
				t.Errorf("the next cluster: %+v, %v", run, err)
			}
		})
	}
}

// TestQCOW2SmallTables: with clusters of 512 bytes, several L2 tables lie in one page. What is behind a table does not
// belong to it.
func TestQCOW2SmallTables(t *testing.T) {
	image := make([]byte, 6*512)
	for _, p := range []put{
		{0, 4, 0x514649fb}, {4, 4, 2}, {20, 4, 9}, {24, 8, 64 << 10}, {36, 4, 2}, {40, 8, 512},
		{512, 8, 1024}, {520, 8, 2048}, {2048, 8, 2560}, // tables at 1024 and 2048; what lies between is zero
	} {
		p.into(image)
	}
	copy(image[2560:], "data")
	want := make([]byte, 64<<10)
	copy(want[32<<10:], "data")
	dir := t.TempDir()
	write(t, dir, "disk", image)
	check(t, open(t, dir, "disk", "qcow2"), want)
}

// TestQCOW2Subclusters reads extended L2 entries.
func TestQCOW2Subclusters(t *testing.T) {
	const cluster = 16 << 10
	image := make([]byte, 4*cluster)
	for _, p := range []put{
		{0, 4, 0x514649fb}, {4, 4, 3}, {20, 4, 14}, {24, 8, 10 * cluster}, {36, 4, 1}, {40, 8, cluster},
		{72, 8, featureExtendedL2}, {100, 4, qcow2HeaderV3}, {cluster, 8, 2 * cluster},
		{2 * cluster, 8, 3 * cluster}, {2*cluster + 8, 8, 0x0000_ff00_00ff_0003}, // allocated 0, 1, 16-23; zero 40-47
		{2*cluster + 16, 8, 3 * cluster}, {2*cluster + 24, 8, 0x1_0000_0001}, // the first one is both
		{2*cluster + 32, 8, 0}, {2*cluster + 40, 8, 1}, // nowhere
	} {
		p.into(image)
	}
	dir := t.TempDir()
	write(t, dir, "disk", image)
	i := open(t, dir, "disk", "qcow2")
	for _, test := range []struct {
		at     int64
		kind   Kind
		length int64
		offset int64
		want   string
	}{
		{0, Data, 1024, 3 * cluster, ""},
		{700, Data, 324, 3*cluster + 700, ""},
		{1024, Zero, 3 << 10, 0, ""},                    // absent 2-7
		{4 << 10, Zero, 4 << 10, 0, ""},                 // zero 8-15
		{8 << 10, Data, 4 << 10, 3*cluster + 8<<10, ""}, // 16-23
		{12 << 10, Zero, 4 << 10, 0, ""},                // absent 24-31
		{cluster, 0, 0, 0, "data and zero"},
		{cluster + 512, Zero, cluster - 512, 0, ""},
		{2 * cluster, 0, 0, 0, "data and nowhere"},
	} {
		run, err := i.Lookup(test.at, 1<<40)
		if err != nil {
			if test.want == "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("at %d: %v, want %q", test.at, err, test.want)
			}
		} else if run.Kind != test.kind || run.Length != test.length || run.Offset != test.offset || test.want != "" {
			t.Errorf("at %d: %+v, want %+v", test.at, run, test)
		}
	}
}
