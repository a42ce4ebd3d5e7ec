package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/zerodisc/zerodisc/internal/payload"
)

// microcodeDir is where Xen (ucode=scan) and Linux look for microcode: in a cpio archive that is not compressed and
// comes first in the initrd (Linux' Documentation/arch/x86/microcode.rst).
const microcodeDir = "kernel/x86/microcode"

// processorMakers are the makers of processors that microcode is for.
var processorMakers = []struct {
	file  string // in microcodeDir
	from  string // pattern of the files in Debian's packages
	split func([]byte) ([][]byte, error)
}{
	{"AuthenticAMD.bin", firmwareFiles + "/amd-ucode/microcode_amd*.bin", splitAMD},
	{"GenuineIntel.bin", firmwareFiles + "/intel-ucode/*", splitIntel},
}

// microcode returns the contents of the files in microcodeDir by name, and the packages that they come from. Each
// update is taken once: Intel's files have many that fit several processors, 22.5 MB in place of 15.1.
func microcode(tree packageFiles) (map[string][]byte, map[string]payload.Package, error) {
	files, packages := map[string][]byte{}, map[string]payload.Package{}
	for _, maker := range processorMakers {
		found, err := tree.Glob(maker.from)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			return nil, nil, fmt.Errorf("no package has %s: does FirmwarePackages still name the right ones?",
				maker.from)
		}
		var all updates
		for _, e := range found {
			if err := all.addFile(e, maker.split); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", e.Path, err)
			}
			packages[e.Package.Name] = *e.Package
		}
		files[maker.file] = all.data
	}
	return files, packages, nil
}

// updates are updates of microcode, one after the other.
type updates struct {
	data []byte
	seen map[string]bool
}

func (u *updates) addFile(e payload.Entry, split func([]byte) ([][]byte, error)) error {
	data, err := os.ReadFile(e.Host)
	if err != nil {
		return err
	}
	list, err := split(data)
	if err != nil {
		return err
	}
	for _, one := range list {
		if u.seen[string(one)] {
			continue
		}
		if u.seen == nil {
			u.seen = map[string]bool{}
		}
		u.seen[string(one)] = true
		u.data = append(u.data, one...)
	}
	return nil
}

// amdMagic begins each of AMD's containers (Linux' arch/x86/kernel/cpu/microcode/amd.c).
var amdMagic = []byte("DMA\x00")

// splitAMD takes a file of AMD's as a whole.
func splitAMD(data []byte) ([][]byte, error) {
	if !bytes.HasPrefix(data, amdMagic) {
		return nil, errors.New("this is no microcode of AMD's")
	}
	return [][]byte{data}, nil
}

// Sizes in bytes of Intel's updates: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3,
// "Microcode Update Facilities".
const (
	intelHeader  = 48
	intelUnit    = 1024 // all sizes are a multiple of this
	intelDefault = 2048 // of an update whose header says 0
)

// splitIntel splits a file of Intel's into its updates. Xen reads them up to the first that is damaged, so one
// of those would keep all that follow from being found.
func splitIntel(data []byte) ([][]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	var list [][]byte
	for at := 0; at < len(data); {
		size, err := intelSize(data[at:])
		if err != nil {
			return nil, fmt.Errorf("update at byte %d: %w", at, err)
		}
		list = append(list, data[at:at+size])
		at += size
	}
	return list, nil
}

// intelSize is the size of the update that data begins with.
func intelSize(data []byte) (int, error) {
	if len(data) < intelHeader {
		return 0, fmt.Errorf("%d bytes are left, its header has %d", len(data), intelHeader)
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(data[4*i:]) }
	if version, loader := word(0), word(5); version != 1 || loader != 1 {
		return 0, fmt.Errorf("header version %d, loader revision %d, want 1 and 1", version, loader)
	}
	size := int64(word(8))
	if word(7) == 0 { // the size of what is behind the header
		size = intelDefault
	}
	if size < intelUnit || size%intelUnit != 0 || size > int64(len(data)) {
		return 0, fmt.Errorf("it has %d bytes, and %d are left", size, len(data))
	}
	sum := uint32(0)
	for i := range int(size) / 4 {
		sum += word(i)
	}
	if sum != 0 {
		return 0, fmt.Errorf("its checksum is wrong by %#x", sum)
	}
	return int(size), nil
}

// microcodeArchive makes the archive of files in microcodeDir.
func microcodeArchive(files map[string][]byte) *Archive {
	a := NewArchive()
	for name, data := range files {
		// Xen and Linux apply an update right where the boot loader has put it, and Intel's processors take none from
		// an address that is no multiple of 16.
		a.AlignedText(path.Join(microcodeDir, name), string(data), 0o444)
	}
	return a
}

// forgetMicrocode has the kernel empty the files of microcode: it unpacks them before it comes to a, and dom0 would
// keep 15 MB in RAM that nobody reads any more.
func forgetMicrocode(a *Archive) {
	for _, maker := range processorMakers {
		a.Text(path.Join(microcodeDir, maker.file), "", 0o444)
	}
}
