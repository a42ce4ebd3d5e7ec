package iso9660

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// summed is the sample with the files that the writer makes.
func summed() *Image {
	img := sample()
	img.Sums, img.Structure = "SHA256SUMS", "boot/structure.sha256"
	return img
}

// openBytes opens an image that has to be good.
func openBytes(t *testing.T, b []byte) *Disc {
	t.Helper()
	disc, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return disc
}

// discContents reads every file of disc.
func discContents(t *testing.T, disc *Disc) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, f := range disc.Files {
		b, err := io.ReadAll(disc.Reader(&f))
		if err != nil || int64(len(b)) != f.Size {
			t.Fatalf("%s: %d bytes of %d, %v", f.Path, len(b), f.Size, err)
		}
		m[f.Path] = string(b)
	}
	return m
}

func TestOpen(t *testing.T) {
	img := sample()
	b, _ := build(t, img)
	disc := openBytes(t, slices.Concat(b, make([]byte, 12345))) // as on a stick
	compare(t, discContents(t, disc), contents(t, img))
	if disc.VolumeID != "ZERODISC" || !disc.ModTime.Equal(modTime) || disc.Size() != int64(len(b)) {
		t.Errorf("label %q, date %v, %d bytes", disc.VolumeID, disc.ModTime, disc.Size())
	}
	if want := []BootEntry{{BIOS, lbaFirstImage, 4}, {EFI, 118, 584}}; !slices.Equal(disc.Boot, want) {
		t.Errorf("boot entries %v, want %v", disc.Boot, want)
	}
	if !disc.Lookup("bin/tool").Executable || disc.Lookup("bin/same").Executable || disc.Lookup("bin") != nil {
		t.Error("Lookup finds other files, or with another mode")
	}
	whole, tail := disc.Lookup("whole").Extents[0], disc.Lookup("tail").Extents[0]
	if tail.LBA != whole.LBA+2 || tail.end() != whole.end() {
		t.Errorf("the tail is %v, the whole %v", tail, whole)
	}
	if b, err := disc.ReadFile("bin/same", 6); string(b) != "shared" {
		t.Errorf("ReadFile: %q, %v", b, err)
	}
	for _, name := range []string{"bin/same", "bin/none"} {
		if _, err := disc.ReadFile(name, 5); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("ReadFile of 5 bytes: %v", err)
		}
	}
}

