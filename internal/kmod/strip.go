package kmod

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// signatureMagic ends a signed module; before it stands a struct module_signature of
// signatureInfoBytes, whose last four bytes are the big-endian length of the PKCS#7 message
// before that (Linux: include/linux/module_signature.h).
const (
	signatureMagic     = "~Module signature appended~\n"
	signatureInfoBytes = 12
)

// TrimSignature returns the module without an appended signature.
func TrimSignature(file []byte) ([]byte, error) {
	signed, ok := bytes.CutSuffix(file, []byte(signatureMagic))
	if !ok {
		return file, nil
	}
	if len(signed) < signatureInfoBytes {
		return nil, errors.New("trim module signature: truncated")
	}
	info := signed[len(signed)-signatureInfoBytes:]
	size := uint64(binary.BigEndian.Uint32(info[8:])) + signatureInfoBytes
	if size > uint64(len(signed)) {
		return nil, fmt.Errorf("trim module signature: %d bytes in a file of %d", size, len(signed))
	}
	return signed[:uint64(len(signed))-size], nil
}

// dropped are the sections that a module loads and works without:
//   - .BTF describes types to BPF programs; no part of dom0 traces the kernel with BPF. The
//     kernel takes a module without it as one that was built without it.
//   - .orc_unwind* tell the unwinder where stack frames in the module lie. Without them a stack
//     trace through the module is a guess (entries marked "?"), as with any code that has none.
//   - .call_sites are the calls that retbleed=stuff counts, which nobody gets who has not asked for it. Returns still
//     count, so that the processor's buffer is filled too often, not too late (arch/x86/kernel/callthunks.c).
//   - __patchable_function_entries has what __mcount_loc has; only other architectures read it (kernel/trace/ftrace.c).
//   - .comment names the compiler.
//
// Measured on all 424 Ethernet, SCSI, ATA and USB modules of Debian's 6.12.117 as squashfs with
// zstd: 17.0 MB signed, 16.9 MB unsigned, 14.3 MB without .BTF, 12.9 MB without .orc_unwind*.
// The image with all modules and tools has 18.2 MB with the places of calls, and 16.7 MB without.
// The image stays in dom0's RAM, which makes these megabytes count twice.
var dropped = []string{
	".BTF", ".BTF.base", ".orc_unwind", ".orc_unwind_ip", ".call_sites", "__patchable_function_entries", ".comment",
}

// Strip makes a module smaller: it takes away the signature, the sections that loading does not need, with their
// relocations, and the symbols that only the module itself uses. Section numbers stay as they are (a dropped section
// becomes a null section), so that nothing else in the file has to change.
func Strip(file []byte) ([]byte, error) {
	file, err := TrimSignature(file)
	if err != nil {
		return nil, err
	}
	header, sections, err := readSections(file)
	if err != nil {
		return nil, fmt.Errorf("strip module: %w", err)
	}
	if err := dropSections(file, header, sections); err != nil {
		return nil, fmt.Errorf("strip module: %w", err)
	}
	if file, err = dropSymbols(file, sections); err != nil {
		return nil, fmt.Errorf("strip module: %w", err)
	}
	out, err := layOut(file, header, sections)
	if err != nil {
		return nil, fmt.Errorf("strip module: %w", err)
	}
	return out, nil
}

var headerBytes = binary.Size(elf.Header64{})
var sectionBytes = binary.Size(elf.Section64{})

// readSections reads the ELF header and the section headers of a 64-bit little-endian
// relocatable file, and verifies that each section lies inside the file.
func readSections(file []byte) (elf.Header64, []elf.Section64, error) {
	var header elf.Header64
	if _, err := binary.Decode(file, binary.LittleEndian, &header); err != nil {
		return header, nil, errors.New("shorter than an ELF header")
	}
	want := []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)}
	if !bytes.HasPrefix(file, want) || elf.Type(header.Type) != elf.ET_REL || header.Phnum != 0 {
		return header, nil, errors.New("not a 64-bit little-endian relocatable ELF file")
	}
	if int(header.Shentsize) != sectionBytes || header.Shoff > uint64(len(file)) ||
		uint64(header.Shnum)*uint64(sectionBytes) > uint64(len(file))-header.Shoff {
		return header, nil, errors.New("section headers lie outside the file")
	}
	sections := make([]elf.Section64, header.Shnum)
	if _, err := binary.Decode(file[header.Shoff:], binary.LittleEndian, sections); err != nil {
		return header, nil, fmt.Errorf("section headers: %w", err)
	}
	for i, s := range sections {
		if occupies(s) && (s.Off > uint64(len(file)) || s.Size > uint64(len(file))-s.Off) {
			return header, nil, fmt.Errorf("section %d lies outside the file", i)
		}
	}
	return header, sections, nil
}

// occupies reports whether the section has bytes in the file.
func occupies(s elf.Section64) bool {
	kind := elf.SectionType(s.Type)
	return kind != elf.SHT_NULL && kind != elf.SHT_NOBITS
}

// dropSections turns the dropped sections, and the relocations that apply to them, into null
// sections.
func dropSections(file []byte, header elf.Header64, sections []elf.Section64) error {
	if int(header.Shstrndx) >= len(sections) || !occupies(sections[header.Shstrndx]) {
		return errors.New("no section names")
	}
	table := sections[header.Shstrndx]
	names := file[table.Off : table.Off+table.Size]
	gone := make([]bool, len(sections))
	for i, s := range sections {
		if uint64(s.Name) >= uint64(len(names)) {
			return fmt.Errorf("section %d has no name", i)
		}
		name, _, _ := strings.Cut(string(names[s.Name:]), "\x00")
		gone[i] = slices.Contains(dropped, name) && i != int(header.Shstrndx)
	}
	for i, s := range sections {
		relocates := elf.SectionType(s.Type) == elf.SHT_RELA || elf.SectionType(s.Type) == elf.SHT_REL
		if gone[i] || relocates && int64(s.Info) < int64(len(gone)) && gone[s.Info] {
			sections[i] = elf.Section64{}
		}
	}
	return nil
}

// layOut writes the sections one after another in the order they had in file, each aligned as
// it asks, and the section headers at the end.
func layOut(file []byte, header elf.Header64, sections []elf.Section64) ([]byte, error) {
	out := make([]byte, headerBytes, len(file))
	end := uint64(0)
	for _, i := range byOffset(sections) {
		s := &sections[i]
		if s.Off < end {
			return nil, fmt.Errorf("section %d overlaps the one before", i)
		}
		end = s.Off + s.Size
		if s.Addralign > 4096 {
			return nil, fmt.Errorf("section %d is aligned to %d bytes", i, s.Addralign)
		}
		out = align(out, s.Addralign)
		data := file[s.Off:end]
		s.Off = uint64(len(out))
		out = append(out, data...)
	}
	out = align(out, 8)
	header.Shoff = uint64(len(out))
	out, err := binary.Append(out, binary.LittleEndian, sections)
	if err != nil {
		return nil, err
	}
	_, err = binary.Encode(out, binary.LittleEndian, header)
	return out, err
}

// byOffset lists the sections that have bytes in the file, in file order.
func byOffset(sections []elf.Section64) []int {
	var order []int
	for i, s := range sections {
		if occupies(s) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sections[a].Off, sections[b].Off) })
	return order
}

// align pads out with zeros to a multiple of alignment.
func align(out []byte, alignment uint64) []byte {
	if alignment < 2 {
		return out
	}
	if odd := uint64(len(out)) % alignment; odd != 0 {
		out = append(out, make([]byte, alignment-odd)...)
	}
	return out
}
