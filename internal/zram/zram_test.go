package zram

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFormat lets another program say what Swap has written.
func TestFormat(t *testing.T) {
	p := places{sys: t.TempDir(), device: filepath.Join(t.TempDir(), "zram0"), vm: t.TempDir()}
	const size = 96 << 20
	if err := os.WriteFile(p.device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(p.device, size); err != nil {
		t.Fatal(err)
	}
	if err := p.format(size); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(p.sys, "disksize"): "100663296", filepath.Join(p.vm, "swappiness"): "180",
	} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", file, got, err, want)
		}
	}
	out, err := exec.Command("/sbin/blkid", "-p", "-o", "export", p.device).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "VERSION=1\nTYPE=swap\n") {
		t.Errorf("blkid: %v\n%s", err, out)
	}
	if last := binary.NativeEndian.Uint32(header(size, 4096)[1028:]); last != size/4096-1 {
		t.Errorf("the last page is %d", last)
	}
}
