package udev

import (
	"path"
	"slices"
	"strings"
)

// mapRules name a device of the device mapper. The kernel calls it dm-0; who made it gave it a name.
func (b *builder) mapRules() {
	label, uuid := b.attr("dm/name"), b.attr("dm/uuid")
	if label == "" { // no table was loaded yet: a "change" follows
		return
	}
	b.set("DM_NAME", value(label))
	b.set("DM_UUID", value(uuid))
	b.set("DM_SUSPENDED", b.attr("dm/suspended"))
	b.link("mapper", replaceChars(label, ""))
	b.link("disk/by-id", "dm-name-"+replaceChars(label, ""))
	b.link("disk/by-id", prefixed("dm-uuid-", replaceChars(uuid, "")))
	if !strings.HasPrefix(uuid, "LVM-") {
		return
	}
	group, volume, layer := splitLVM(label)
	b.set("DM_VG_NAME", value(group))
	b.set("DM_LV_NAME", value(volume))
	b.set("DM_LV_LAYER", value(layer))
	if layer == "" && lvmLayer(uuid) == "" && validGroup(group) && !strings.HasPrefix(volume, "pvmove") {
		b.link(group, replaceChars(volume, ""))
	}
}

// lvmLayer returns what follows the two ids in the UUID of a logical volume: "-real", "-cow" and the like for the parts
// of one that nobody should use.
func lvmLayer(uuid string) string {
	const ids = len("LVM-") + 32 + 32
	if !strings.HasPrefix(uuid, "LVM-") || len(uuid) < ids {
		return ""
	}
	return uuid[ids:]
}

// splitLVM takes apart a name of LVM's: group-volume-layer. A "-" in one of them is doubled.
func splitLVM(label string) (group, volume, layer string) {
	const mark = "\x00" // in no name
	parts := strings.SplitN(strings.ReplaceAll(label, "--", mark), "-", 3)
	parts = append(parts, "", "")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], mark, "-")
	}
	return parts[0], parts[1], parts[2]
}

// validGroup says whether a volume group may have a directory in /dev: the names that LVM allows (lvm(8), "VALID
// NAMES") but those of directories that have another purpose. Foreign media choose them.
func validGroup(group string) bool {
	plain := func(r rune) bool { return r < 0x80 && allowed(byte(r), "") && !strings.ContainsRune("#:=@", r) }
	return group != "" && group != "." && group != ".." && group[0] != '-' && len(group) <= 127 &&
		!strings.ContainsFunc(group, func(r rune) bool { return !plain(r) }) && !slices.Contains(reserved, group)
}

// arrayRules name an array of Linux RAID, or a partition on one, by what its members say: the kernel only counts.
func (b *builder) arrayRules() {
	if b.event.DevType == "partition" {
		b.arrayPartition()
		return
	}
	member := b.known.member(b.slaves())
	b.member = member != nil
	if state := b.attr("md/array_state"); state == "" || state == "clear" || state == "inactive" {
		return
	}
	b.priority = 100
	b.set("MD_LEVEL", value(b.attr("md/level")))
	if member == nil {
		return
	}
	c := member.answer.Content
	b.set("MD_METADATA", value(b.attr("md/metadata_version")))
	b.set("MD_UUID", colons(c.UUID))
	b.set("MD_NAME", value(c.Label))
	b.link("disk/by-id", prefixed("md-name-", replaceChars(c.Label, "")))
	b.link("disk/by-id", prefixed("md-uuid-", b.properties.Get("MD_UUID")))
	short := c.Label[strings.LastIndex(c.Label, ":")+1:] // without the host's name
	b.set("MD_DEVNAME", value(short))
	b.link("md", replaceChars(short, ""))
}

// slaves lists what a device is made of: disks and partitions, where it reads those through loop devices.
func (b *builder) slaves() []string {
	names := b.attrs.list(b.event.DevPath, "slaves")
	for i, name := range names {
		if backing := b.attrs.line("/devices/virtual/block/"+name, "loop/backing_file"); backing != "" {
			names[i] = path.Base(backing)
		}
	}
	return names
}

// arrayPartition names a partition on an array like the array.
func (b *builder) arrayPartition() {
	b.priority = 100
	if b.disk == nil {
		return
	}
	for _, link := range b.disk.links {
		switch dir, base := path.Dir(link), path.Base(link); {
		case dir == "disk/by-id":
			b.link(dir, base+"-part"+b.number())
		case dir == "md" && strings.Contains("0123456789", base[len(base)-1:]):
			b.link(dir, base+"p"+b.number())
		case dir == "md":
			b.link(dir, base+b.number())
		}
	}
}

// colons writes an array's UUID as mdadm does.
func colons(uuid string) string {
	digits := strings.ReplaceAll(uuid, "-", "")
	if len(digits) != 32 {
		return ""
	}
	return digits[:8] + ":" + digits[8:16] + ":" + digits[16:24] + ":" + digits[24:]
}
