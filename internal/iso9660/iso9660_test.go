package iso9660

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var modTime = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

// text is a file that holds its own path, several times.
func text(path string) File {
	return File{Path: path, Content: Bytes([]byte(strings.Repeat(path+"\n", 100)))}
}

// sampleFiles have all that is special about names: lengths, depths, dots, collisions.
func sampleFiles() []File {
	shared := Bytes([]byte("shared"))
	whole := text("initrd/" + strings.Repeat("w", 50)).Content
	files := []File{
		text("README"), text("boot/grub/grub.cfg"), text("boot/xen.gz"), text(".disk/info"),
		text("a/b/c/d/e/f/g/h/i/j/deep.txt"), text("names/MixedCase.Name.tar.gz"), text("names/umlaut-äöü"),
		text("names/case"), text("names/CASE"), text("names/a+b"), text("names/a-b"),
		text("names/sub"), text("names/sub.d/x"),
		text("names/" + strings.Repeat("n", MaxName)), text("names/" + strings.Repeat("n", MaxName-1) + "m"),
		{Path: "empty", Content: Bytes(nil)},
		{Path: "bin/tool", Content: shared, Executable: true}, {Path: "bin/same", Content: shared},
		{Path: "whole", Content: whole}, {Path: "tail", Content: whole.Tail(2 * SectorSize)},
	}
	for i := range 300 {
		files = append(files, text(fmt.Sprintf("many/a-rather-long-file-name-number-%03d", i)))
	}
	return files
}

// sample has boot entries for both firmwares too. They have names since xorriso warns of boot
// images that have none.
func sample() *Image {
	bios := Bytes(bytes.Repeat([]byte{0xB1}, 200_000))
	efi := Bytes(bytes.Repeat([]byte{0xEF}, 300_000-300_000%SectorSize))
	files := append(sampleFiles(), File{Path: "boot/bios.img", Content: bios}, File{Path: "boot/efi.img", Content: efi})
	return &Image{
		VolumeID: "ZERODISC", ModTime: modTime, Files: files,
		Boot: []BootImage{{Platform: BIOS, Content: bios, LoadSectors: 4}, {Platform: EFI, Content: efi}},
	}
}

// build writes img into memory.
func build(t *testing.T, img *Image) ([]byte, []Sum) {
	t.Helper()
	var b bytes.Buffer
	sums, err := img.Write(t.Context(), &b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), sums
}

// save writes img to a file.
func save(t *testing.T, img *Image) string {
	t.Helper()
	b, _ := build(t, img)
	path := filepath.Join(t.TempDir(), "test.iso")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSameBytesTwice(t *testing.T) {
	first, _ := build(t, sample())
	img := sample()
	slices.Reverse(img.Files)
	img.ModTime = modTime.In(time.FixedZone("east", 3600))
	second, _ := build(t, img)
	if !bytes.Equal(first, second) {
		t.Error("the order of the files or the time zone changes the image")
	}
}

func TestSums(t *testing.T) {
	img := sample()
	_, sums := build(t, img)
	byPath := func(a, b Sum) int { return strings.Compare(a.Path, b.Path) }
	if len(sums) != len(img.Files) || !slices.IsSortedFunc(sums, byPath) {
		t.Fatalf("%d sums for %d files, sorted by path wanted", len(sums), len(img.Files))
	}
	want := sha256.Sum256([]byte("shared"))
	for _, sum := range sums {
		if strings.HasPrefix(sum.Path, "bin/") && (sum.SHA256 != want || sum.Size != 6) {
			t.Errorf("%s: wrong sum or size %d", sum.Path, sum.Size)
		}
	}
}

func TestSharedContentHasOneExtent(t *testing.T) {
	shared := Bytes(make([]byte, 10*SectorSize))
	one := &Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "a", Content: shared}}}
	two := &Image{VolumeID: "X", ModTime: modTime,
		Files: []File{{Path: "a", Content: shared}, {Path: "b", Content: shared}}}
	first, _ := build(t, one)
	second, _ := build(t, two)
	if len(first) != len(second) {
		t.Errorf("a second name of the same content costs %d bytes", len(second)-len(first))
	}
}

func TestTailLiesInItsWhole(t *testing.T) {
	whole := zeroContent(10 * SectorSize)
	tail := whole.Tail(3 * SectorSize)
	img := &Image{VolumeID: "X", ModTime: modTime,
		Files: []File{{Path: "tail", Content: tail}, {Path: "whole", Content: whole}}}
	l, err := img.Layout()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.lbas[tail], l.lbas[whole]+3; got != want || tail.Size != 7*SectorSize {
		t.Errorf("tail of %d bytes at %d, want %d at %d", tail.Size, got, 7*SectorSize, want)
	}
}

