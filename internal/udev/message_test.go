package udev

import (
	"slices"
	"testing"
)

func TestMessage(t *testing.T) {
	want := Properties{"ACTION=add", "DEVPATH=/devices/x", "SUBSYSTEM=block", "ID_FS_LABEL_ENC=a\\x20b"}
	m := Message("block", "disk", want)
	if got, err := ParseMessage(m); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	kernel := []byte("add@/devices/x\x00ACTION=add\x00SUBSYSTEM=block\x00DEVPATH=/devices/x\x00" + "PADDING=1234\x00")
	for name, b := range map[string][]byte{
		"short": m[:headerSize-1], "the kernel's": kernel, "cut off": m[:len(m)-1], "empty": nil,
		"without properties": Message("block", "", nil),
	} {
		if p, err := ParseMessage(b); err == nil {
			t.Errorf("%s: %q", name, p)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(Message("block", "disk", []string{"ACTION=add", "DEVPATH=/devices/x", "SUBSYSTEM=block"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseMessage(b)
		if err == nil && (p.Get("ACTION") == "" || len(p) > len(b)) {
			t.Errorf("%q", p)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add("S:disk/by-label/a\nL:-100\nI:5\nE:A=1\nG:tag\nQ:tag\nV:1\n")
	f.Fuzz(func(t *testing.T, text string) {
		e := ParseEntry(text)
		if again := ParseEntry(e.text()); again.text() != e.text() {
			t.Errorf("%q becomes %q", e.text(), again.text())
		}
	})
}
