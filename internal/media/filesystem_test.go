package media

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bytesAt is text at offsets.
type bytesAt map[int]string

// header returns the first bytes of a device that holds b and is zero besides.
func header(b bytesAt) string {
	head := make([]byte, headSize)
	for offset, text := range b {
		copy(head[offset:], text)
	}
	return string(head)
}

// samples are one for each row of fileSystems, or more: superblocks by the documented offsets.
var samples = map[string]bytesAt{
	"LUKS, encrypted":      {0: "LUKS\xba\xbe\x00\x02"},
	"BitLocker, encrypted": {0: "\xeb\x58\x90-FVE-FS-\x00\x02\x08\x00\x00"},
	"LVM":                  {512: "LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001"},
	"RAID":                 {4096: "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"},
	"exfat":                {0: "\xeb\x76\x90EXFAT   ", 510: "\x55\xaa"},
	"ntfs":                 {0: "\xeb\x52\x90NTFS    \x00\x02\x08", 510: "\x55\xaa"},
	"xfs":                  {0: "XFSB\x00\x00\x10\x00"},
	"ext4":                 {1024 + 0x18: "\x02\x00\x00\x00", 1024 + 0x38: "\x53\xef", 1024 + 0x4c: "\x01\x00\x00\x00"},
	"btrfs":                {0x10040: "_BHRfS_M"},
	"f2fs":                 {1024: "\x10\x20\xf5\xf2"},
	"vfat": {
		0:   "\xeb\x58\x90mkfs.fat\x00\x02\x08\x20\x00\x02\x00\x00\x00\x00\xf8\x00\x00",
		36:  "\x00\x04\x00\x00",
		510: "\x55\xaa",
	},
	"iso9660": {32768: "\x01CD001\x01"},
	"udf":     {32768: "\x00BEA01\x01", 32768 + 2048: "\x00NSR03\x01", 32768 + 4096: "\x00TEA01\x01"},
	"swap":    {4086: "SWAPSPACE2"},
}

func TestDetectKnowsEveryRow(t *testing.T) {
	for _, f := range fileSystems {
		sample, ok := samples[f.name]
		if !ok {
			t.Errorf("there is no sample of %s", f.name)
			continue
		}
		if got, err := detect([]byte(header(sample))); err != nil || got.name != f.name {
			t.Errorf("detect takes %s for %q, %v", f.name, got.name, err)
		}
	}
	if len(samples) != len(fileSystems) {
		t.Errorf("%d samples of %d kinds", len(samples), len(fileSystems))
	}
}

func TestDetectOnDisksWithHistory(t *testing.T) {
	both := func(names ...string) bytesAt {
		all := bytesAt{}
		for _, name := range names {
			for offset, text := range samples[name] {
				all[offset] = text
			}
		}
		return all
	}
	for _, test := range []struct {
		name string
		disk bytesAt
		want string // "" for what is not known
	}{
		{"a partition table", bytesAt{446: "\x80\x01\x01\x00\x0c", 510: "\x55\xaa"}, ""},
		{"GRUB in the boot sector", bytesAt{0: "\xeb\x63\x90\x10\x8e\xd0", 510: "\x55\xaa"}, ""},
		{"nothing", nil, ""},
		{"ext4 that was swap", both("swap", "ext4"), "ext4"},
		{"ext4 that was btrfs", both("btrfs", "ext4"), "ext4"},
		{"ext4's signature by chance", bytesAt{1024 + 0x18: "\x07\x00\x00\x00", 1024 + 0x38: "\x53\xef"}, ""},
		{"LUKS on what was ext4", both("ext4", "LUKS, encrypted"), "LUKS, encrypted"},
		{"ext2 that a boot loader lies on",
			bytesAt{0: samples["vfat"][0], 36: samples["vfat"][36], 1024 + 0x38: "\x53\xef"}, "ext4"},
		{"UDF with blocks of 4 KiB", bytesAt{32768: "\x00BEA01\x01", 32768 + 4096: "\x00NSR02\x01"}, "udf"},
		{"a DVD of both kinds",
			bytesAt{32768: "\x01CD001", 34816: "\xffCD001", 36864: "\x00BEA01", 38912: "\x00NSR02"}, "iso9660"},
		{"RAID with its superblock at the start", bytesAt{0: mdMagic}, "RAID"},
		{"FAT with clusters of 3 sectors",
			bytesAt{0: strings.Replace(samples["vfat"][0], "\x08\x20", "\x03\x20", 1), 36: "\x00\x04"}, ""},
	} {
		got, err := detect([]byte(header(test.disk)))
		if got.name != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: detect = %q, %v, want %q", test.name, got.name, err, test.want)
		}
	}
}

// TestDetectRealFileSystems has the tools make them that are installed.
func TestDetectRealFileSystems(t *testing.T) {
	for _, test := range []struct {
		want    string
		size    int64 // MiB
		command []string
	}{
		{"vfat", 1, []string{"mkfs.vfat", "-F", "12"}},
		{"vfat", 16, []string{"mkfs.vfat", "-F", "16"}},
		{"vfat", 64, []string{"mkfs.vfat", "-F", "32"}},
		{"vfat", 64, []string{"mkfs.vfat", "-S", "4096"}},
		{"ext4", 16, []string{"mkfs.ext2", "-q", "-F"}},
		{"ext4", 16, []string{"mkfs.ext3", "-q", "-F", "-b", "4096"}},
		{"ext4", 16, []string{"mkfs.ext4", "-q", "-F"}},
		{"exfat", 16, []string{"mkfs.exfat"}},
		{"ntfs", 16, []string{"mkntfs", "-F", "-Q"}},
		{"xfs", 300, []string{"mkfs.xfs", "-q", "-f"}},
		{"btrfs", 128, []string{"mkfs.btrfs", "-q", "-f"}},
		{"f2fs", 64, []string{"mkfs.f2fs", "-q", "-f"}},
		{"udf", 16, []string{"mkudffs", "--media-type=hd"}},
		{"udf", 16, []string{"mkudffs", "--media-type=hd", "--blocksize=4096"}},
		{"swap", 1, []string{"mkswap"}},
	} {
		t.Run(strings.Join(test.command, " "), func(t *testing.T) {
			if _, err := exec.LookPath(test.command[0]); err != nil {
				t.Skip(err)
			}
			image := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(image, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(image, test.size<<20); err != nil {
				t.Fatal(err)
			}
			mkfs := exec.Command(test.command[0], append(test.command[1:], image)...)
			if out, err := mkfs.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			head, err := readHead(image)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := detect(head); err != nil || got.name != test.want {
				t.Errorf("detect = %q, %v, want %q", got.name, err, test.want)
			}
		})
	}
}

func TestReadHeadOfASmallDevice(t *testing.T) {
	for _, size := range []int{0, 1, 511, 1024, 4096} {
		if head, err := readHead(file(t, make([]byte, size))); err != nil || len(head) != size {
			t.Errorf("readHead of %d bytes = %d bytes, %v", size, len(head), err)
		}
	}
}

// FuzzDetect puts bytes at the start and where the superblocks are, cut off anywhere.
func FuzzDetect(f *testing.F) {
	for _, sample := range samples {
		for offset, text := range sample {
			f.Add([]byte(text), offset, headSize)
			f.Add([]byte(text), offset, offset+len(text)-1)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, offset, size int) {
		if offset < 0 || offset > headSize || size < 0 || size > headSize {
			return
		}
		head := make([]byte, headSize)
		copy(head[offset:], text)
		if got, err := detect(head[:size]); err == nil && got.name == "" {
			t.Error("neither a kind nor an error")
		}
	})
}
