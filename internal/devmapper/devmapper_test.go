package devmapper

import (
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
)

// TestWithTable holds a table to the bytes that dmsetup sends.
func TestWithTable(t *testing.T) {
	b := newBuffer("web-xvda", "UUID-1", flagReadOnly, headerBytes).withTable([]Target{
		{0, 8, "linear", "7:0 16"},
		{8, 2048, "zero", ""},
	})
	if got := b.u32(atSize); int(got) != len(b) || len(b) != headerBytes+48+48 {
		t.Errorf("%d bytes, the header says %d", len(b), got)
	}
	want := "0000000000000000" + "0800000000000000" + "00000000" + "30000000" +
		hex.EncodeToString([]byte("linear\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")) +
		hex.EncodeToString([]byte("7:0 16\x00\x00")) +
		"0800000000000000" + "0008000000000000" + "00000000" + "30000000" +
		hex.EncodeToString([]byte("zero\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")) + strings.Repeat("00", 8)
	if got := hex.EncodeToString(b[headerBytes:]); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	if b.u32(0) != 4 || b.u32(atStart) != 312 || b.u32(atTargets) != 2 || b.u32(atFlags) != 1 ||
		string(b[48:57]) != "web-xvda\x00" || string(b[176:183]) != "UUID-1\x00" {
		t.Errorf("header %x", b[:headerBytes])
	}
}

// list makes a list of devices as the kernel writes it.
func list(entries ...string) buffer {
	var b buffer
	for i, name := range entries {
		size := (12 + len(name) + 1 + 7) &^ 7
		entry := make(buffer, size)
		entry.put64(0, uint64(253<<8|i))
		if i < len(entries)-1 {
			entry.put32(8, uint32(size))
		}
		copy(entry[12:], name)
		b = append(b, entry...)
	}
	return b
}

func TestNames(t *testing.T) {
	for _, want := range [][]string{nil, {"one"}, {"one", "guest-two", "x"}} {
		b := append(list(want...), make(buffer, 64)...)
		if got, err := names(b); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	endless := list("one")
	endless.put32(8, 1<<30)
	if _, err := names(endless); err == nil {
		t.Error("an entry beyond the end is accepted")
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"", "a/b", strings.Repeat("x", 128)} {
		if _, err := Create(name, "", nil, false); err == nil || !strings.Contains(err.Error(), "is no name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzNames holds names to an end without a panic, whatever the list.
func FuzzNames(f *testing.F) {
	f.Add([]byte(list("one", "two")))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = names(b) })
}

func TestTargetsOfSegments(t *testing.T) {
	path := func(device string) string { return "/dev/" + device }
	targets := Targets([]Segment{
		{Sectors: 100, Areas: []Area{{"a", 2048}}},
		{Sectors: 256, Chunk: 64, Areas: []Area{{"a", 0}, {"b", 10}}},
		{Sectors: 1, Areas: []Area{{"b", 1 << 40}}},
	}, path)
	for i, want := range []Target{
		{0, 100, "linear", "/dev/a 2048"},
		{100, 256, "striped", "2 64 /dev/a 0 /dev/b 10"},
		{356, 1, "linear", "/dev/b 1099511627776"},
	} {
		if targets[i] != want {
			t.Errorf("%+v, want %+v", targets[i], want)
		}
	}
}

// TestKernel makes a device of parts of two others, changes its table while it is open, and takes it away.
func TestKernel(t *testing.T) {
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs root and the module dm-mod: %v", err)
	}
	control.Close()
	loop := func(content string) string {
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(strings.Repeat(content, 4096/len(content))); err != nil {
			t.Fatal(err)
		}
		device, err := loopdev.Open(file, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { device.Close() })
		return device.Name()
	}
	a, b := loop("a"), loop("b")
	const name, uuid = "zerodisc--test-x", "LVM-test"
	device, err := Create(name, uuid, []Target{{0, 1, "linear", a + " 0"}, {1, 1, "linear", b + " 3"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer Remove(name)
	if _, err := Create(name, "", []Target{{0, 1, "linear", a + " 0"}}, true); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the name again: %v", err)
	}
	if _, err := Create("other", uuid, []Target{{0, 1, "linear", a + " 0"}}, true); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the uuid again: %v", err)
	}
	if _, err := Create("other", "", []Target{{0, 1, "linear", "/dev/null 0"}}, true); err == nil {
		t.Error("a table over /dev/null")
	}
	file, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	check := func(want string) {
		t.Helper()
		if err := unix.IoctlSetInt(int(file.Fd()), unix.BLKFLSBUF, 0); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(file, 0, 2048))
		if err != nil || string(got) != want {
			t.Errorf("%d bytes %.600q, %v", len(got), got, err)
		}
	}
	check(strings.Repeat("a", 512) + strings.Repeat("b", 512))
	if f, err := os.OpenFile(device, os.O_WRONLY, 0); err == nil {
		if _, err := f.Write(make([]byte, 512)); err == nil {
			t.Error("it can be written to")
		}
		f.Close()
	}
	if err := RemoveIdle(name); !errors.Is(err, unix.EBUSY) {
		t.Errorf("removed while it is open: %v", err)
	}
	if err := Replace(name, []Target{{0, 2, "linear", b + " 0"}}, true); err != nil {
		t.Error(err)
	}
	check(strings.Repeat("b", 1024))
	file.Close()
	if err := errors.Join(RemoveIdle(name), RemoveIdle(name)); err != nil {
		t.Error(err)
	}
}

// TestTargets reads back what the kernel writes of a table.
func TestTargets(t *testing.T) {
	want := []Target{{0, 8, "linear", "7:0 16"}, {8, 2048, "snapshot", "7:3 7:4 P 8"}}
	b := newBuffer("x", "", 0, headerBytes).withTable(want)
	b.put32(headerBytes+20, 48) // as an answer has it, from the beginning
	b.put32(headerBytes+48+20, 48+56)
	if got, err := targets(b); err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for what, spoil := range map[string]func(buffer){
		"a row beyond the end":  func(b buffer) { b.put32(headerBytes+20, 4000) },
		"a row before itself":   func(b buffer) { b.put32(headerBytes+20, 0) },
		"rows beyond the end":   func(b buffer) { b.put32(atTargets, 1<<31) },
		"a table after the end": func(b buffer) { b.put32(atStart, 1<<31) },
	} {
		bad := slices.Clone(b)
		spoil(bad)
		if _, err := targets(bad); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

// FuzzTargets holds targets to an end without a panic, whatever the table.
func FuzzTargets(f *testing.F) {
	f.Add([]byte(newBuffer("x", "", 0, headerBytes).withTable([]Target{{0, 8, "linear", "7:0 16"}})))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) >= headerBytes {
			_, _ = targets(b)
		}
	})
}
