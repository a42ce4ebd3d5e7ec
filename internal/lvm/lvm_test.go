package lvm

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

	"github.com/zerodisc/zerodisc/internal/devmapper"
)

// disk is a device of zeros with some pieces.
type disk struct {
	size   int64
	pieces map[int64][]byte
}

func (d disk) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > d.size || int64(len(p)) > d.size-at {
		return 0, io.ErrUnexpectedEOF
	}
	clear(p)
	for start, piece := range d.pieces {
		from := max(at, start)
		if from < start+int64(len(piece)) && from < at+int64(len(p)) {
			copy(p[from-at:], piece[from-start:])
		}
	}
	return len(p), nil
}

// fixtures are the devices and texts in testdata.
func fixtures(t testing.TB) (disks map[string]disk, texts map[string]string) {
	t.Helper()
	file, err := os.Open("testdata/volumes.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	disks, texts = map[string]disk{}, map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return disks, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		name, numbers, piece := strings.Cut(header.Name, "@")
		if !piece {
			texts[name] = string(content)
			continue
		}
		var size, at int64
		if _, err := fmt.Sscanf(numbers, "%d@%d", &size, &at); err != nil {
			t.Fatal(err)
		}
		if disks[name].pieces == nil {
			disks[name] = disk{size, map[int64][]byte{}}
		}
		disks[name].pieces[at] = content
	}
}

func read(t testing.TB, name string, device io.ReaderAt, size int64) *PV {
	t.Helper()
	pv, damaged, err := Read(device, size)
	if err != nil || damaged != nil || pv == nil {
		t.Fatalf("%s: label %v, %v, %v", name, pv != nil, damaged, err)
	}
	pv.Device = name
	return pv
}

// realPVs reads the four physical volumes that LVM made, or some of them.
func realPVs(t testing.TB, numbers ...int) []*PV {
	t.Helper()
	disks, _ := fixtures(t)
	var pvs []*PV
	for _, n := range numbers {
		d := disks[fmt.Sprintf("pv.%d", n)]
		pvs = append(pvs, read(t, fmt.Sprintf("7:%d", n+2), d, d.size))
	}
	return pvs
}

// tables writes volumes as dmsetup table does. Arrays and volumes stand for themselves.
func tables(pvs []*PV, volumes []Volume) map[string]string {
	found := map[string]string{}
	for _, v := range volumes {
		if v.Array != nil {
			found[v.Name] = fmt.Sprintf("array %d %#x %d %v", v.Array.Level, v.Array.Layout, v.Array.Chunk,
				strings.Join(v.Array.Members, " "))
			continue
		}
		var lines []string
		for _, target := range devmapper.Targets(v.Segments, func(device string) string {
			for _, pv := range pvs {
				if pv.ID == device {
					return pv.Device
				}
			}
			return device
		}) {
			lines = append(lines, fmt.Sprint(target.Start, target.Length, " ", target.Type, " ", target.Params))
		}
		found[v.Name] = strings.Join(lines, "\n")
	}
	return found
}

