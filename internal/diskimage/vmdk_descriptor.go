package diskimage

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// From VMware's "Virtual Disk Format 5.0". Sectors have 512 bytes.
const (
	maxDescriptor    = 256 << 10 // bytes
	maxExtentSectors = 1 << 42
	noParent         = "ffffffff"
)

// isText says whether a VMDK is a descriptor of its own: text that names the files with the data.
func isText(head []byte) bool {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	return strings.EqualFold(strings.Join(strings.Fields(string(first)), ""), "#DiskDescriptorFile")
}

// extentLine is a line of a descriptor: RW 4192256 SPARSE "disk-s001.vmdk", with an offset behind it for FLAT.
type extentLine struct {
	sectors int64
	kind    string
	file    string
	offset  int64 // sectors
}

// extentKinds open the extents that a descriptor can name.
var extentKinds = map[string]func(o *opener, f *file, line extentLine) (layer, error){
	"FLAT":   openFlat,
	"VMFS":   openFlat,
	"SPARSE": openSparse,
}

func openVMDKDescriptor(o *opener, f *file) (*vmdk, error) {
	if f.size > maxDescriptor {
		return nil, f.errorf("a descriptor of %d bytes; at most %d can be read", f.size, maxDescriptor)
	}
	text, err := f.head(maxDescriptor)
	if err != nil {
		return nil, err
	}
	err = checkParent(string(text))
	var lines []extentLine
	if err == nil {
		lines, err = parseExtents(string(text))
	}
	if err == nil && len(lines) == 0 {
		err = errors.New("the descriptor names no extents")
	}
	if err != nil {
		return nil, f.errorf("%w", err)
	}
	v := &vmdk{}
	for _, line := range lines {
		part, err := openExtent(o, f, line)
		if err != nil {
			return nil, err
		}
		v.add(part)
	}
	return v, nil
}

// openExtent opens what a line of the descriptor names.
func openExtent(o *opener, descriptor *file, line extentLine) (layer, error) {
	if line.kind == "ZERO" {
		return zeros(line.sectors * 512), nil
	}
	open := extentKinds[line.kind]
	if open == nil {
		return nil, descriptor.errorf("an extent of the kind %q cannot be read here; "+
			"make one file of the disk with qemu-img convert -O qcow2 OLD NEW", line.kind)
	}
	if line.file == "" {
		return nil, descriptor.errorf("an extent of the kind %s without the name of its file", line.kind)
	}
	if strings.ContainsAny(line.file, `/\`) {
		return nil, descriptor.errorf("the extent %s has a directory in its name; "+
			"put the file next to the descriptor and remove the directory there", printable.Line(line.file))
	}
	f, err := o.open(descriptor.sibling(line.file))
	if err != nil {
		return nil, fmt.Errorf("%s: the disk's data: %w", descriptor, err)
	}
	return open(o, f, line)
}

// parseExtents returns the extents that a descriptor names, in their order on the disk.
func parseExtents(text string) ([]extentLine, error) {
	var lines []extentLine
	var sum int64
	for number, text := range strings.Split(text, "\n") {
		text = strings.TrimSpace(text)
		if !isExtentLine(text) {
			continue
		}
		line, err := parseExtentLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %.80q: %w", number+1, text, err)
		}
		if sum += line.sectors; sum > maxExtentSectors {
			return nil, fmt.Errorf("line %d: the disk would have more than %d sectors",
				number+1, int64(maxExtentSectors))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// checkParent refuses the descriptor of a disk that is based on another one.
func checkParent(text string) error {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "parentCID" && !strings.EqualFold(strings.TrimSpace(value), noParent) {
			return errors.New("a snapshot that is based on another disk; " +
				"make one file of both with qemu-img convert -O qcow2 OLD NEW")
		}
	}
	return nil
}

// isExtentLine says whether a line begins with the access to an extent.
func isExtentLine(text string) bool {
	word, _, ok := strings.Cut(text, " ")
	return ok && (word == "RW" || word == "RDONLY" || word == "NOACCESS")
}

func parseExtentLine(text string) (extentLine, error) {
	before, rest, quoted := strings.Cut(text, `"`)
	words := strings.Fields(before)
	if len(words) != 3 {
		return extentLine{}, errors.New(`want ACCESS SECTORS KIND "FILE"`)
	}
	line := extentLine{kind: words[2]}
	var err error
	if line.sectors, err = parseSectors(words[1]); err != nil {
		return extentLine{}, err
	}
	if !quoted {
		return line, nil
	}
	name, rest, closed := strings.Cut(rest, `"`)
	if !closed {
		return extentLine{}, errors.New("the name of the file has no end")
	}
	line.file = name
	if rest = strings.TrimSpace(rest); rest != "" {
		line.offset, err = parseSectors(rest)
	}
	return line, err
}

func parseSectors(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxExtentSectors {
		return 0, fmt.Errorf("%q is no number of sectors", text)
	}
	return n, nil
}

// zeros are a part of a disk that no file holds, bytes.
type zeros int64

func (z zeros) size() int64 { return int64(z) }

func (z zeros) find(_, limit int64) (piece, error) { return piece{kind: Zero, length: limit}, nil }

// flat is a part of a file that is part of a disk as it is.
type flat struct {
	file           *file
	offset, length int64 // bytes
}

func openFlat(_ *opener, f *file, line extentLine) (layer, error) {
	return flat{f, line.offset * 512, line.sectors * 512}, nil
}

func (f flat) size() int64 { return f.length }

func (f flat) find(off, limit int64) (piece, error) {
	return piece{kind: Data, length: limit, file: f.file, offset: f.offset + off}, nil
}

// openSparse opens a file of grains. The descriptor says how much of it belongs to the disk.
func openSparse(o *opener, f *file, line extentLine) (layer, error) {
	head, err := f.head(vmdkHeaderBytes)
	if err != nil {
		return nil, err
	}
	g, err := openGrains(o, f, head)
	if err != nil {
		return nil, err
	}
	if g.bytes < line.sectors*512 {
		return nil, f.errorf("its header says %d bytes, the descriptor %d: it belongs to another disk",
			g.bytes, line.sectors*512)
	}
	g.bytes = line.sectors * 512
	return g, nil
}
