// Package readonly says how file systems of other people's disks are mounted so that nothing is written to
// them.
package readonly

// Mount is what mount(2) needs besides MS_RDONLY.
type Mount struct {
	Driver  string // the type
	Options string // the driver's own
}

// mounts are the file systems that can be mounted, as package blkid calls them. The options keep a driver from
// repairing what an unclean end has left behind, which would be a write. Without its journal such a file system may
// show an older state, or not all; a file that was ever written out is in it. That a driver writes all the same, as
// ext4 does to clear up deleted files, a read-only loop device between it and the disk prevents.
var mounts = map[string]Mount{
	// One driver for three.
	"ext2": {"ext4", "noload"},
	"ext3": {"ext4", "noload"},
	"ext4": {"ext4", "noload"},
	"xfs":  {"xfs", "norecovery"},
	// A path in Btrfs begins at the top, as GRUB reads it, not at the subvolume that is the default one.
	"btrfs":    {"btrfs", "rescue=nologreplay,subvolid=5"},
	"f2fs":     {"f2fs", "norecovery"},
	"ntfs":     {"ntfs3", ""}, // does not replay its log when it is mounted for reading
	"vfat":     {"vfat", ""},
	"exfat":    {"exfat", ""},
	"iso9660":  {"iso9660", ""},
	"udf":      {"udf", ""},
	"squashfs": {"squashfs", ""},
	"erofs":    {"erofs", ""},
}

// Of says how a file system of a type of package blkid is mounted; false where it cannot be.
func Of(kind string) (Mount, bool) {
	m, ok := mounts[kind]
	return m, ok
}
