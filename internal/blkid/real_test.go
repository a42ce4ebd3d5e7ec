package blkid

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made is an image that a program makes.
type made struct {
	name     string
	mib      int64
	commands []string // %s is the image, %d a directory with a few files
}

// images are made by the programs that people make such file systems with. An image has what all versions of a program
// write: only what blkid says is compared.
var images = []made{
	{"vfat-12", 1, []string{"mkfs.vfat -F 12 -n FLOPPY %s"}},
	{"vfat-12-large", 4, []string{"mkfs.vfat -F 12 %s"}},
	{"vfat-16", 16, []string{"mkfs.vfat -F 16 -n LABEL -i 1234abcd %s"}},
	{"vfat-32", 64, []string{"mkfs.vfat -F 32 -n 'TWO WORDS' -i 0000abcd %s"}},
	{"vfat-4096", 300, []string{"mkfs.vfat -S 4096 -F 32 -n BIG %s"}},
	{"vfat-no-label", 64, []string{"mkfs.vfat -F 32 %s"}},
	{"exfat", 16, []string{"mkfs.exfat -L Größe/1 %s"}},
	{"exfat-4096", 300, []string{"mkfs.exfat -c 64K %s"}},
	{"ntfs", 16, []string{"mkntfs -F -Q -L 'Meine Übung' %s"}},
	{"ntfs-64k", 64, []string{"mkntfs -F -Q -c 65536 %s"}},
	{"ext2", 16, []string{"mkfs.ext2 -q -F -L root %s"}},
	{"ext3", 16, []string{"mkfs.ext3 -q -F -b 4096 %s"}},
	{"ext4", 16, []string{"mkfs.ext4 -q -F -L 'sixteen letters.' %s"}},
	{"ext4-no-journal", 16, []string{"mkfs.ext4 -q -F -O ^has_journal %s"}},
	{"ext4-old", 16, []string{"mkfs.ext4 -q -F -O ^metadata_csum,^64bit %s"}},
	{"ext-journal", 16, []string{"mke2fs -q -F -O journal_dev -L log %s"}},
	{"xfs", 300, []string{"mkfs.xfs -q -f -L data %s"}},
	{"xfs-4", 300, []string{"mkfs.xfs -q -f -m crc=0 %s"}},
	{"btrfs", 128, []string{"mkfs.btrfs -q -f -L 'a label' %s"}},
	{"btrfs-xxhash", 128, []string{"mkfs.btrfs -q -f --csum xxhash %s"}},
	{"f2fs", 64, []string{"mkfs.f2fs -q -f -l flash %s"}},
	{"squashfs", 0, []string{"mksquashfs %d %s -quiet -no-progress -noappend"}},
	{"erofs", 0, []string{"mkfs.erofs --quiet %s %d"}},
	{"iso9660", 0, []string{"xorriso -outdev %s -volid DISC -joliet off -volume_date c 2024010203040500 " +
		"-volume_date m 2025060708091011 -map %d /"}},
	{"iso9660-joliet", 0, []string{"genisoimage -quiet -J -V 'Seventeen letters' -o %s %d"}},
	{"iso9660-rock-ridge", 0, []string{"genisoimage -quiet -R -V rock -o %s %d"}},
	{"udf-bridge", 0, []string{"genisoimage -quiet -udf -J -V 'Both kinds' -o %s %d"}},
	{"udf", 16, []string{"mkudffs --media-type=hd --label=Platte --uuid=0123456789abcdef %s"}},
	{"udf-4096", 16, []string{"mkudffs --media-type=hd --blocksize=4096 --label=Größe %s"}},
	{"udf-2048", 16, []string{"mkudffs --media-type=cdr --label=Disc --udfrev=0x0150 %s"}},
	{"swap", 1, []string{"mkswap -q -L space %s"}},
	{"swap-64k", 4, []string{"mkswap -q -p 65536 %s"}},
	{"luks-1", 16, []string{"cryptsetup -q luksFormat --type luks1 --iter-time 1 %s - << 'word'"}},
	{"luks-2", 32, []string{"cryptsetup -q luksFormat --type luks2 --label safe --pbkdf pbkdf2 " +
		"--pbkdf-force-iterations 1000 %s - << 'word'"}},
	{"lvm", 16, []string{"losetup -f > %s.loop", "losetup $(cat %s.loop) %s", "pvcreate -q --config " + pvcreateConfig +
		" $(cat %s.loop) 2>&1; losetup -d $(cat %s.loop)"}},
	{"gpt", 16, []string{"sgdisk -n 1:2048:4095 -c 1:'first one' -t 1:ef00 -n 3:8192:0 -u 3:R -U R %s"}},
	{"gpt-backup", 16, []string{"sgdisk -n 1:0:0 %s",
		"dd if=/dev/zero of=%s bs=512 seek=1 count=1 conv=notrunc status=none"}},
	{"dos", 16, []string{"sfdisk -q %s << '1: size=2M, type=83, bootable\n" +
		"2: size=8M, type=5\n5: size=1M\n6: size=1M\n'"}},
	{"dos-empty", 16, []string{"sfdisk -q %s << 'label: dos\n'"}},
	{"btrfs-on-swap", 128, []string{"mkfs.btrfs -q -f %s", "cp %s %s.btrfs", "mkswap -q -f %s",
		"dd if=%s.btrfs of=%s bs=64K skip=1 seek=1 count=1 conv=notrunc status=none"}},
	{"text", 0, []string{"sh -c 'seq 1 20000 | sed s/$/abcdefgh/ > %s'"}},
	{"empty", 1, nil},
}

