package udev

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/lazyregexp"
)

// usb is the USB device that something is or is at.
type usb struct {
	attrs     *attributes
	device    string // "" for none
	iface     string // the interface; "" for the device itself
	scsi      string // the SCSI device of a disk
	class     int64
	subclass  int64
	instances string
}

var usbInterface = lazyregexp.New(`^\d+-[0-9.]+:\d+\.\d+$`)

// usbOf finds the USB device at or above device.
func usbOf(attrs *attributes, device string) usb {
	u := usb{attrs: attrs}
	for at := device; at != "/" && at != "."; at = path.Dir(at) {
		base := path.Base(at)
		switch {
		case scsiName.MatchString(base):
			u.scsi = at
		case usbInterface.MatchString(base):
			u.iface = at
		case usbName.MatchString(base):
			u.device = at
			return u
		}
	}
	return u
}

// Interface classes and what udev calls them (USB class codes, defined by the USB-IF).
var usbTypes = map[int64]string{
	1: "audio", 2: "generic", 3: "hid", 5: "generic", 6: "media", 7: "printer", 8: "storage", 9: "hub",
	0x0e: "video",
}

// Subclasses of mass storage.
var usbStorageTypes = map[int64]string{1: "rbc", 2: "atapi", 3: "tape", 4: "floppy", 6: "scsi"}

// Types of SCSI devices (SPC-4, 6.4.2).
var scsiTypes = map[string]string{
	"0": "disk", "14": "disk", "1": "tape", "4": "optical", "7": "optical", "15": "optical", "5": "cd",
}

// identity is what a device is called.
type identity struct {
	vendor, model, revision string // as the device has them
	kind                    string
	instance                string // target and LUN: some devices say the same of all LUNs
}

// set sets the device's properties: as the device's own, and under names that begin with ID_USB_ where something else,
// ATA behind a converter, has the others.
func (u usb) set(b *builder) {
	id := u.identity()
	vendorID, modelID := u.attrs.get(u.device, "idVendor"), u.attrs.get(u.device, "idProduct")
	if vendorID == "" || modelID == "" {
		return
	}
	serialShort := u.serial()
	serial := name(id.vendor) + "_" + name(id.model)
	if serialShort != "" {
		serial += "_" + serialShort
	}
	if id.instance != "" {
		serial += "-" + id.instance
	}
	both := []string{
		"MODEL", name(id.model), "MODEL_ENC", blkid.Encode(id.model), "MODEL_ID", modelID,
		"SERIAL", serial, "SERIAL_SHORT", serialShort,
		"VENDOR", name(id.vendor), "VENDOR_ENC", blkid.Encode(id.vendor), "VENDOR_ID", vendorID,
		"REVISION", name(id.revision), "TYPE", id.kind, "INSTANCE", id.instance,
	}
	first := b.properties.Get("ID_BUS") == ""
	if first {
		b.set("ID_BUS", "usb")
	}
	for i := 0; i < len(both); i += 2 {
		if first {
			b.set("ID_"+both[i], both[i+1])
		}
		b.set("ID_USB_"+both[i], both[i+1])
	}
	b.set("ID_USB_INTERFACES", u.interfaces())
	if u.iface != "" {
		b.set("ID_USB_INTERFACE_NUM", value(u.attrs.get(u.iface, "bInterfaceNumber")))
		b.set("ID_USB_DRIVER", path.Base(u.attrs.link(u.iface, "driver")))
	}
}

// identity takes the words of the SCSI device of a disk, and else those of the USB device.
func (u usb) identity() identity {
	var id identity
	if u.iface != "" {
		class, _ := strconv.ParseInt(u.attrs.get(u.iface, "bInterfaceClass"), 16, 16)
		subclass, _ := strconv.ParseInt(u.attrs.get(u.iface, "bInterfaceSubClass"), 16, 16)
		id.kind = orGeneric(usbTypes[class])
		if class == 8 {
			id.kind = orGeneric(usbStorageTypes[subclass])
		}
		if class == 8 && (subclass == 6 || subclass == 2) && u.scsi != "" {
			id = scsiIdentity(u.attrs, u.scsi)
			numbers := scsiName.FindStringSubmatch(path.Base(u.scsi))
			id.instance = numbers[3] + ":" + numbers[4]
		}
	}
	for _, field := range []struct {
		text   *string
		attr   string
		number string
	}{
		{&id.vendor, "manufacturer", "idVendor"}, {&id.model, "product", "idProduct"}, {&id.revision, "bcdDevice", ""},
	} {
		if name(*field.text) == "" {
			*field.text = u.attrs.line(u.device, field.attr)
		}
		if *field.text == "" && field.number != "" {
			*field.text = u.attrs.get(u.device, field.number)
		}
	}
	return id
}

func orGeneric(kind string) string {
	if kind == "" {
		return "generic"
	}
	return kind
}

// serial is the device's serial number, "" where it has a character that Microsoft does not allow in one.
func (u usb) serial() string {
	serial := u.attrs.get(u.device, "serial")
	if strings.ContainsFunc(serial, func(r rune) bool { return r < 0x20 || r > 0x7f || r == ',' }) {
		return ""
	}
	return name(serial)
}

// interfaces lists the classes of all interfaces, ":080650:030101:" (USB 2.0 specification, 9.6.5).
func (u usb) interfaces() string {
	const kind, size, most = 4, 9, 64
	var list []string
	seen := map[string]bool{}
	for d := u.attrs.raw(u.device, "descriptors"); len(d) > size && len(list) < most; {
		n := int(d[0])
		if n < 3 || n > len(d) {
			break
		}
		if d[1] == kind && n >= size {
			class := fmt.Sprintf("%02x%02x%02x", d[5], d[6], d[7])
			if !seen[class] {
				list = append(list, class)
			}
			seen[class] = true
		}
		d = d[n:]
	}
	if len(list) == 0 {
		return ""
	}
	return ":" + strings.Join(list, ":") + ":"
}