// TestSlices has files within a file, and within one another; some share bytes.
func TestSlices(t *testing.T) {
	data := make([]byte, 10*SectorSize+100)
	for i := range data {
		data[i] = byte(i / 100)
	}
	whole := Bytes(data)
	middle := whole.Slice(2*SectorSize, 5*SectorSize+7)
	img := &Image{VolumeID: "X", ModTime: modTime, Sums: "sums", Files: []File{
		{Path: "a", Content: middle.Slice(SectorSize, 1000)}, {Path: "b", Content: middle}, {Path: "c", Content: whole},
		{Path: "d", Content: whole.Tail(10 * SectorSize)}, {Path: "e", Content: whole.Slice(SectorSize, 0)},
	}}
	b, sums := build(t, img)
	want := map[string]string{
		"a": string(data[3*SectorSize:][:1000]), "b": string(data[2*SectorSize:][:5*SectorSize+7]), "c": string(data),
		"d": string(data[10*SectorSize:]), "e": "",
	}
	disc := openBytes(t, b)
	got := discContents(t, disc)
	delete(got, "sums")
	compare(t, got, want)
	compare(t, contents(t, img), want) // what Open gives
	for _, sum := range sums {
		if text, ok := want[sum.Path]; ok && sum.SHA256 != sha256.Sum256([]byte(text)) {
			t.Errorf("%s: wrong sum", sum.Path)
		}
	}
	if start := disc.Lookup("c").Extents[0].LBA; disc.Lookup("a").Extents[0].LBA != start+3 {
		t.Error("a slice of a slice lies elsewhere")
	}
}

func TestBootImagesComeFirst(t *testing.T) {
	small, big := sample(), sample()
	small.Files = small.Files[:1]
	for _, img := range []*Image{small, big} {
		l, err := img.Layout()
		if err != nil {
			t.Fatal(err)
		}
		if lba, _ := l.LBA(img.Boot[0].Content); lba != lbaFirstImage {
			t.Errorf("BIOS image at LBA %d with %d files, want %d always", lba, len(img.Files), lbaFirstImage)
		}
		if lba, _ := l.LBA(img.Boot[1].Content); lba != 118 {
			t.Errorf("EFI image at LBA %d with %d files, want 118 always", lba, len(img.Files))
		}
	}
}

func TestPatchAndHybrid(t *testing.T) {
	img := sample()
	img.Boot[0].Content.Patch = func(data []byte, lba uint32) error {
		little.PutUint32(data, lba)
		return nil
	}
	var planned int64
	img.Hybrid = func(l *Layout) (head, tail []byte, err error) {
		planned = l.Size()
		return []byte("head"), []byte("tail"), nil
	}
	b, sums := build(t, img)
	if int64(len(b)) != planned || !bytes.HasPrefix(b, []byte("head")) || !bytes.HasSuffix(b, []byte("tail")) {
		t.Errorf("hybrid parts are not at the ends of the %d bytes, %d were planned", len(b), planned)
	}
	at := lbaFirstImage * SectorSize
	if got := little.Uint32(b[at:]); got != lbaFirstImage {
		t.Errorf("patched LBA %d, want %d", got, lbaFirstImage)
	}
	i := slices.IndexFunc(sums, func(s Sum) bool { return s.Path == "boot/bios.img" })
	if sums[i].SHA256 != sha256.Sum256(b[at:at+200_000]) {
		t.Error("the sum of a patched content is not that of what was written")
	}
}

func TestProgress(t *testing.T) {
	var last, total int64
	img := sample()
	_, err := img.Write(t.Context(), io.Discard, func(written, all int64) {
		if written < last || all == 0 {
			t.Errorf("progress goes from %d to %d of %d", last, written, all)
		}
		last, total = written, all
	})
	if err != nil || last != total {
		t.Errorf("progress ends at %d of %d, error %v", last, total, err)
	}
}

// sized is a content whose source has other than the announced bytes.
func sized(announced int64, has int) *Content {
	content := Bytes(make([]byte, has))
	content.Size = announced
	return content
}

