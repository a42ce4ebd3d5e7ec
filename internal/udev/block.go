package udev

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/disks"
)

// Answer is what a block device has told when it was asked.
type Answer struct {
	Content  blkid.Content
	Identity []byte // of an ATA device, 512 bytes as HDIO_GET_IDENTITY gives them; nil for others
	Medium   bool   // there is one in the drive
	Err      error  // why the content is not known, or not certain
}

// hasNoLinks says whether a block device has no links and is not looked into. Loop devices, network block devices and
// their like are what guests' disks are attached by: a guest writes what it likes on its own, and must not choose names
// in /dev/disk that dom0 trusts.
func hasNoLinks(base string) bool {
	k := disks.KindOf(base)
	return k == disks.Virtual || k == disks.Floppy || k == disks.Part
}

// probedMaps are the beginnings of the UUIDs of those device-mapper devices that are looked into, by who makes
// them: "MD-" is a RAID array without a driver of its own. What is made for a guest's disk is none of them.
var probedMaps = []string{"LVM-", "CRYPT-", "mpath-", "part", "MD-"}

// hasPrefix says whether s begins with one of the prefixes and, for names of devices, a digit follows it.
func hasPrefix(s string, prefixes []string) bool {
	for _, prefix := range prefixes {
		rest, ok := strings.CutPrefix(s, prefix)
		if ok && (strings.HasSuffix(prefix, "-") || rest != "" && rest[0] >= '0' && rest[0] <= '9') {
			return true
		}
	}
	return false
}

// probed says whether a block device is looked into. The kernel keeps a mounted partition when its card was taken out;
// each read of it would be a line on the console.
func probed(attrs *attributes, devpath string) bool {
	base := path.Base(devpath)
	switch {
	case hasNoLinks(base):
		return false
	case isMap(base):
		uuid := attrs.get(devpath, "dm/uuid")
		return hasPrefix(uuid, probedMaps) && !strings.HasPrefix(lvmLayer(uuid), "-") &&
			attrs.get(devpath, "dm/suspended") == "0"
	case attrs.get(devpath, "partition") != "":
		return attrs.get(path.Dir(devpath), "size") != "0"
	}
	return true
}

func isMap(base string) bool { return hasPrefix(base, []string{"dm-"}) }

// isArray says whether a name is one of Linux RAID: md0, md127, md_name.
func isArray(base string) bool {
	return hasPrefix(base, []string{"md"}) || strings.HasPrefix(base, "md_")
}

// blockRules are those for disks and partitions.
func blockRules(b *builder) {
	base := path.Base(b.event.DevPath)
	switch {
	case hasNoLinks(base):
		return
	case isMap(base):
		b.mapRules()
	case b.disk != nil && isArray(path.Base(b.disk.event.DevPath)), isArray(base):
		b.arrayRules()
	default:
		b.diskRules(base)
	}
	b.contentRules()
}

// diskRules are those for disks of hardware.
func (b *builder) diskRules(base string) {
	if b.event.DevType == "partition" {
		b.inherit()
		return
	}
	switch {
	case strings.HasPrefix(base, "nvme"):
		b.nvmeRules()
	case strings.HasPrefix(base, "vd"):
		serial := value(b.attr("serial"))
		b.set("ID_SERIAL", serial)
		b.link("disk/by-id", prefixed("virtio-", replaceChars(serial, "")))
	case strings.HasPrefix(base, "mmcblk"):
		b.cardRules(base)
	case strings.HasPrefix(base, "sd"), strings.HasPrefix(base, "sr"):
		b.scsiRules()
	}
	placeRules(b)
	for _, key := range []string{"ID_PATH", "ID_PATH_ATA_COMPAT"} {
		b.link("disk/by-path", b.properties.Get(key))
	}
	if id := b.properties.Get("ID_PATH"); strings.HasPrefix(base, "vd") && strings.HasPrefix(id, "pci-") {
		b.link("disk/by-path", "virtio-"+id) // from before the place told that it is virtio
	}
	b.link("disk/by-id", prefixed("wwn-", b.properties.Get("ID_WWN_WITH_EXTENSION")))
	b.link("disk/by-diskseq", b.event.Get("DISKSEQ"))
	if strings.HasPrefix(base, "sr") {
		b.set("ID_CDROM", "1")
		if b.answer != nil && b.answer.Medium {
			b.set("ID_CDROM_MEDIA", "1")
		}
		if base == "sr0" {
			b.links = append(b.links, "cdrom")
			b.priority = -100
		}
	}
}

// prefixed is prefix and text, or nothing without text.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// inherit gives a partition what its disk has: properties, and the links by name and place with the partition's number.
func (b *builder) inherit() {
	if b.disk == nil {
		return
	}
	for _, pair := range b.disk.properties {
		key, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(key, "ID_") && !strings.HasPrefix(key, "ID_FS_") {
			b.set(key, value)
		}
	}
	for _, link := range b.disk.links {
		dir := path.Dir(link)
		if dir == "disk/by-id" || dir == "disk/by-path" || dir == "disk/by-diskseq" {
			b.link(dir, path.Base(link)+"-part"+b.number())
		}
	}
}

// number is a partition's number.
func (b *builder) number() string {
	if n := b.event.Get("PARTN"); n != "" {
		return n
	}
	return b.attr("partition")
}

