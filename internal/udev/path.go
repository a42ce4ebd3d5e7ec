package udev

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/lazyregexp"
)

// The places of devices are told by their names in sysfs, which the kernel gives by fixed rules, so that most of a path
// is known without reading anything.
var (
	pciName    = lazyregexp.New(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$`)
	usbName    = lazyregexp.New(`^(usb\d+|\d+-[0-9.]+(:\d+\.\d+)?)$`)
	scsiName   = lazyregexp.New(`^(\d+):(\d+):(\d+):(\d+)$`)
	virtioName = lazyregexp.New(`^virtio\d+$`)
	nvmeName   = lazyregexp.New(`^nvme\d+$`)
	// What is on no bus of its own: parts of a SCSI transport, and directories that are no devices.
	noBus = lazyregexp.New(`^(host\d+|target\d+:\d+:\d+|ata\d+|block|net|tty|nvme|pci[0-9a-f]+:[0-9a-f]+)$`)
)

// place is where a device is, put together from the device up to the root.
type place struct {
	attrs     *attributes
	device    string   // whose place it is
	parts     []string // the innermost first
	compat    []string // as udev wrote it for ATA before it knew master and slave
	parent    bool     // something was found on the way whose name is unique
	transport bool
}

// pathID returns the place of a device in the words of udev's path_id (ID_PATH), and that in its older words for a
// disk on ATA. "" is a place that cannot be named for good: only by numbers that the kernel counts.
func pathID(attrs *attributes, device, subsystem string) (id, compat string) {
	p := place{attrs: attrs, device: device}
	for at := device; at != "/" && at != "." && at != "/devices"; at = path.Dir(at) {
		next, ok := p.step(at)
		if !ok {
			return "", ""
		}
		at = next
	}
	if !p.parent || len(p.parts) == 0 || subsystem == "block" && !p.transport {
		return "", ""
	}
	slices.Reverse(p.parts)
	id = strings.Join(p.parts, "-")
	if len(p.compat) > 0 {
		slices.Reverse(p.compat)
		compat = strings.Join(p.compat, "-")
	}
	return id, compat
}

// pathTag makes a tag of a place: letters, digits and "-", everything else "_".
func pathTag(id string) string {
	words := strings.FieldsFunc(id, func(r rune) bool {
		return !(r < 0x80 && allowed(byte(r), "") && strings.IndexByte("#+.:=@_", byte(r)) < 0)
	})
	return strings.Join(words, "_")
}

// step takes in the device at and returns the last of those that it spoke for; false where the place has no name.
func (p *place) step(at string) (last string, ok bool) {
	base := path.Base(at)
	switch {
	case pciName.MatchString(base):
		return p.prepend(at, "pci-"+base, pciName), true
	case usbName.MatchString(base):
		return p.usb(at, base), true
	case scsiName.MatchString(base):
		return p.scsi(at, base)
	case virtioName.MatchString(base):
		p.transport = true
		return at, true
	case nvmeName.MatchString(base):
		return p.nvme(at), true
	case at == p.device, noBus.MatchString(base):
		return at, true
	}
	return p.other(at, base), true
}

// prepend puts a name in front and passes over the parents that are of the same kind.
func (p *place) prepend(at, name string, kind *lazyregexp.Regexp) string {
	p.parts = append(p.parts, name)
	if len(p.compat) > 0 {
		p.compat = append(p.compat, name)
	}
	p.parent = true
	return skip(at, kind)
}

func skip(at string, kind *lazyregexp.Regexp) string {
	for kind.MatchString(path.Base(path.Dir(at))) {
		at = path.Dir(at)
	}
	return at
}

// usb names a USB device by its ports, without the number of the bus, which changes. A root hub is at its controller.
func (p *place) usb(at, base string) string {
	p.transport = true
	_, ports, ok := strings.Cut(base, "-")
	if !ok {
		return at
	}
	p.parts = append(p.parts, "usb-0:"+ports)
	return skip(at, usbName)
}

// nvme names a namespace, which may be at several controllers.
func (p *place) nvme(at string) string {
	id := p.attrs.get(p.device, "nsid")
	if id == "" {
		return at
	}
	p.parts = append(p.parts, "nvme-"+value(id))
	p.parent, p.transport = true, true
	return at
}

// others are buses whose devices have names that last, and whether they are a transport.
var others = map[string]bool{"platform": true, "acpi": false, "xen": false}

// other looks up what bus a device is on whose name does not tell.
func (p *place) other(at, base string) string {
	subsystem := p.attrs.subsystem(at)
	switch transport, known := others[subsystem]; {
	case known:
		p.parts = append(p.parts, subsystem+"-"+base)
		if len(p.compat) > 0 {
			p.compat = append(p.compat, subsystem+"-"+base)
		}
		p.parent, p.transport = true, p.transport || transport
		for p.attrs.subsystem(path.Dir(at)) == subsystem {
			at = path.Dir(at)
		}
	case subsystem == "serio":
		p.parts = append(p.parts, "serio-"+strings.TrimPrefix(base, "serio"))
	case subsystem == "nvme-subsystem":
		return p.nvmeSubsystem(at)
	}
	return at
}

// nvmeSubsystem goes on at a controller of a namespace that has several.
func (p *place) nvmeSubsystem(at string) string {
	controller := regexp.MustCompile(`^nvme\d+`).FindString(path.Base(p.device))
	real := p.attrs.link("/class/nvme", controller)
	if controller == "" || real == "" {
		return at
	}
	return p.nvme(real)
}

// scsi names a SCSI device in the words of its transport.
func (p *place) scsi(at, base string) (string, bool) {
	numbers := make([]int, 4)
	for i, s := range scsiName.FindStringSubmatch(base)[1:] {
		numbers[i], _ = strconv.Atoi(s) // digits; too many give the largest number
	}
	host, bus, target, lun := numbers[0], numbers[1], numbers[2], numbers[3]
	p.transport = true
	switch {
	case strings.Contains(at, "/end_device-"):
		return at, p.sas(at, lunName(lun))
	case strings.Contains(at, "/session"):
		return at, p.iscsi(at, lunName(lun))
	case strings.Contains(at, "/rport-"): // Fibre Channel, of which the disc has no drivers
		return at, false
	case strings.Contains(at, "/ata"):
		return at, p.ata(at, bus, target)
	case strings.Contains(strings.ToLower(at), "/vmbus"):
		return at, p.hyperv(at, lunName(lun))
	}
	dir := ancestor(at, "host")
	if dir == "" {
		return at, false
	}
	p.parts = append(p.parts, fmt.Sprintf("scsi-%d:%d:%d:%d", host-p.firstHost(path.Dir(dir)), bus, target, lun))
	return dir, true
}

// lunName writes a LUN; those from 256 on in the form of SCSI's own eight bytes.
func lunName(lun int) string {
	if lun < 256 {
		return fmt.Sprintf("lun-%d", lun)
	}
	return fmt.Sprintf("lun-0x%04x%04x00000000", lun&0xffff, lun>>16&0xffff)
}

// ancestor returns the nearest device above whose name begins with prefix, "" where there is none.
func ancestor(at, prefix string) string {
	for at = path.Dir(at); at != "/" && at != "."; at = path.Dir(at) {
		if strings.HasPrefix(path.Base(at), prefix) {
			return at
		}
	}
	return ""
}

// firstHost is the lowest number of a SCSI host at the controller dir: hosts are counted over all controllers.
func (p *place) firstHost(dir string) int {
	first := -1
	for _, name := range p.attrs.list(dir, "") {
		number, ok := strings.CutPrefix(name, "host")
		if n, err := strconv.Atoi(number); ok && err == nil && (first < 0 || n < first) {
			first = n
		}
	}
	return max(first, 0)
}

// ata names a disk by the port of its controller and, there, master or slave, or the port of a multiplier.
func (p *place) ata(at string, bus, target int) bool {
	port := ancestor(at, "ata")
	number := p.attrs.get(port, path.Join("ata_port", path.Base(port), "port_no"))
	if port == "" || number == "" {
		return false
	}
	name := fmt.Sprintf("ata-%s.%d", value(number), target)
	if bus != 0 {
		name = fmt.Sprintf("ata-%s.%d.0", value(number), bus)
	}
	p.parts = append(p.parts, name)
	p.compat = append(p.compat, "ata-"+value(number))
	return true
}

// sas names a disk by the phy it is at, one at an expander by that, one at several phys by its own address.
func (p *place) sas(at, lun string) bool {
	end := ancestor(at, "end_device-")
	port := path.Dir(end)
	class := func(device, name string) string {
		return value(p.attrs.get("/class/sas_device/"+path.Base(device), name))
	}
	p.parent = true
	if p.attrs.get("/class/sas_port/"+path.Base(port), "num_phys") != "1" {
		address := class(end, "sas_address")
		p.parts = append(p.parts, "sas-"+address+"-"+lun)
		return address != ""
	}
	phy := class(end, "phy_identifier")
	if phy == "" {
		return false
	}
	name := "sas-phy" + phy + "-" + lun
	if expander := class(path.Dir(port), "sas_address"); expander != "" {
		name = "sas-exp" + expander + "-phy" + phy + "-" + lun
	}
	p.parts = append(p.parts, name)
	return true
}

// iscsi names a disk by its portal and target.
func (p *place) iscsi(at, lun string) bool {
	session := path.Base(ancestor(at, "session"))
	connection := "/class/iscsi_connection/connection" + strings.TrimPrefix(session, "session") + ":0"
	target := p.attrs.get("/class/iscsi_session/"+session, "targetname")
	address := p.attrs.get(connection, "persistent_address")
	port := p.attrs.get(connection, "persistent_port")
	if target == "" || address == "" || port == "" {
		return false
	}
	p.parent = true
	p.parts = append(p.parts, replaceChars(fmt.Sprintf("ip-%s:%s-iscsi-%s-%s", address, port, target, lun), ""))
	return true
}

// hyperv names a disk by its controller's GUID.
func (p *place) hyperv(at, lun string) bool {
	id := p.attrs.get(path.Dir(ancestor(at, "host")), "device_id")
	guid := strings.ReplaceAll(strings.Trim(id, "{}"), "-", "")
	if guid == "" {
		return false
	}
	p.parts = append(p.parts, "vmbus-"+value(guid)+"-"+lun)
	return true
}
