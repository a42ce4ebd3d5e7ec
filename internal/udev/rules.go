package udev

import (
	"path"
	"strings"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// description is what the rules say of a device.
type description struct {
	properties Properties // besides the kernel's own
	links      []string   // below /dev
	priority   int        // of the links
	altNames   []string   // of a network interface
	member     bool       // of an array of Linux RAID: one of its members is known
}

// rules make the properties and links of a device, by its subsystem: those of udev's default rules that somebody
// reads on this host. What udev knows of input devices, sound, video, cameras and tapes is left out, and so is its
// database of hardware, which gives products readable names.
var rules = map[string]func(*builder){
	"block": blockRules,
	"net":   netRules,
	"tty":   ttyRules,
	"usb":   usbRules,
	"pci":   placeRules,
}

// Concerns says whether an event is about a device that may have links or an entry in the database. The devices of
// one kind that come and go while events are lost have to be looked for.
func Concerns(e uevent.Event) bool { return rules[e.Subsystem] != nil }

// builder is a device while its description is made.
type builder struct {
	description
	attrs  *attributes
	event  uevent.Event
	answer *Answer  // what the device has told; nil where it was not asked or has not answered
	disk   *record  // of a partition: the disk
	known  *records // the others
}

// set sets a property.
func (b *builder) set(key, value string) { b.properties.Set(key, value) }

// attr reads an attribute of the device.
func (b *builder) attr(name string) string { return b.attrs.get(b.event.DevPath, name) }

// link adds a link, unless a part of it is empty or no name of a file. The last part may be anything else.
func (b *builder) link(parts ...string) {
	const maxName = 255
	last := parts[len(parts)-1]
	if last == "" || last == "." || last == ".." || strings.ContainsAny(last, "/\x00") || len(last) > maxName {
		return
	}
	b.links = append(b.links, path.Join(parts...))
}

// build makes the description of a device.
func build(b *builder) description {
	if rule := rules[b.event.Subsystem]; rule != nil {
		rule(b)
	}
	return b.description
}

// placeRules say where a device is.
func placeRules(b *builder) {
	id, compat := pathID(b.attrs, b.event.DevPath, b.event.Subsystem)
	b.set("ID_PATH", id)
	b.set("ID_PATH_TAG", pathTag(id))
	b.set("ID_PATH_ATA_COMPAT", compat)
}

// usbRules are those for USB devices; their interfaces are told by the devices at them.
func usbRules(b *builder) {
	if b.event.DevType == "usb_device" {
		if u := usbOf(b.attrs, b.event.DevPath); u.device != "" {
			u.set(b)
		}
	}
	placeRules(b)
}

// pciBus sets what a device on the PCI bus is, where nothing nearer has told.
func (b *builder) pciBus() {
	if b.properties.Get("ID_BUS") != "" {
		return
	}
	for at := path.Dir(b.event.DevPath); at != "/" && at != "."; at = path.Dir(at) {
		if pciName.MatchString(path.Base(at)) {
			b.set("ID_BUS", "pci")
			b.set("ID_VENDOR_ID", b.attrs.get(at, "vendor"))
			b.set("ID_MODEL_ID", b.attrs.get(at, "device"))
			return
		}
	}
}

// ttyRules are those for serial ports. What is at USB has links.
func ttyRules(b *builder) {
	u := usbOf(b.attrs, b.event.DevPath)
	if u.device != "" {
		u.set(b)
	}
	b.pciBus()
	base := path.Base(b.event.DevPath)
	if !strings.HasPrefix(base, "ttyUSB") && !strings.HasPrefix(base, "ttyACM") {
		return
	}
	port := b.attrs.get(path.Dir(path.Dir(b.event.DevPath)), "port_number") // of a converter
	suffix := ""
	if port != "" {
		suffix = "-port" + name(port)
	}
	placeRules(b)
	if id := b.properties.Get("ID_PATH"); id != "" {
		b.link("serial/by-path", id+suffix)
	}
	serial, number := b.properties.Get("ID_SERIAL"), b.properties.Get("ID_USB_INTERFACE_NUM")
	if serial != "" && number != "" {
		b.link("serial/by-id", b.properties.Get("ID_BUS")+"-"+serial+"-if"+number+suffix)
	}
}