// nvmeRules name a namespace.
func (b *builder) nvmeRules() {
	wwid, id := value(b.attr("wwid")), value(b.attr("nsid"))
	controller := path.Dir(b.event.DevPath)
	serial, model := value(b.attrs.get(controller, "serial")), value(b.attrs.get(controller, "model"))
	b.set("ID_SERIAL_SHORT", serial)
	b.set("ID_WWN", wwid)
	b.set("ID_MODEL", model)
	b.set("ID_REVISION", value(b.attrs.get(controller, "firmware_rev")))
	b.set("ID_NSID", id)
	b.link("disk/by-id", prefixed("nvme-", replaceChars(wwid, "")))
	if serial == "" || model == "" {
		return
	}
	long := replaceChars(model+"_"+serial, "")
	b.link("disk/by-id", "nvme-"+long)
	if id != "" {
		long += "_" + replaceChars(id, "")
		b.link("disk/by-id", "nvme-"+long)
	}
	b.set("ID_SERIAL", long)
}

// cardRules name an SD card or eMMC; its boot partitions are disks of their own.
func (b *builder) cardRules(base string) {
	card := path.Dir(path.Dir(b.event.DevPath))
	serial, model := value(b.attrs.get(card, "serial")), value(b.attrs.get(card, "name"))
	if strings.Contains(base, "boot") || strings.Contains(base, "rpmb") {
		return
	}
	b.set("ID_SERIAL", serial)
	b.set("ID_NAME", model)
	if serial != "" && model != "" {
		b.link("disk/by-id", "mmc-"+replaceChars(model+"_"+serial, ""))
	}
}

// scsiRules name what is driven as SCSI: ATA, USB and SCSI itself.
func (b *builder) scsiRules() {
	if b.answer != nil && len(b.answer.Identity) == ataIdentity {
		setATA(b, b.answer.Identity)
	}
	u := usbOf(b.attrs, b.event.DevPath)
	if u.device != "" {
		u.set(b)
	}
	device := path.Dir(path.Dir(b.event.DevPath))
	if b.properties.Get("ID_SERIAL") == "" && scsiName.MatchString(path.Base(device)) && b.mayAskSCSI() {
		setSCSI(b, device)
	}
	b.link("disk/by-id", prefixed(b.properties.Get("ID_BUS")+"-", b.properties.Get("ID_SERIAL")))
	if usb := b.properties.Get("ID_USB_SERIAL"); usb != "" && b.properties.Get("ID_BUS") != "usb" {
		b.link("disk/by-id", "usb-"+usb)
	}
}

// mayAskSCSI keeps a disk on ATA that does not answer from being named as SCSI, to be renamed when it does.
func (b *builder) mayAskSCSI() bool { return b.answer != nil || ancestor(b.event.DevPath, "ata") == "" }

// contentRules tell what is on a device, and link it by that.
func (b *builder) contentRules() {
	b.partitionRules()
	if b.answer == nil {
		return
	}
	c := b.answer.Content
	b.set("ID_PART_TABLE_TYPE", c.Table.Type)
	b.set("ID_PART_TABLE_UUID", c.Table.UUID)
	if c.Type == "" || len(c.Others) > 0 {
		return
	}
	for _, p := range [][2]string{
		{"VERSION", c.Version}, {"TYPE", c.Type}, {"USAGE", string(c.Usage)},
	} {
		b.set("ID_FS_"+p[0], blkid.Encode(p[1]))
	}
	for _, p := range [][2]string{{"LABEL", c.Label}, {"UUID", c.UUID}, {"UUID_SUB", c.SubUUID}} {
		b.set("ID_FS_"+p[0], blkid.Safe(p[1]))
		b.set("ID_FS_"+p[0]+"_ENC", blkid.Encode(p[1]))
	}
	if c.Usage == blkid.RAID { // all members say the same
		return
	}
	b.link("disk/by-uuid", blkid.Encode(c.UUID))
	b.link("disk/by-label", blkid.Encode(c.Label))
}

// partitionRules tell what the disk's table says of a partition.
func (b *builder) partitionRules() {
	if b.event.DevType != "partition" || b.disk == nil || b.disk.answer == nil {
		return
	}
	number, err := strconv.Atoi(b.number())
	if err != nil {
		return
	}
	table := b.disk.answer.Content.Table
	for _, p := range table.Partitions {
		if p.Number != number {
			continue
		}
		b.set("ID_PART_ENTRY_SCHEME", table.Type)
		b.set("ID_PART_ENTRY_NAME", blkid.Encode(p.Name))
		b.set("ID_PART_ENTRY_UUID", p.UUID)
		b.set("ID_PART_ENTRY_TYPE", p.Type)
		if p.Flags != 0 {
			b.set("ID_PART_ENTRY_FLAGS", fmt.Sprintf("%#x", p.Flags))
		}
		b.set("ID_PART_ENTRY_NUMBER", strconv.Itoa(p.Number))
		b.set("ID_PART_ENTRY_OFFSET", strconv.FormatInt(p.Start, 10))
		b.set("ID_PART_ENTRY_SIZE", strconv.FormatInt(p.Sectors, 10))
		b.set("ID_PART_ENTRY_DISK", b.disk.event.Get("MAJOR")+":"+b.disk.event.Get("MINOR"))
		b.link("disk/by-partuuid", p.UUID)
		b.link("disk/by-partlabel", blkid.Encode(p.Name))
	}
}