func TestSourceErrors(t *testing.T) {
	noPatch := func([]byte, uint32) error { return errors.New("must not be patched") }
	patched := sized(5000, 4999)
	patched.Patch = noPatch
	for _, test := range []struct {
		name    string
		content *Content
		want    error
	}{
		{"shorter", sized(5000, 4999), ErrSize},
		{"longer", sized(5000, 5001), ErrSize},
		{"longer than nothing", sized(0, 1), ErrSize},
		{"patched and shorter", patched, ErrSize},
		{"gone", &Content{Size: 1, Open: func() (io.ReadCloser, error) { return nil, os.ErrNotExist }}, os.ErrNotExist},
	} {
		t.Run(test.name, func(t *testing.T) {
			img := &Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "dir/culprit", Content: test.content}}}
			_, err := img.Write(t.Context(), io.Discard, nil)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "dir/culprit") {
				t.Errorf("error %v, want %v and the file's name", err, test.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	content := Bytes([]byte("x"))
	files := func(paths ...string) *Image {
		img := &Image{VolumeID: "X", ModTime: modTime}
		for _, path := range paths {
			img.Files = append(img.Files, File{Path: path, Content: content})
		}
		return img
	}
	boot := func(size int64) *Image {
		return &Image{VolumeID: "X", ModTime: modTime, Boot: []BootImage{{Platform: EFI, Content: sized(size, 0)}}}
	}
	huge := &Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "huge", Content: sized(9<<40, 0)}}}
	crowded := files()
	for i := range 65535 {
		crowded.Files = append(crowded.Files, File{Path: fmt.Sprintf("d%d/f", i), Content: content})
	}
	for _, test := range []struct {
		name, want string
		img        *Image
	}{
		{"absolute path", `"/a"`, files("/a")},
		{"outside", `"../a"`, files("../a")},
		{"root", `"."`, files(".")},
		{"NUL", `"a\x00b"`, files("a\x00b")},
		{"long name", "129 bytes", files("dir/" + strings.Repeat("n", MaxName+1))},
		{"twice", `"a/b": given twice`, files("a/b", "a/b")},
		{"file then directory", `"a/b": "a" is a file too`, files("a", "a/b")},
		{"directory then file", "also as a directory", files("a/b", "a")},
		{"no content", "no content", &Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "a"}}}},
		{"negative size", "-1 bytes",
			&Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "a", Content: sized(-1, 0)}}}},
		{"too big", "huge: 9895604649984 bytes do not fit", huge},
		{"too many directories", "at most 65535", crowded},
		{"no label", "volume label", &Image{ModTime: modTime}},
		{"long label", "have 33", &Image{VolumeID: strings.Repeat("L", 33), ModTime: modTime}},
		{"label with a space", "not a letter", &Image{VolumeID: "A B", ModTime: modTime}},
		{"date", "1970", &Image{VolumeID: "X"}},
		{"slice between sectors", "starts at byte 5 of another file",
			&Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "a", Content: content.Slice(5, 0)}}}},
		{"slice over the end", "is 2 bytes from byte 0 on of another file, which has 1",
			&Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "a", Content: content.Slice(0, 2)}}}},
		{"slice of nothing", "part of a file that is not in the image",
			&Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "a", Content: content.Slice(0, 1)}}}},
		{"list of sums given twice", `"a": given twice`,
			&Image{VolumeID: "X", ModTime: modTime, Sums: "a", Files: []File{{Path: "a", Content: content}}}},
		{"boot image without a sum", "is no file of the image",
			&Image{VolumeID: "X", ModTime: modTime, Sums: "s", Boot: []BootImage{{Platform: BIOS, Content: content}}}},
		{"big boot image", "firmware loads at most", boot(32 << 20)},
		{"empty boot image", "empty", boot(0)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.img.Write(t.Context(), io.Discard, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestHybridErrors(t *testing.T) {
	img := sample()
	img.Hybrid = func(*Layout) (head, tail []byte, err error) { return nil, nil, io.ErrNoProgress }
	if _, err := img.Write(t.Context(), io.Discard, nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v", err)
	}
	img.Hybrid = func(*Layout) (head, tail []byte, err error) { return make([]byte, SystemAreaSize+1), nil, nil }
	if _, err := img.Write(t.Context(), io.Discard, nil); err == nil {
		t.Error("a system area over its room is accepted")
	}
}

func TestCancelStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	img := &Image{VolumeID: "X", ModTime: modTime, Files: []File{{Path: "zero", Content: zeroContent(1 << 40)}}}
	_, err := img.Write(ctx, io.Discard, func(written, _ int64) {
		if written > 10*chunk {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriteError(t *testing.T) {
	if _, err := sample().Write(t.Context(), fullDisk{}, nil); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v", err)
	}
}

// zeroReader is as many zeros as anyone wants.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func zeroContent(size int64) *Content {
	return &Content{Size: size, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeroReader{}, size)), nil
	}}
}

func TestIdentifiersDiffer(t *testing.T) {
	names := newUniquifier()
	var got []string
	for _, name := range []string{
		"CASE", "case", "a.b.c", "a_b.c", ".x", "dir.d", "no ext.",
		strings.Repeat("n", 40), strings.Repeat("n", 41), "x." + strings.Repeat("e", 20),
	} {
		got = append(got, names.identify(name, name == "dir.d").String())
	}
	want := []string{
		"CASE", "CASE_1", "A_B.C", "A_B_1.C", "_X", "DIR_D", "NO_EXT",
		strings.Repeat("N", 30), strings.Repeat("N", 28) + "_1", "X.EEEEEEEE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("identifiers\n%q, want\n%q", got, want)
	}
}

// FuzzNames feeds names as a user's guest directory may have them: an image is refused, or
// every name comes back from its directory record.
func FuzzNames(f *testing.F) {
	f.Add("a", "A")
	f.Add("a.b", "a.b/c")
	f.Add(strings.Repeat("x", 128), "\xff")
	f.Fuzz(func(t *testing.T, one, two string) {
		img := &Image{VolumeID: "X", ModTime: modTime, Files: []File{text(one), text(two)}}
		var b bytes.Buffer
		if _, err := img.Write(t.Context(), &b, nil); err != nil {
			return
		}
		for _, file := range img.Files {
			name := filepath.Base(file.Path)
			if !bytes.Contains(b.Bytes(), alternateName(name)) {
				t.Errorf("the name of %q is not in the image", file.Path)
			}
		}
	})
}
