package initramfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// listCpio reads the cpio archive at the start of data up to its trailer, as "NAME=contents".
func listCpio(t *testing.T, data []byte) []string {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, r := range records {
		content, err := io.ReadAll(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, r.Name+"="+string(content))
	}
	return entries
}

func TestWriteInitrd(t *testing.T) {
	dir := t.TempDir()
	name, compressed := filepath.Join(dir, "initrd.img"), filepath.Join(dir, "base.cpio.zst")
	const base = "compressed first stage"
	if err := os.WriteFile(compressed, []byte(base), 0o644); err != nil {
		t.Fatal(err)
	}
	// Of lengths that are a multiple of nothing.
	dom0, shared := NewArchive(), NewArchive()
	dom0.Text("/dom0", string(bytes.Repeat([]byte("x"), 3001)), 0o644)
	shared.Text("/user/land", "image", 0o644)
	offset, err := writeInitrd(name, "", dom0, shared, compressed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if offset <= 0 || offset%2048 != 0 || offset >= int64(len(data)) {
		t.Fatalf("the guests' initrd begins at %d of %d bytes, want a sector's start", offset, len(data))
	}
	guest := data[offset:]
	if got, want := listCpio(t, guest), []string{"user=", "user/land=image"}; !slices.Equal(got, want) {
		t.Errorf("the guests' initrd begins with %q, want %q", got, want)
	}
	// The kernel looks for the next archive at a multiple of four bytes.
	if !bytes.HasSuffix(guest, []byte(base)) || (len(guest)-len(base))%4 != 0 {
		t.Errorf("the guests' initrd of %d bytes does not end with the first stage on a multiple of 4", len(guest))
	}
	if got := listCpio(t, data); len(got) != 1 || len(got[0]) != len("dom0=")+3001 {
		t.Errorf("dom0's own part is %.20q", got)
	}
}