// pvcreateConfig lets pvcreate work without udev and the device mapper.
const pvcreateConfig = "'activation{udev_sync=0 udev_rules=0} global{use_lvmpolld=0} " +
	"devices{obtain_device_list_from_udev=0 external_device_info_source=\"none\"}'"

// TestAgainstBlkid compares what is said of real images with what blkid says.
func TestAgainstBlkid(t *testing.T) {
	for _, image := range images {
		t.Run(image.name, func(t *testing.T) {
			path := image.make(t)
			want := blkidSays(t, path)
			got := said(identifyPath(t, path))
			if !maps.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", sorted(got), sorted(want))
			}
			if *update && image.name != "text" {
				writeFixture(t, image.name, path, got)
			}
		})
	}
}

// make makes the image, or skips the test without the programs.
func (m made) make(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path, files := filepath.Join(dir, "image"), filepath.Join(dir, "files")
	if err := os.MkdirAll(filepath.Join(files, "a directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	if m.mib > 0 {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, m.mib<<20); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range m.commands {
		program, _, _ := strings.Cut(command, " ")
		if program == "losetup" && os.Getuid() != 0 {
			t.Skip("loop devices need root")
		}
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err) // before anything is done that another program undoes
		}
	}
	for _, command := range m.commands {
		command, input, _ := strings.Cut(command, " << ")
		command = strings.NewReplacer("%s", path, "%d", files).Replace(command)
		cmd := exec.Command("sh", "-c", "PATH=$PATH:/sbin:/usr/sbin; "+command)
		cmd.Stdin = strings.NewReader(strings.Trim(input, "'"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	return path
}

func identifyPath(t *testing.T, path string) Content {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := IdentifyFile(f)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// compared are the properties that both sides say.
var compared = []string{
	"ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_VERSION", "ID_FS_LABEL", "ID_FS_LABEL_ENC", "ID_FS_UUID", "ID_FS_UUID_ENC",
	"ID_FS_UUID_SUB", "ID_PART_TABLE_TYPE", "ID_PART_TABLE_UUID", "ID_FS_AMBIVALENT",
}

// blkidSays asks blkid.
func blkidSays(t *testing.T, path string) map[string]string {
	t.Helper()
	out, err := exec.Command("blkid", "-p", "-o", "udev", path).Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		t.Skip(err)
	case errors.As(err, &exit) && (exit.ExitCode() == 2 || exit.ExitCode() == 8): // nothing, or not certain
	case err != nil:
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if slices.Contains(compared, key) {
			all[key] = value
		}
	}
	if all["ID_FS_AMBIVALENT"] != "" {
		all["ID_FS_AMBIVALENT"] = "yes"
	}
	if all["ID_FS_TYPE"] == "exfat" { // before 2.39 it takes the boot sector for a table
		delete(all, "ID_PART_TABLE_TYPE")
	}
	return all
}

// said puts a content into blkid's words.
func said(c Content) map[string]string {
	all := map[string]string{
		"ID_PART_TABLE_TYPE": c.Table.Type, "ID_PART_TABLE_UUID": c.Table.UUID,
	}
	if len(c.Others) > 0 {
		all = map[string]string{"ID_FS_AMBIVALENT": "yes"}
	} else {
		maps.Copy(all, map[string]string{
			"ID_FS_TYPE": c.Type, "ID_FS_USAGE": string(c.Usage), "ID_FS_VERSION": Encode(c.Version),
			"ID_FS_LABEL": Safe(c.Label), "ID_FS_LABEL_ENC": Encode(c.Label),
			"ID_FS_UUID": Safe(c.UUID), "ID_FS_UUID_ENC": Encode(c.UUID), "ID_FS_UUID_SUB": Safe(c.SubUUID),
		})
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

func sorted(all map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s=%s ", key, all[key])
	}
	return b.String()
}