// TestTablesAreLVMs compares what is planned with what LVM had the kernel do.
func TestTablesAreLVMs(t *testing.T) {
	_, texts := fixtures(t)
	want := map[string]string{}
	for line := range strings.Lines(texts["table.txt"]) {
		name, table, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if want[name] != "" {
			table = want[name] + "\n" + table
		}
		want[name] = table
	}
	uuids := map[string]string{}
	for line := range strings.Lines(texts["uuids.txt"]) {
		name, uuid, _ := strings.Cut(strings.TrimSpace(line), " ")
		uuids[name] = uuid
	}
	pvs := realPVs(t, 0, 1, 2, 3)
	volumes, problems := Plan(pvs)
	compareProblems(t, "real", problems, []string{"vg-0.test: snap left out: snapshots cannot be read"})
	got := tables(pvs, volumes)
	const vg = "vg--0.test-"
	want[vg+"orig"] = want[vg+"orig-real"]
	// What another mechanism than LVM's is used for.
	want[vg+"mir"] = "0 4096 linear " + vg + "mir_mimage_0 0"
	want[vg+"r0"] = "0 6144 striped 2 128 " + vg + "r0_rimage_0 0 " + vg + "r0_rimage_1 0"
	raids := map[string]string{
		"r1": "array 1 0x0 0 %[1]sr1_rimage_0 %[1]sr1_rimage_1",
		"r4": "array 5 0x4 65536 %[1]sr4_rimage_0 %[1]sr4_rimage_1 %[1]sr4_rimage_2",
		"r5": "array 5 0x2 65536 %[1]sr5_rimage_0 %[1]sr5_rimage_1 %[1]sr5_rimage_2",
		"r10": "array 10 0x102 65536 %[1]sr10_rimage_0 %[1]sr10_rimage_1 %[1]sr10_rimage_2 " +
			"%[1]sr10_rimage_3",
	}
	for _, v := range volumes {
		name := strings.TrimPrefix(v.Name, vg)
		switch {
		case v.Array != nil:
			name = strings.TrimPrefix(v.Title, "vg-0.test/")
			if want := fmt.Sprintf(raids[name], vg); got[v.Name] != want {
				t.Errorf("%s: %s\nwant %s", name, got[v.Name], want)
			}
			if size := v.Array.Sectors(3072); name != "r1" && size != 6144 {
				t.Errorf("%s: %d sectors", name, size)
			}
		case raids[name] != "":
			if !regexp.MustCompile(`^0 6144 linear md_lvm:[0-9a-f]{16} 0$`).MatchString(got[v.Name]) {
				t.Errorf("%s: %s", name, got[v.Name])
			}
		case got[v.Name] != want[v.Name]:
			t.Errorf("%s: %s\nwant %s", name, got[v.Name], want[v.Name])
		}
		if uuid := strings.TrimSuffix(v.UUID, "-part"); v.Array == nil && uuid != uuids[v.Name] {
			t.Errorf("%s: %s, want %s", name, uuid, uuids[v.Name])
		}
		if hidden := regexp.MustCompile(`_r?m?image_|^md_`).MatchString(v.Name); v.Hidden != hidden || v.Degraded {
			t.Errorf("%s: hidden %v, degraded %v", v.Name, v.Hidden, v.Degraded)
		}
		delete(want, v.Name)
	}
	for name := range want { // what is left of LVM's
		if !regexp.MustCompile(`_rmeta_|-real$|-cow$|mir_mimage_1$|test-snap$`).MatchString(name) {
			t.Errorf("%s is not planned", name)
		}
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

// names lists the volumes that people see, with an asterisk for those that are incomplete.
func names(volumes []Volume) string {
	var list []string
	for _, v := range volumes {
		if !v.Hidden {
			_, name, _ := strings.Cut(v.Title, "/")
			if v.Degraded {
				name += "*"
			}
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func TestMissingPVs(t *testing.T) {
	for _, test := range []struct {
		have     []int
		want     string
		problems []string
	}{
		{[]int{0, 1, 2, 3}, "lin filler stripe-d bare r1 r5 r10 r4 r0 mir filler2 orig", []string{"snapshots"}},
		{[]int{0, 1, 3}, "lin* filler* stripe-d* bare* r1* r5* r10* r4* r0* mir* filler2* orig*", []string{
			"r5 is read without a part of it: physical volume 0zqR5G-HIQ2-CrBi-5QHD-lwEm-JWIQ-LBcHu2 (it was " +
				"/dev/loop4) is missing", "r10 is read without", "r4 is read without", "snapshots"}},
		{[]int{0, 2, 3}, "filler* bare* r1* r5* r10* r4* mir* filler2* orig*", []string{
			"r1 is read without a part", "r5 is read", "r10 is read", "r4 is read", "snapshots",
			"lin, stripe-d, r0 left out: physical volume h0quOf-722S-7UUI-QsYz-QYol-5MaP-FKNUWW (it was /dev/loop3) " +
				"is missing"}},
		{[]int{1, 2, 3}, "bare* r1* r5* r10* r4*", []string{
			"r1 is", "r5 is", "r10 is", "r4 is", "snap",
			"lin, filler, stripe-d, r0, mir, filler2 and 1 more left out"}},
		{[]int{3}, "", nil}, // it has no metadata
		{[]int{2, 3}, "bare*", []string{
			"snapshots", "lin, filler, stripe-d, filler2, orig left out", "",
			"r5 left out: too few of its parts can be read: ", "", ""}},
	} {
		volumes, problems := Plan(realPVs(t, test.have...))
		if got := names(volumes); !strings.HasPrefix(got, test.want) || test.have[0] < 2 && got != test.want {
			t.Errorf("%v: %s, want %s", test.have, got, test.want)
		}
		if test.have[0] < 2 {
			compareProblems(t, fmt.Sprint(test.have), problems, test.problems)
		}
		for _, v := range volumes {
			if v.Array != nil && v.Title == "vg-0.test/r1" && !strings.Contains(fmt.Sprint(test.have), "0 1") {
				t.Errorf("%v: an array of a single copy", test.have)
			}
		}
	}
}

// TestStaleLegs has the driver's metadata of some parts say that they or others are not up to date.
func TestStaleLegs(t *testing.T) {
	at := map[string]struct {
		pv int
		at int64
	}{
		"r1.0": {0, 7864320}, "r1.1": {1, 3670016}, "r5.0": {0, 10223616}, "r5.2": {2, 1048576},
	}
	put := func(disks map[string]disk, name string, offset int64, value uint64) {
		place := at[name]
		piece := disks[fmt.Sprintf("pv.%d", place.pv)].pieces[place.at]
		if string(piece[:4]) != partMagic {
			t.Fatalf("%s is elsewhere", name)
		}
		binary.LittleEndian.PutUint64(piece[offset:], value)
	}
	for name, test := range map[string]struct {
		change   func(map[string]disk)
		want     string // what becomes of the volume
		problems []string
	}{
		"r1: nothing": {func(map[string]disk) {}, "r1_rimage_0 r1_rimage_1", nil},
		"r1: the first has seen less": {func(d map[string]disk) { put(d, "r1.0", 16, 28) },
			"linear r1_rimage_1", []string{"r1 is read without a part of it: r1_rmeta_0 is out of date"}},
		"r1: the second has failed": {func(d map[string]disk) { put(d, "r1.0", 24, 2) },
			"linear r1_rimage_0", []string{"r1_rmeta_1 is out of date"}},
		"r1: the second is being filled": {func(d map[string]disk) { put(d, "r1.1", 32, 100) },
			"linear r1_rimage_0", []string{"r1_rmeta_1 is only partly filled"}},
		"r1: the second is not its own": {func(d map[string]disk) { put(d, "r1.1", 8, 2) },
			"linear r1_rimage_0", []string{"r1_rmeta_1 is out of date"}},
		"r1: the first was never used": {func(d map[string]disk) { put(d, "r1.0", 0, 0) },
			"linear r1_rimage_1", []string{"r1_rmeta_0 is out of date"}},
		"r1: neither was ever used": {func(d map[string]disk) { put(d, "r1.0", 0, 0); put(d, "r1.1", 0, 0) },
			"linear r1_rimage_0", nil},
		"r1: being written to": {func(d map[string]disk) { put(d, "r1.0", 4096+256, 1); put(d, "r1.1", 4096+256, 1) },
			"linear r1_rimage_0", nil},
		"r1: no bitmap": {func(d map[string]disk) { put(d, "r1.0", 4096, 0) }, "linear r1_rimage_0", nil},
		"r1: bits beyond the last are none": {func(d map[string]disk) { put(d, "r1.0", 4096+256, ^uint64(3)) },
			"r1_rimage_0 r1_rimage_1", nil},
		"r1: a bitmap of exabytes": {func(d map[string]disk) { put(d, "r1.0", 4096+40, 1<<62) },
			"linear r1_rimage_0", nil},
		"r1: never synchronised": {func(d map[string]disk) { put(d, "r1.0", 40, 0) }, "linear r1_rimage_0", nil},
		"r5: one has failed": {func(d map[string]disk) { put(d, "r5.0", 24, 4) }, "r5_rimage_0 r5_rimage_1 -",
			[]string{"r5_rmeta_2 is out of date"}},
		"r5: one has failed while being written to": {func(d map[string]disk) {
			put(d, "r5.0", 24, 4)
			put(d, "r5.0", 4096+256, 1)
		}, "", []string{"r5 left out: it was being written to when it stopped, and lacks a part: r5_rmeta_2"}},
		"r5: two have failed": {func(d map[string]disk) { put(d, "r5.0", 24, 6) }, "",
			[]string{"r5 left out: too few of its parts can be read: "}},
		"r5: another shape": {func(d map[string]disk) { put(d, "r5.0", 16, 100); put(d, "r5.0", 56, 64) }, "",
			[]string{"r5 left out: its shape was being changed"}},
		"r5: being reshaped": {func(d map[string]disk) { put(d, "r5.0", 16, 100); put(d, "r5.0", 60, 1) }, "",
			[]string{"r5 left out: its shape was being changed"}},
	} {
		disks, _ := fixtures(t)
		test.change(disks)
		var pvs []*PV
		for i := range 4 {
			d := disks[fmt.Sprintf("pv.%d", i)]
			pvs = append(pvs, read(t, fmt.Sprintf("7:%d", i+2), d, d.size))
		}
		volumes, problems := Plan(pvs)
		lv, _, _ := strings.Cut(name, ":")
		got, linear := "", ""
		for _, v := range volumes {
			if v.Title != "vg-0.test/"+lv {
				continue
			}
			if v.Array == nil {
				linear = "linear " + v.Segments[0].Areas[0].Device
				continue
			}
			for _, m := range v.Array.Members {
				if m == "" {
					m = "-"
				}
				got += " " + m
			}
		}
		if got == "" {
			got = linear
		}
		got = strings.TrimSpace(strings.ReplaceAll(got, "vg--0.test-", ""))
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		compareProblems(t, name, slices.DeleteFunc(problems, func(s string) bool {
			return strings.Contains(s, "snap left out") || strings.Contains(s, "r10") || strings.Contains(s, "r4 ")
		}), test.problems)
	}
}

// TestPvckAgrees has LVM's own tool read the metadata areas, also those that this test writes.
func TestPvckAgrees(t *testing.T) {
	if _, err := exec.LookPath("pvck"); err != nil {
		t.Skip("pvck is not installed (Debian package lvm2)")
	}
	disks, _ := fixtures(t)
	delete(disks, "pv.3")
	disks["written.0"] = write("a", text(plainGroup))
	for name, d := range disks {
		pv := read(t, name, d, d.size)
		image := make([]byte, d.size)
		if _, err := d.ReadAt(image, 0); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, image, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("pvck", "--dump", "metadata", file).Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		want := fmt.Sprintf("# vgname %s seqno %d\n", pv.group.name, pv.group.seqno)
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: pvck does not say %q:\n%.400s", name, want, out)
		}
		headers, err := exec.Command("pvck", "--dump", "headers", file).CombinedOutput()
		if err != nil || bytes.Contains(headers, []byte("CHECK:")) && bytes.Contains(headers, []byte("bad")) {
			t.Errorf("%s: %v\n%s", name, err, headers)
		}
		if !bytes.Contains(headers, []byte("pv_header.pv_uuid "+pv.ID)) {
			t.Errorf("%s: pvck does not know %s:\n%s", name, pv.ID, headers)
		}
		os.Remove(file)
	}
}

func TestWrappedText(t *testing.T) {
	disks, _ := fixtures(t)
	var pvs []*PV
	for _, name := range []string{"wrapped.0", "wrapped.1"} {
		pvs = append(pvs, read(t, name, disks[name], disks[name].size))
	}
	volumes, problems := Plan(pvs)
	if len(problems) > 0 || names(volumes) != "root home" || pvs[0].group.seqno != 21 {
		t.Errorf("%s, %q", names(volumes), problems)
	}
	got := tables(pvs, volumes)
	if want := "0 4096 striped 2 8 wrapped.0 2128 wrapped.1 80"; got["wrapped-home"] != want {
		t.Errorf("%s, want %s", got["wrapped-home"], want)
	}
}

func TestReadRefuses(t *testing.T) {
	good := func() disk {
		disks, _ := fixtures(t)
		return disks["pv.0"]
	}
	const area = 4096
	poke := func(d disk, at int64, pieceAt int64, b byte) disk {
		d.pieces[pieceAt][at-pieceAt] ^= b
		return d
	}
	for name, test := range map[string]struct {
		disk    disk
		fatal   bool
		message string
	}{
		"label's checksum":  {poke(good(), 512+100, 0, 1), true, "label: its checksum"},
		"label's sector":    {poke(good(), 512+8, 0, 2), true, "it says that it is in sector 3"},
		"header's checksum": {poke(good(), area+400, area, 1), false, "the header's checksum"},
		"header's magic":    {poke(good(), area+5, area, 1), false, "no header at byte 4096"},
		"text's checksum":   {poke(good(), 306176+5000, 306176, 1), false, "metadata: their checksum"},
		"cut off":           {disk{1 << 19, good().pieces}, false, "an area of 1044480 bytes at 4096"},
	} {
		pv, damaged, err := Read(test.disk, test.disk.size)
		if test.fatal {
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || pv == nil || damaged == nil || !strings.Contains(damaged.Error(), test.message) {
			t.Errorf("%s: %v, %v", name, damaged, err)
		}
	}
	for _, size := range []int64{0, 2047, 1 << 20} {
		if pv, _, err := Read(disk{size: size}, size); pv != nil || err != nil {
			t.Errorf("%d bytes of zeros: %v, %v", size, pv, err)
		}
	}
	if _, _, err := Read(broken{}, 1<<20); !errors.Is(err, syscall.EIO) {
		t.Errorf("a device that cannot be read: %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }
