package guests

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

const (
	// maxKernel bounds how much of a kernel is unpacked: Debian's has 50 MiB.
	maxKernel = 512 << 20
	// maxNotes bounds a segment of notes; Linux has some hundred bytes in it.
	maxNotes = 1 << 20
	// maxHeader bounds what is kept of a kernel's beginning. Linux' setup code is at most 64 sectors.
	maxHeader = 64 << 10
)

// errUnreadable says of a kernel that it does not say what it runs as, in a way that is read here.
var errUnreadable = errors.New("the kernel's kind is not known")

// runsAsPVH says whether a kernel can be a PVH guest's: whether its Xen notes have an entry point for it. An ELF file
// and Linux' bzImage are read, as they are or with gzip around them, which is Linux' own default. Other compressors
// want up to 128 MiB to unpack (zstd and xz as kernels use them): there the version in the bzImage's header decides.
func runsAsPVH(kernel io.Reader) (bool, error) {
	kernel, err := gunzipped(io.LimitReader(kernel, maxKernel))
	if err != nil {
		return false, err
	}
	in := bufio.NewReaderSize(io.LimitReader(kernel, maxKernel), maxHeader)
	head, err := in.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if setup, ok := parseBzImage(head); ok {
		return setup.runsAsPVH(in)
	}
	return elfRunsAsPVH(in)
}

// gunzipped unpacks a file that is compressed as a whole.
func gunzipped(file io.Reader) (io.Reader, error) {
	in := bufio.NewReader(file)
	if magic, _ := in.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return in, nil
	}
	return gzip.NewReader(in)
}

// bzImage is what of a bzImage's header is used (Documentation/arch/x86/boot.rst of Linux).
type bzImage struct {
	payload      int64 // offset in the file
	major, minor int   // version; 0.0 where the header does not say
}

// parseBzImage reads the beginning of a bzImage.
func parseBzImage(head []byte) (bzImage, bool) {
	const withPayload = 0x208 // the version of the protocol that tells where the payload is
	if len(head) < 0x250 || string(head[0x202:0x206]) != "HdrS" ||
		binary.LittleEndian.Uint16(head[0x206:]) < withPayload {
		return bzImage{}, false
	}
	sectors := int64(head[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	setup := bzImage{payload: (sectors+1)*512 + int64(binary.LittleEndian.Uint32(head[0x248:]))}
	if at := int(binary.LittleEndian.Uint16(head[0x20e:])); at != 0 && at+0x200 < len(head) {
		_, _ = fmt.Sscanf(string(head[at+0x200:min(at+0x220, len(head))]), "%d.%d", &setup.major, &setup.minor)
	}
	return setup, true
}

// runsAsPVH reads the payload where it can, and knows otherwise that no Linux before 4.11 has PVH.
func (b bzImage) runsAsPVH(image *bufio.Reader) (bool, error) {
	if _, err := io.CopyN(io.Discard, image, b.payload); err != nil {
		return false, err
	}
	if magic, _ := image.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		payload, err := gzip.NewReader(image)
		if err != nil {
			return false, err
		}
		return elfRunsAsPVH(io.LimitReader(payload, maxKernel))
	}
	if b.major == 0 && b.minor == 0 || b.major > 4 || b.major == 4 && b.minor >= 11 {
		return false, errUnreadable
	}
	return false, nil
}

// segment is where notes are in an ELF file.
type segment struct{ offset, size int64 }

// elfRunsAsPVH reads an ELF file from its beginning on, and of it only the notes.
func elfRunsAsPVH(file io.Reader) (bool, error) {
	in := &countingReader{Reader: bufio.NewReader(file)}
	segments, err := noteSegments(in)
	if err != nil {
		return false, err
	}
	err = errUnreadable
	for _, s := range segments {
		if s.offset < in.count || s.size > maxNotes {
			continue
		}
		if _, err := io.CopyN(io.Discard, in, s.offset-in.count); err != nil {
			return false, err
		}
		notes := make([]byte, s.size)
		if _, err := io.ReadFull(in, notes); err != nil {
			return false, err
		}
		pvh, xen := xenNotes(notes)
		if pvh {
			return true, nil
		}
		if xen {
			err = nil
		}
	}
	return false, err
}

// countingReader knows how far it is.
type countingReader struct {
	io.Reader
	count int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.count += int64(n)
	return n, err
}

// headerSize is that of an ELF file of 64 bits; one of 32 bits has less.
const headerSize = 64

// programTable is where an ELF file has its program headers.
type programTable struct {
	is64   bool
	offset int64
	entry  int64 // bytes of each
	length int64 // bytes of all
}

// parseELF reads the header of an ELF file. ok is false where it is none, or where its program headers are not at its
// beginning, as they are in kernels.
func parseELF(head []byte) (t programTable, ok bool) {
	if string(head[:4]) != elf.ELFMAG || elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return t, false
	}
	little, least := binary.LittleEndian, int64(32)
	t.is64 = elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64
	var count int64
	if t.is64 {
		t.offset, least = int64(little.Uint64(head[32:])), 56
		t.entry, count = int64(little.Uint16(head[54:])), int64(little.Uint16(head[56:]))
	} else {
		t.offset = int64(little.Uint32(head[28:]))
		t.entry, count = int64(little.Uint16(head[42:])), int64(little.Uint16(head[44:]))
	}
	t.length = t.entry * count
	return t, t.entry >= least && t.offset >= 0 && t.offset <= maxHeader && t.length <= maxHeader
}

