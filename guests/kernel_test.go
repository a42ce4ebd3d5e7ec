package guests

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// note is one ELF note.
func note(name string, kind uint32, desc string) []byte {
	pad := func(text string) string { return text + strings.Repeat("\x00", -len(text)&3) }
	name += "\x00"
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(name)))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(desc)))
	out = binary.LittleEndian.AppendUint32(out, kind)
	return append(out, pad(name)+pad(desc)...)
}

// elfKernel is an ELF file with notes far behind its headers.
func elfKernel(bits int, notes ...[]byte) []byte {
	content := bytes.Join(notes, nil)
	const at = 5000
	out := make([]byte, at, at+len(content)+100)
	copy(out, "\x7fELF\x02\x01\x01")
	put := binary.LittleEndian
	if bits == 64 {
		put.PutUint64(out[32:], 64)
		put.PutUint16(out[54:], 56)
		put.PutUint16(out[56:], 2)
		put.PutUint32(out[64:], 1) // PT_LOAD
		header := out[64+56:]
		put.PutUint32(header, 4) // PT_NOTE
		put.PutUint64(header[8:], at)
		put.PutUint64(header[32:], uint64(len(content)))
	} else {
		out[4] = 1
		put.PutUint32(out[28:], 52)
		put.PutUint16(out[42:], 32)
		put.PutUint16(out[44:], 1)
		header := out[52:]
		put.PutUint32(header, 4)
		put.PutUint32(header[4:], at)
		put.PutUint32(header[16:], uint32(len(content)))
	}
	return append(append(out, content...), make([]byte, 100)...)
}

func gzipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data) // to memory
	_ = w.Close()
	return out.Bytes()
}

// bzImageOf is a bzImage of a Linux with the payload.
func bzImageOf(version string, payload []byte) []byte {
	const sectors, offset = 2, 300
	out := make([]byte, (sectors+1)*512+offset)
	put := binary.LittleEndian
	out[0x1f1] = sectors
	copy(out[0x202:], "HdrS")
	put.PutUint16(out[0x206:], 0x20f)
	put.PutUint16(out[0x20e:], 0x200)
	put.PutUint32(out[0x248:], offset)
	put.PutUint32(out[0x24c:], uint32(len(payload)))
	copy(out[0x400:], version+" (build@host) #1 SMP\x00")
	return append(out, payload...)
}

var (
	guestOS    = note("Xen", 6, "linux\x00")
	otherNote  = note("GNU", 3, "build id")
	phys32     = note("Xen", 18, "\x00\x00\x00\x01")
	pvKernel   = elfKernel(64, otherNote, guestOS)
	pvhKernel  = elfKernel(64, otherNote, guestOS, phys32)
	kernelsOld = bzImageOf("4.9.0-19-amd64", []byte("\xfd7zXZ\x00..."))
)

