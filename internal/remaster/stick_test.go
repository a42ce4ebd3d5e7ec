package remaster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

const stickSize = 64 << 20

// stickWith is the test's disc on a stick of so many bytes (0: as many as the disc has) to which a partition
// tool did something. command is for the shell and ends before its last argument, the stick.
func stickWith(t *testing.T, size int64, tool, command string) string {
	t.Helper()
	hostTool(t, tool, "--version") // skips the test where it is not installed
	name := save(t, testDisc(t))
	if size > 0 {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	hostTool(t, "sh", "-c", command+` "$0"`, name)
	return name
}

// sticks are what partition tools do, and what Verify says of it.
var sticks = []struct {
	tool    string
	name    string
	size    int64
	command string
	want    string
}{
	{"sgdisk", "moves the backup", stickSize, "sgdisk -e",
		"the partition table, by a partition tool; the disc itself"},
	{"sgdisk", "makes a partition in the padding", stickSize, "sgdisk -e -n 0:0:0 -c 3:mine", `partition 3 "mine", `},
	{"sgdisk", "keeps the backup where it is", stickSize, "sgdisk -n 0:0:0 -c 3:mine", `partition 3 "mine", `},
	{"sgdisk", "on a stick of the disc's size", 0, "sgdisk -c 2:mine", "the partition table, by a partition tool"},
	{"sfdisk", "makes a partition", stickSize, `printf ',10M,L\n,,L\n' | sfdisk -a`,
		`partition 3 "", 10.5 MB and partition 4`},
	{"fdisk", "makes a partition", stickSize, `printf 'n\n\n\n\nw\n' | fdisk`, `partition 3 ""`},
	{"parted", "makes a partition", stickSize,
		`parted -s -f "$0" print && parted -s "$0" mkpart mine ext4 10MiB 50MiB && :`,
		`partition 3 "mine", 41.9 MB`},
}

// TestVerifyRepartitionedStick does what docs/booting.md invites to, and writes into the new partitions.
func TestVerifyRepartitionedStick(t *testing.T) {
	for _, test := range sticks {
		t.Run(test.tool+" "+test.name, func(t *testing.T) {
			name := stickWith(t, test.size, test.tool, test.command)
			fillLater(t, name)
			var out bytes.Buffer
			err := Verify(t.Context(), &out, name, nil)
			if err != nil || !strings.HasPrefix(out.String(), "ok: ") || !strings.Contains(out.String(), test.want) {
				t.Errorf("verify says\n%s%v, want %q", out.String(), err, test.want)
			}
			add(t, AddOptions{In: name, Guests: []string{webGuest(t)}})
		})
	}
}

func TestInspectRepartitionedStick(t *testing.T) {
	var out bytes.Buffer
	if err := Inspect(&out, stickWith(t, stickSize, "sgdisk", "sgdisk -e -n 0:0:0 -c 3:mine")); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"disk, UEFI GPT partition 1: EFI", "partition GPT partition 3: mine, from byte", "behind it 66.1 MB",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// fillLater fills the partitions that are not the disc's, as a file system would.
func fillLater(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := partitions(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range table.Partitions[2:] {
		if _, err := f.WriteAt(bytes.Repeat([]byte("files"), int(p.Size)/5), int64(p.Start)*bootSector); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRepartitionedStickShowsDamage flips bits of a stick that has a partition of its owner's.
func TestRepartitionedStickShowsDamage(t *testing.T) {
	tools := []string{"disk's signature", "active flag", "backup of the partition table"} // which change that
	for _, place := range places(t) {
		t.Run(place.name, func(t *testing.T) {
			name := stickWith(t, stickSize, "sgdisk", "sgdisk -e -n 0:0:0")
			flip(t, name, place.at)
			err := Verify(t.Context(), io.Discard, name, nil)
			if isDamage := err != nil; isDamage == slices.Contains(tools, place.name) {
				t.Errorf("verify says %v", err)
			}
		})
	}
}

func TestVerifyNamesTheTable(t *testing.T) {
	for _, test := range []struct {
		name    string
		size    int64
		command string
		flip    int64 // byte; 0: none
		want    string
	}{
		{"no EFI system partition", stickSize, "sgdisk -e -d 1", 0,
			`has lost or changed partition 1, "EFI system partition"`},
		{"nothing keeps others away", stickSize, "sgdisk -e -d 2", 0, `has lost or changed partition 2`},
		{"another table", stickSize, "sgdisk -o", 0, "the GUID partition table is empty"},
		{"damaged table", stickSize, "sgdisk -e", 1024 + 40, "the GUID partition table is damaged"},
		{"damaged backup", 0, "sgdisk -c 2:mine", -512 + 30, "the backup of the partition table is damaged"},
		{"damaged backup's entries", 0, "sgdisk -c 2:mine", -33*512 + 40,
			"the backup of the partition table is damaged"},
		{"hybrid boot record", stickSize, "sgdisk -e -h 1", 0, "its master boot record has a partition of type"},
		{"boot record without its table", stickSize, "sgdisk -e", 446 + 4,
			"its master boot record has a partition of type 0xea"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := stickWith(t, test.size, "sgdisk", test.command)
			if test.flip != 0 {
				info, err := os.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				flip(t, name, (test.flip+info.Size())%info.Size())
			}
			var out bytes.Buffer
			err := Verify(t.Context(), &out, name, nil)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(out.String(), test.want) {
				t.Errorf("verify says\n%s%v, want %q", out.String(), err, test.want)
			}
		})
	}
}

func TestLaterPartitionOverTheDisc(t *testing.T) {
	s := &stick{
		written: &gpt.Table{Partitions: []*gpt.Partition{
			{Index: 1, Start: 200, End: 299}, {Index: 2, Start: 304, End: 999},
		}},
		later: []*gpt.Partition{{Index: 4, Start: 1000, End: 2000}},
	}
	if err := s.checkLater(); err != nil {
		t.Error(err)
	}
	s.later = append(s.later, &gpt.Partition{Index: 3, Start: 40, End: 199})
	want := "partition 3 lies over the disc from sector 40 on"
	if err := s.checkLater(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
}

// FuzzPartitions gives every table the right sums: only a table that has them is looked into.
func FuzzPartitions(f *testing.F) {
	written := grub.Written{
		MediumID: buildID, Size: 1 << 20, BIOS: 20, EFI: iso9660.Extent{LBA: 40, Size: 1 << 18},
		MBR: append(make([]byte, mbrMark), 0x55, 0xAA),
	}
	head, _, err := written.Disk()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Fuzz(func(t *testing.T, disk []byte) {
		if len(disk) >= gptEntries {
			sign(disk)
		}
		table, err := partitions(bytes.NewReader(disk))
		if err != nil {
			return
		}
		for _, p := range table.Partitions {
			if int64(p.Size) <= 0 || int64(p.Start)*bootSector < 0 {
				t.Errorf("partition %d: %d bytes from sector %d", p.Index, p.Size, p.Start)
			}
		}
	})
}

// sign gives a table its sums.
func sign(disk []byte) {
	little, header := binary.LittleEndian, disk[gptHeader:gptEntries]
	from := uint64(little.Uint32(header[72:])) * bootSector
	size := uint64(little.Uint32(header[80:])) * uint64(little.Uint32(header[84:]))
	if from+size <= uint64(len(disk)) {
		little.PutUint32(header[88:], crc32.ChecksumIEEE(disk[from:from+size]))
	}
	clear(header[16:20])
	little.PutUint32(header[16:], crc32.ChecksumIEEE(header[:92]))
}