// noteSegments reads the headers of an ELF file and returns where the notes are, in their order.
func noteSegments(in io.Reader) ([]segment, error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	table, ok := parseELF(head)
	if !ok {
		return nil, errUnreadable
	}
	// In a file of 32 bits the table may begin before the bytes that were read end.
	rest := make([]byte, max(0, table.offset+table.length-headerSize))
	if _, err := io.ReadFull(in, rest); err != nil {
		return nil, err
	}
	var found []segment
	for header := range slices.Chunk(append(head, rest...)[table.offset:table.offset+table.length], int(table.entry)) {
		if s, ok := noteSegment(header, table.is64); ok {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	return found, nil
}

// noteSegment reads one program header; ok is false where it is not of notes.
func noteSegment(header []byte, is64 bool) (s segment, ok bool) {
	if elf.ProgType(binary.LittleEndian.Uint32(header)) != elf.PT_NOTE {
		return s, false
	}
	if is64 {
		s = segment{int64(binary.LittleEndian.Uint64(header[8:])), int64(binary.LittleEndian.Uint64(header[32:]))}
	} else {
		s = segment{int64(binary.LittleEndian.Uint32(header[4:])), int64(binary.LittleEndian.Uint32(header[16:]))}
	}
	return s, s.offset >= 0 && s.size >= 0
}

// xenNotes says whether there are Xen's notes among others, and one of them is the entry point of PVH
// (xen/include/public/elfnote.h).
func xenNotes(notes []byte) (pvh, xen bool) {
	const phys32Entry = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	for len(notes) >= 12 {
		nameSize, size := int64(binary.LittleEndian.Uint32(notes)), int64(binary.LittleEndian.Uint32(notes[4:]))
		kind := binary.LittleEndian.Uint32(notes[8:])
		next := 12 + roundUp(nameSize, 4) + roundUp(size, 4)
		if next > int64(len(notes)) {
			break
		}
		if string(notes[12:12+nameSize]) == "Xen\x00" {
			pvh, xen = pvh || kind == phys32Entry, true
		}
		notes = notes[next:]
	}
	return pvh, xen
}

// kernelIsPVOnly says whether the guest's own kernel is known to run as PV only. The path of kernel is
// absolute already.
func (r *resolver) kernelIsPVOnly() bool {
	kernel, ok, err := r.config().Text("kernel")
	if err != nil || !ok || kernel.Text == r.machine.Kernel || r.config().Lookup("bootloader") != nil {
		return false
	}
	if r.machine.Elsewhere && !r.isInside(kernel.Text) {
		return false // it is dom0's
	}
	if info, err := os.Stat(kernel.Text); err != nil || !info.Mode().IsRegular() {
		return false // a pipe would block
	}
	file, err := os.Open(kernel.Text)
	if err != nil {
		return false
	}
	defer file.Close()
	pvh, err := runsAsPVH(file)
	return err == nil && !pvh
}
