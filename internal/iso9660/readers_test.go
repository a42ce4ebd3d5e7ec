package iso9660

import (
	"bytes"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfs "github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/kdomanski/iso9660"
)

// contents reads what the files of img hold.
func contents(t *testing.T, img *Image) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, file := range img.Files {
		source, err := file.Content.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(source)
		if err != nil {
			t.Fatal(err)
		}
		m[file.Path] = string(b)
	}
	return m
}

// compare says which files a reader found differently.
func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if text, ok := got[name]; !ok || text != want[name] {
			t.Errorf("%s: found %v with %d bytes, want %d", name, ok, len(text), len(want[name]))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: was not written", name)
		}
	}
}

// TestKdomanskiReads compares what a reader that others wrote finds with what was written, and with what
// Open finds. It leaves out the directory of several sectors: of such a one their reader
// (0.4.0) keeps the Rock Ridge entries of the last sector only.
func TestKdomanskiReads(t *testing.T) {
	img := sample()
	img.Files = slices.DeleteFunc(img.Files, func(f File) bool { return strings.HasPrefix(f.Path, "many/") })
	b, _ := build(t, img)
	image, err := iso9660.OpenImage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if label, err := image.Label(); err != nil || label != "ZERODISC" {
		t.Errorf("label %q, error %v", label, err)
	}
	root, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	walkKdomanski(t, root, "", got)
	compare(t, got, contents(t, img))
	compare(t, discContents(t, openBytes(t, b)), got)
}

func walkKdomanski(t *testing.T, dir *iso9660.File, prefix string, found map[string]string) {
	t.Helper()
	children, err := dir.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range children {
		name := path.Join(prefix, child.Name())
		if child.IsDir() {
			walkKdomanski(t, child, name, found)
			continue
		}
		b, err := io.ReadAll(child.Reader())
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o444)
		if name == "bin/tool" {
			want = 0o555
		}
		if child.Mode() != want || !child.ModTime().Equal(modTime) {
			t.Errorf("%s: mode %v, date %v", name, child.Mode(), child.ModTime())
		}
		found[name] = string(b)
	}
}

func TestDiskfsReads(t *testing.T) {
	img := sample()
	f, err := os.Open(save(t, img))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	image, err := diskfs.Read(file.New(f, true), info.Size(), 0, SectorSize)
	if err != nil {
		t.Fatal(err)
	}
	if label := strings.TrimRight(image.Label(), " \x00"); label != "ZERODISC" {
		t.Errorf("label %q", label)
	}
	for name, text := range contents(t, img) {
		got, err := fs.ReadFile(image, name)
		if err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, want %d, error %v", name, len(got), len(text), err)
		}
	}
}

// hostTool runs an independent judge of the image, which must be content with it.
func hostTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (Debian packages xorriso, genisoimage)", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestXorrisoReads(t *testing.T) {
	img := sample()
	iso := save(t, img)
	out := hostTool(t, "xorriso", "-abort_on", "WARNING", "-indev", iso, "-report_el_torito", "plain", "-pvd_info")
	for _, want := range []string{
		"El Torito catalog  : 19  1",
		"El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4          20",
		"El Torito boot img :   2  UEFI  y   none  0x0000  0x00    584         118",
		"Volume Id    : ZERODISC",
		"Creation Time: 2026020304050600",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("xorriso does not say %q:\n%s", want, out)
		}
	}
	dir := t.TempDir()
	hostTool(t, "xorriso", "-abort_on", "WARNING", "-osirrox", "on", "-indev", iso, "-extract", "/", dir+"/tree")
	compare(t, readTree(t, dir+"/tree"), contents(t, img))
}

// readTree reads the files that a tool extracted, and makes their directories removable.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path.Join(dir, name), 0o755)
		}
		b, err := os.ReadFile(path.Join(dir, name))
		got[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestIsoinfoReads(t *testing.T) {
	img := sample()
	iso := save(t, img)
	plain := hostTool(t, "isoinfo", "-f", "-i", iso)
	for _, want := range []string{"/NAMES/CASE.;1", "/NAMES/CASE_1.;1", "/NAMES/SUB_D", "/_DISK/INFO.;1"} {
		if !strings.Contains(plain, want+"\n") {
			t.Errorf("isoinfo does not list %s:\n%s", want, plain)
		}
	}
	listed := strings.Split(hostTool(t, "isoinfo", "-R", "-f", "-i", iso), "\n")
	for name := range contents(t, img) {
		if !slices.Contains(listed, "/"+name) {
			t.Errorf("isoinfo does not list %s", name)
		}
	}
	table := hostTool(t, "isoinfo", "-p", "-i", iso)
	if n := strings.Count(table, "\n"); n != 19 {
		t.Errorf("isoinfo reads a path table of %d lines, want a title and 18 directories:\n%s", n, table)
	}
}

// headSink keeps the start of what is written and drops the rest.
type headSink struct {
	head []byte
	size int64
}

func (s *headSink) Write(b []byte) (int, error) {
	if room := cap(s.head) - len(s.head); room > 0 {
		s.head = append(s.head, b[:min(room, len(b))]...)
	}
	s.size += int64(len(b))
	return len(b), nil
}

// bigZeroSum is what sha256sum says of 4 GiB and 12345 bytes of zeros.
const bigZeroSum = "59ead87e2e32370612861365e7dcf1543fb29afaa0b29432c37eab5373fed514"

// sliceZeroSum is what it says of 4 GiB of zeros.
const sliceZeroSum = "8479e43911dc45e89f934fe48d01297e16f51d17aa561d4d1c216b1ae0fcddca"

// TestMultiExtent writes a file of 4 GiB and some bytes, of zeros and into nothing, and a slice of it
// that needs several records too. xorriso and our reader read the directory off the head of the image.
func TestMultiExtent(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes 4 GiB")
	}
	const size = 4<<30 + 12345
	big := zeroContent(size)
	img := &Image{VolumeID: "BIG", ModTime: modTime, Files: []File{
		{Path: "big", Content: big}, text("after"), {Path: "slice", Content: big.Slice(SectorSize, 4<<30)},
	}}
	sink := &headSink{head: make([]byte, 0, 1<<20)}
	sums, err := img.Write(t.Context(), sink, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sums[1].SHA256[:]); got != bigZeroSum {
		t.Errorf("SHA-256 %s, want %s", got, bigZeroSum)
	}
	if got := hex.EncodeToString(sums[2].SHA256[:]); got != sliceZeroSum {
		t.Errorf("SHA-256 of the slice %s, want %s", got, sliceZeroSum)
	}
	disc, err := Open(bytes.NewReader(sink.head), sink.size)
	if err != nil {
		t.Fatal(err)
	}
	first, second := disc.Lookup("big"), disc.Lookup("slice")
	if len(first.Extents) != 1 || first.Size != size || len(second.Extents) != 1 || second.Size != 4<<30 ||
		second.Extents[0].LBA != first.Extents[0].LBA+1 {
		t.Errorf("our reader sees %+v and %+v", first, second)
	}
	iso := path.Join(t.TempDir(), "big.iso")
	if err := os.WriteFile(iso, sink.head, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(iso, sink.size); err != nil { // sparse: the rest is zeros anyway
		t.Fatal(err)
	}
	out := hostTool(t, "xorriso", "-abort_on", "WARNING", "-indev", iso, "-lsl", "/")
	if !strings.Contains(out, " 4294979641 ") {
		t.Errorf("xorriso does not see the size %d:\n%s", size, out)
	}
}
