package remaster

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// escape clears a terminal's screen.
const escape = "\x1b[2J\u202e"

// escapingDisc is a disc that says it wherever a disc says anything.
func escapingDisc(t *testing.T) *iso9660.Image {
	t.Helper()
	img := testDisc(t)
	text := func(name, text string) iso9660.File {
		return iso9660.File{Path: name, Content: iso9660.Bytes([]byte(text))}
	}
	said := strings.NewReplacer("0.1", "0.1"+escape, "0000", escape, "4.20.4", escape, "6.12.1-1",
		escape+"\n").Replace(builtText)
	img.Files[0] = text(builtName, said)
	img.Files = append(img.Files,
		text(boot.MediumIDDir+"/"+buildID+escape, ""), text(escape, escape),
		text("guests/"+escape+"/a.cfg", "name = '"+escape+"'\ntype = '"+escape+"'\nkernel = 'dom0'\n"),
		text("guests/broken/"+escape+".cfg", "name = [ '"+escape+"' ]\n"),
		text("guests/empty"+escape+"/README", ""))
	return img
}

// checkPlain looks for what can steer a terminal.
func checkPlain(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%q reaches the terminal in %q", r, text)
		}
	}
	if !strings.Contains(text, `\x1b[2J`) {
		t.Errorf("what the disc says is not in %q", text)
	}
}

func TestInspectShowsNoEscapes(t *testing.T) {
	name := save(t, escapingDisc(t))
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	copy(image[16*iso9660.SectorSize+40:], "\x1b[2J")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Inspect(&out, name); err != nil {
		t.Fatal(err)
	}
	checkPlain(t, out.String())
	if n := strings.Count(out.String(), `\x1b[2J`); n != 12 {
		t.Errorf("what the disc says is there %d times:\n%s", n, out.String())
	}
}

func TestErrorsShowNoEscapes(t *testing.T) {
	img := escapingDisc(t)
	name := save(t, img)
	flip(t, name, int64(mustOpen(t, name).Lookup(escape).Extents[0].LBA)*iso9660.SectorSize)
	var out bytes.Buffer
	err := Verify(t.Context(), &out, name, nil)
	checkPlain(t, fmt.Sprint(out.String(), err))
	err = Add(t.Context(), AddOptions{In: name, Out: filepath.Join(t.TempDir(), "out.iso"),
		Guests: []string{webGuest(t)}})
	checkPlain(t, fmt.Sprint(err))

	img.Files[0].Content = iso9660.Bytes([]byte("zerodisc 0.1\nbuild id " + escape + "\n"))
	err = Inspect(io.Discard, save(t, img))
	checkPlain(t, fmt.Sprint(err))
}

// TestInspectBoundsMemory has a disc whose files share extents, so that each of 3,000 guests has 64 kB to say.
func TestInspectBoundsMemory(t *testing.T) {
	img := testDisc(t)
	config := func(text string) *iso9660.Content {
		return iso9660.Bytes([]byte(text + strings.Repeat("x", maxConfig-len(text)-2) + "'\n"))
	}
	for i, c := range []*iso9660.Content{config("name = '"), config("type = '"), config("x = 'y' '")} {
		for j := range 1000 {
			img.Files = append(img.Files, iso9660.File{Path: fmt.Sprintf("guests/%d-%03d/a.cfg", i, j), Content: c})
		}
	}
	name := save(t, img)
	disc := mustOpen(t, name)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Inspect(io.Discard, name); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	const times = 40
	if allocated, limit := int64(after.TotalAlloc-before.TotalAlloc), times*disc.Size(); allocated > limit {
		t.Errorf("%d MB were allocated for a disc of %d MB, want at most %d MB", allocated>>20, disc.Size()>>20,
			limit>>20)
	}
}

// TestVerifyLongList has more sums than a text of the disc may be long.
func TestVerifyLongList(t *testing.T) {
	img := testDisc(t)
	for i := range 20_000 {
		img.Files = append(img.Files, iso9660.File{Path: fmt.Sprintf("many/%05d", i), Content: img.Files[0].Content})
	}
	name := save(t, img)
	if size := mustOpen(t, name).Lookup(boot.MediumSums).Size; size <= maxText {
		t.Fatalf("the list has only %d bytes", size)
	}
	mustVerify(t, name)
}