func TestRunsAsPVH(t *testing.T) {
	for name, test := range map[string]struct {
		kernel []byte
		want   string
	}{
		"ELF with PV only":              {pvKernel, "pv"},
		"ELF with both":                 {pvhKernel, "pvh"},
		"ELF of 32 bits, PV only":       {elfKernel(32, guestOS), "pv"},
		"ELF of 32 bits with PVH":       {elfKernel(32, phys32), "pvh"},
		"another's note of that number": {elfKernel(64, guestOS, note("GNU", 18, "abcd")), "pv"},
		"gzipped ELF, PV only":          {gzipped(pvKernel), "pv"},
		"gzipped ELF with both":         {gzipped(pvhKernel), "pvh"},
		"bzImage, gzip, PV only":        {bzImageOf("6.12.1", gzipped(pvKernel)), "pv"},
		"bzImage, gzip, both":           {bzImageOf("6.12.1", gzipped(pvhKernel)), "pvh"},
		"old bzImage, xz":               {kernelsOld, "pv"},
		"bzImage, xz":                   {bzImageOf("4.11.0", []byte("\xfd7zXZ\x00...")), "unknown"},
		"new bzImage, zstd":             {bzImageOf("6.12.48+deb13-amd64", []byte("\x28\xb5\x2f\xfd...")), "unknown"},
		"bzImage without a version":     {bzImageOf("", []byte("\xfd7zXZ\x00...")), "unknown"},
		"ELF without Xen's notes":       {elfKernel(64, otherNote), "unknown"},
		"ELF without notes":             {elfKernel(64), "unknown"},
		"empty":                         {nil, "unknown"},
		"text":                          {bytes.Repeat([]byte("no kernel "), 1000), "unknown"},
		"cut off":                       {pvhKernel[:2000], "unknown"},
		"bzImage cut off":               {kernelsOld[:0x300], "unknown"},
		"gzip cut off":                  {gzipped(pvhKernel)[:30], "unknown"},
	} {
		pvh, err := runsAsPVH(bytes.NewReader(test.kernel))
		got := map[bool]string{true: "pvh", false: "pv"}[pvh]
		if err != nil {
			got = "unknown"
		}
		if got != test.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, test.want)
		}
	}
	if _, err := runsAsPVH(bytes.NewReader(elfKernel(64, otherNote))); !errors.Is(err, errUnreadable) {
		t.Errorf("got %v", err)
	}
}

// TestKernelChoosesType gives guests kernels that are PV only, and others.
func TestKernelChoosesType(t *testing.T) {
	for name, test := range map[string]struct {
		kernel []byte
		source string
		want   Type
		fault  string
	}{
		"PV only":          {pvKernel, "", PV, ""},
		"both":             {pvhKernel, "", PVH, ""},
		"unknown":          {nil, "", PVH, ""},
		"PV only, said so": {pvKernel, "type='pv'", PV, ""},
		"PV only, as PVH": {pvKernel, "type='pvh'", "",
			"g.cfg:2:6: the kernel cannot run as PVH: it has no entry point for it among its Xen notes; " +
				`write type = "pv"`},
		"both, as PVH":    {pvhKernel, "type='pvh'", PVH, ""},
		"a boot loader's": {pvKernel, "bootloader='/dev/null'", PVH, ""},
	} {
		guest := guestWith(t, "kernel='vmlinuz'\n"+test.source)
		if err := os.WriteFile(filepath.Join(guest.Dir, "vmlinuz"), test.kernel, 0o644); err != nil {
			t.Fatal(err)
		}
		domain, err := guest.Resolve(machine(guest))
		switch {
		case err != nil:
			if test.fault == "" || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%s: got %v, want %q", name, err, test.fault)
			}
		case domain.Type != test.want:
			t.Errorf("%s: got %s, want %s%s", name, domain.Type, test.want, test.fault)
		}
	}
}

// TestDebianKernel reads the kernel that goes onto the disc: guests with a copy of it may be PVH.
func TestDebianKernel(t *testing.T) {
	found, err := filepath.Glob("../build/cache/payload/merged/*/boot/vmlinuz-*")
	if err != nil || len(found) == 0 {
		t.Skip("there is no kernel in build/cache; build a disc first (make)")
	}
	file, err := os.Open(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if pvh, err := runsAsPVH(file); err == nil && !pvh {
		t.Error("it is taken for PV only")
	}
}

// FuzzKernel holds runsAsPVH to: no panic, whatever a guest's kernel is.
func FuzzKernel(f *testing.F) {
	for _, kernel := range [][]byte{
		pvKernel, pvhKernel, elfKernel(32, phys32), gzipped(pvKernel), kernelsOld,
		bzImageOf("6.1", gzipped(pvhKernel)),
	} {
		f.Add(kernel)
	}
	f.Fuzz(func(t *testing.T, kernel []byte) {
		if pvh, err := runsAsPVH(bytes.NewReader(kernel)); pvh && err != nil {
			t.Errorf("both an answer and %v", err)
		}
	})
}