// TestOpenXorriso reads what another writer made: names that go on in another sector, a link.
func TestOpenXorriso(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("long", 50)
	for name, text := range map[string]string{"a.txt": "a", "Dir.d/" + long: "b", "Dir.d/" + long[1:]: "c"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.txt", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(t.TempDir(), "x.iso")
	hostTool(t, "xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "other", "-o", iso, dir)
	b, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	disc := openBytes(t, b)
	compare(t, discContents(t, disc), map[string]string{
		"a.txt": "a", "link": "", "Dir.d/" + long: "b", "Dir.d/" + long[1:]: "c",
	})
	if disc.VolumeID != "other" || !disc.Lookup("link").Irregular || disc.Lookup("a.txt").Irregular {
		t.Errorf("label %q, or the link is a file", disc.VolumeID)
	}
}

// TestDiscSums reads what was written and finds the sums that the image itself has.
func TestDiscSums(t *testing.T) {
	img := summed()
	b, written := build(t, img)
	disc := openBytes(t, b)
	var last, total int64
	files, structure, err := disc.Sums(t.Context(), func(read, all int64) { last, total = read, all })
	if err != nil || structure.Err != nil || last != total || total != int64(len(b)) {
		t.Fatalf("read %d of %d bytes, %v, %v", last, total, err, structure.Err)
	}
	var read, others []Sum
	for _, f := range files {
		read = append(read, f.Sum)
		if f.Path != img.Sums {
			others = append(others, f.Sum)
		}
	}
	if !slices.Equal(read, written) {
		t.Errorf("read the sums\n%v, written were\n%v", read, written)
	}
	want, err := FormatSums(others)
	if got := discContents(t, disc); err != nil || got[img.Sums] != string(want) ||
		got[img.Structure] != string(StructureText(structure.SHA256)) {
		t.Errorf("the disc's own files are\n%s%s%v", got[img.Sums], got[img.Structure], err)
	}
	end := disc.Lookup(img.Sums).Extents[0].end()
	for _, f := range disc.Files {
		if f.Path != img.Sums && len(f.Extents) > 0 && f.Extents[0].end() > end {
			t.Errorf("%s lies behind the list of sums", f.Path)
		}
	}
}

// TestSha256sum lets the tool of that name judge the list.
func TestSha256sum(t *testing.T) {
	img := summed()
	img.Files = append(img.Files, text("odd/line\nfeed"), text(`odd/back\slash`))
	iso := save(t, img)
	dir := path.Join(t.TempDir(), "tree")
	hostTool(t, "xorriso", "-abort_on", "WARNING", "-osirrox", "on", "-indev", iso, "-extract", "/", dir)
	found := readTree(t, dir)
	out := hostTool(t, "sh", "-c", `cd "$0" && sha256sum --strict -c SHA256SUMS`, dir)
	if n := strings.Count(out, ": OK\n"); n != len(found)-1 {
		t.Errorf("sha256sum checks %d files of %d:\n%s", n, len(found)-1, out)
	}
}

// TestEveryBitShows flips bits all over the disc: either it cannot be read any more, or a sum differs.
func TestEveryBitShows(t *testing.T) {
	img := summed()
	img.Files = slices.DeleteFunc(img.Files, func(f File) bool { return strings.HasPrefix(f.Path, "many/") })
	img.Hybrid = func(*Layout) (head, tail []byte, err error) { return []byte("head"), []byte("tail"), nil }
	b, sums := build(t, img)
	structure := structureOf(t, b)
	const step = 1009 // no multiple of what anything is made of
	for at := 0; at < len(b); at += step {
		b[at] ^= 1 << (at % 8)
		if !shows(t, b, sums, structure) {
			t.Errorf("nobody sees a flipped bit at byte %d", at)
		}
		b[at] ^= 1 << (at % 8)
	}
}

func structureOf(t *testing.T, b []byte) Sum {
	t.Helper()
	_, structure, err := openBytes(t, b).Sums(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return structure.Sum
}

func shows(t *testing.T, b []byte, sums []Sum, structure Sum) bool {
	t.Helper()
	disc, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return true
	}
	files, found, err := disc.Sums(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return found.Sum != structure || !slices.EqualFunc(files, sums, func(a FileSum, b Sum) bool { return a.Sum == b })
}

// badSector is a disc of which one sector cannot be read.
type badSector struct {
	*bytes.Reader
	lba uint32
}

func (r badSector) ReadAt(b []byte, at int64) (int, error) {
	if bad := int64(r.lba) * SectorSize; at <= bad && bad < at+int64(len(b)) {
		return 0, os.ErrDeadlineExceeded
	}
	return r.Reader.ReadAt(b, at)
}

func TestBadSector(t *testing.T) {
	b, sums := build(t, summed())
	lba := openBytes(t, b).Lookup("tail").Extents[0].LBA
	disc, err := Open(badSector{bytes.NewReader(b), lba}, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	files, structure, err := disc.Sums(t.Context(), nil)
	if err != nil || structure.Err != nil {
		t.Fatal(err, structure.Err)
	}
	for i, f := range files {
		spoilt := f.Path == "tail" || f.Path == "whole"
		if (f.Err != nil) != spoilt || !spoilt && f.Sum != sums[i] {
			t.Errorf("%s: %v", f.Path, f.Err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	small := &Image{VolumeID: "X", ModTime: modTime, Files: []File{text("d/a"), text("d/b")},
		Boot: []BootImage{{Platform: BIOS, Content: Bytes(make([]byte, 4096)), LoadSectors: 4}}}
	b, _ := build(t, small)
	find := func(text string) int {
		at := bytes.Index(b, []byte(text))
		if at < 0 {
			t.Fatalf("%q is not in the image", text)
		}
		return at
	}
	record := find("A.;1") - 33 // of the file d/a
	const pvd = lbaPrimary * SectorSize
	for _, test := range []struct {
		name, want string
		change     func(b []byte) []byte
	}{
		{"nothing", "sector 16: is behind the end", func(b []byte) []byte { return nil }},
		{"no image", "this is no ISO 9660 image", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"cut", "it is cut off", func(b []byte) []byte { return b[:len(b)-1] }},
		{"no end", "have no end", func(b []byte) []byte {
			return slices.Concat(b[:pvd], bytes.Repeat(b[pvd:pvd+SectorSize], 100), b)
		}},
		{"block size", "its blocks have 512 bytes", func(b []byte) []byte {
			little.PutUint16(b[pvd+128:], 512)
			return b
		}},
		{"root outside", `directory "/", sector 4294967295`, func(b []byte) []byte {
			little.PutUint32(b[pvd+158:], 1<<32-1)
			return b
		}},
		{"extent outside", `file "d/a", sector 4294967295: 400 bytes`, func(b []byte) []byte {
			little.PutUint32(b[record+2:], 1<<32-1)
			return b
		}},
		{"size outside", `file "d/a", sector`, func(b []byte) []byte {
			little.PutUint32(b[record+10:], 1<<32-1)
			return b
		}},
		{"loop", "the directories form a loop", func(b []byte) []byte {
			b[record+25] |= flagDirectory
			copy(b[record+2:record+18], b[pvd+158:pvd+174])
			return b
		}},
		{"record cut", "a directory record is damaged", func(b []byte) []byte { b[record] = 20; return b }},
		{"half a file", `file "d/b": its last part has no record`, func(b []byte) []byte {
			b[find("B.;1")-33+25] |= flagMultiExtent
			return b
		}},
		{"name", `directory "/d": "/" is no name`, func(b []byte) []byte {
			at := find("NM\x06\x01\x00a")
			return slices.Concat(b[:at], []byte("NM\x06\x01\x00/"), b[at+6:])
		}},
		{"continuation", "over its end", func(b []byte) []byte {
			at := record + 33 + 5
			copy(b[at:], continuation(20, SectorSize+1))
			return b
		}},
		{"catalog outside", "boot catalog: sector 99999", func(b []byte) []byte {
			little.PutUint32(b[lbaBootRecord*SectorSize+71:], 99999)
			return b
		}},
		{"catalog", "its validation entry is damaged", func(b []byte) []byte {
			b[lbaCatalog*SectorSize+4]++
			return b
		}},
		{"boot image outside", "the boot image at sector 16777215", func(b []byte) []byte {
			little.PutUint32(b[lbaCatalog*SectorSize+40:], 1<<24-1)
			return b
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := test.change(slices.Clone(b))
			_, err := Open(bytes.NewReader(changed), int64(len(changed)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// FuzzOpen reads damaged discs to their ends.
func FuzzOpen(f *testing.F) {
	var b bytes.Buffer
	img := &Image{VolumeID: "X", ModTime: modTime, Sums: "SHA256SUMS", Structure: "STRUCTURE",
		Files: []File{text("d/a"), text("b"), {Path: "e", Content: Bytes(nil)}}}
	if _, err := img.Write(f.Context(), &b, nil); err != nil {
		f.Fatal(err)
	}
	// The system area and the padding are of no interest, and slow.
	body := b.Bytes()[SystemAreaSize : b.Len()-MaxTail]
	little.PutUint32(body[80:], uint32(SystemAreaSize+len(body))/SectorSize)
	f.Add(body, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, at uint16, flip byte) {
		if len(body) == 0 {
			return
		}
		image := slices.Concat(make([]byte, SystemAreaSize), body)
		image[SystemAreaSize+int(at)%len(body)] ^= flip
		allocated, disc, err := allocatedBy(image)
		if limit := maxAllocated*uint64(len(image)) + 1<<20; allocated > limit {
			t.Errorf("%d bytes were allocated for an image of %d, want at most %d", allocated, len(image), limit)
		}
		if err != nil {
			return
		}
		for _, f := range disc.Files {
			if n, err := io.Copy(io.Discard, disc.Reader(&f)); err != nil || n != f.Size {
				t.Errorf("%s: %d bytes of %d, %v", f.Path, n, f.Size, err)
			}
		}
		if _, _, err := disc.Sums(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}
