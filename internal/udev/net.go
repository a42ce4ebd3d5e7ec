package udev

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/lazyregexp"
)

// maxAltName is how long an interface's alternative name may be (ALTIFNAMSIZ of Linux, with its NUL).
const maxAltName = 127

// Types of network hardware (linux/if_arp.h) and the beginnings of their names.
var netPrefixes = map[string]string{"1": "en", "32": "ib"}

// netPrefixesByKind are those of Ethernet's relatives, by DEVTYPE.
var netPrefixesByKind = map[string]string{"wlan": "wl", "wwan": "ww"}

// netRules give a network interface the names that do not change when others come or go, as
// systemd.net-naming-scheme(7) makes them of its place, of what the firmware calls it, and of its address. The
// interface keeps the kernel's name; these become alternative names.
func netRules(b *builder) {
	placeRules(b)
	if u := usbOf(b.attrs, b.event.DevPath); u.device != "" {
		u.set(b)
	}
	b.pciBus()
	if driver := b.attrs.link(b.event.DevPath, "device/driver"); driver != "" {
		b.set("ID_NET_DRIVER", path.Base(driver))
	}
	prefix := netPrefixes[b.attr("type")]
	if kind := netPrefixesByKind[b.event.DevType]; kind != "" && prefix != "" {
		prefix = kind
	}
	if prefix == "" || b.attr("iflink") != b.event.Get("IFINDEX") { // what lies on top of another one: a VLAN
		return
	}
	n := netNames{attrs: b.attrs, device: b.event.DevPath}
	n.find()
	b.set("ID_NET_NAMING_SCHEME", "v252")
	for _, p := range []struct{ key, name string }{
		{"ID_NET_NAME_ONBOARD", n.onboard()}, {"ID_NET_NAME_SLOT", n.slot()}, {"ID_NET_NAME_PATH", n.path()},
		{"ID_NET_NAME_MAC", n.mac()},
	} {
		if p.name == "" {
			continue
		}
		full := prefix + p.name
		b.set(p.key, full)
		if len(full) <= maxAltName && full != b.event.Interface && n.hardware() {
			b.altNames = append(b.altNames, full)
		}
	}
	b.set("ID_NET_LABEL_ONBOARD", n.label())
}

// netNames finds the names of an interface.
type netNames struct {
	attrs  *attributes
	device string
	pci    string // the device on the PCI bus that it is at; "" for none
	direct bool   // and nothing is in between
	usb    string // what a USB interface adds
	vf     string // what a virtual function adds to the names of the physical one, whose device is pci
	port   string // of several at one device
}

// hardware says whether there is a card behind the interface. Behind a guest's vif there is the guest, and all vifs
// have the same address.
func (n *netNames) hardware() bool {
	device := n.attrs.link(n.device, "device")
	return device != "" && n.attrs.subsystem(device) != "xen-backend"
}

var pciAddress = lazyregexp.New(`^([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)\.([0-9])$`)

// find finds out what the interface is at.
func (n *netNames) find() {
	for at := path.Dir(path.Dir(n.device)); at != "/" && at != "."; at = path.Dir(at) {
		switch base := path.Base(at); {
		case pciName.MatchString(base):
			n.pci = at
		case usbInterface.MatchString(base):
			n.usb = usbPorts(base)
		}
		if n.pci != "" {
			break
		}
	}
	parent := path.Dir(path.Dir(n.device))
	for virtioName.MatchString(path.Base(parent)) {
		parent = path.Dir(parent)
	}
	n.direct = n.pci != "" && n.pci == parent
	if n.pci == "" {
		return
	}
	n.findPort()
	n.findPhysical()
}

// usbPorts writes an interface's place at USB: the ports, and where they are not the usual ones configuration and
// interface.
func usbPorts(base string) string {
	_, rest, _ := strings.Cut(base, "-")
	ports, rest, _ := strings.Cut(rest, ":")
	configuration, number, _ := strings.Cut(rest, ".")
	text := "u" + strings.ReplaceAll(ports, ".", "u")
	if configuration != "1" {
		text += "c" + configuration
	}
	if number != "0" {
		text += "i" + number
	}
	return text
}

// findPort tells apart the ports of one PCI function.
func (n *netNames) findPort() {
	name := n.attrs.get(n.device, "phys_port_name")
	var physical, virtual int
	if _, err := fmt.Sscanf(name, "pf%dvf%d", &physical, &virtual); err == nil { // stands for a virtual function
		n.port = fmt.Sprintf("r%d", virtual)
		return
	}
	switch port, _ := strconv.ParseUint(n.attrs.get(n.device, "dev_port"), 10, 32); {
	case name != "":
		n.port = "n" + replaceChars(name, "")
	case port > 0:
		n.port = fmt.Sprintf("d%d", port)
	}
}

// findPhysical goes from a virtual function to the physical one (SR-IOV).
func (n *netNames) findPhysical() {
	physical := n.attrs.link(n.pci, "physfn")
	if physical == "" {
		return
	}
	for _, name := range n.attrs.list(physical, "") {
		number, ok := strings.CutPrefix(name, "virtfn")
		if ok && n.attrs.link(physical, name) == n.pci {
			n.pci, n.vf = physical, "v"+number
			return
		}
	}
}

// address takes apart the PCI address of device: domain, bus, slot and function, which is told only where it tells
// something.
func (n *netNames) address() (domain, bus, slot uint64, function string, ok bool) {
	m := pciAddress.FindStringSubmatch(path.Base(n.pci))
	if m == nil {
		return 0, 0, 0, "", false
	}
	domain, _ = strconv.ParseUint(m[1], 16, 32)
	bus, _ = strconv.ParseUint(m[2], 16, 32)
	slot, _ = strconv.ParseUint(m[3], 16, 32)
	number, _ := strconv.ParseUint(m[4], 10, 32)
	if n.attrs.get(n.pci, "ari_enabled") == "1" { // one number of eight bits
		number += slot * 8
	}
	if number > 0 || n.multifunction(n.pci) {
		function = fmt.Sprintf("f%d", number)
	}
	return domain, bus, slot, function, true
}

// multifunction reads bit 7 of the header type in a device's configuration space (PCI Local Bus Specification 3.0,
// 6.2.1).
func (n *netNames) multifunction(device string) bool {
	const headerType = 0x0e
	config := n.attrs.raw(device, "config")
	return len(config) > headerType && config[headerType]&0x80 != 0
}

// path is the name after the place on the PCI bus.
func (n *netNames) path() string {
	domain, bus, slot, function, ok := n.address()
	if !ok || !n.direct && n.usb == "" {
		return ""
	}
	return domainName(domain) + fmt.Sprintf("p%ds%d%s", bus, slot, function) + n.port + n.vf + n.usb
}

func domainName(domain uint64) string {
	if domain == 0 {
		return ""
	}
	return fmt.Sprintf("P%d", domain)
}

// slot is the name after the number of the slot that the firmware gives, which is often printed on the case.
func (n *netNames) slot() string {
	domain, _, _, function, ok := n.address()
	if !ok || !n.direct && n.usb == "" {
		return ""
	}
	slot := n.hotplugSlot()
	if slot == "" {
		return ""
	}
	return domainName(domain) + "s" + slot + function + n.port + n.vf + n.usb
}

// hotplugSlot finds the slot that the device, or a bridge above it, is in. Below a bridge there may be several
// devices: it counts only where their functions tell them apart.
func (n *netNames) hotplugSlot() string {
	const slots = "/bus/pci/slots"
	byAddress := map[string]string{}
	for _, number := range n.attrs.list(slots, "") {
		if value, err := strconv.ParseUint(number, 10, 32); err == nil && value > 0 {
			byAddress[n.attrs.get(slots+"/"+number, "address")] = number
		}
	}
	for at := n.pci; len(byAddress) > 0 && at != "/" && at != "."; at = path.Dir(at) {
		address, _, isFunction := strings.Cut(path.Base(at), ".")
		slot, known := byAddress[address]
		if !isFunction || !known || !pciName.MatchString(path.Base(at)) {
			continue
		}
		if n.isBridge(at) && !n.multifunction(n.pci) {
			return ""
		}
		return slot
	}
	return ""
}

// isBridge reads the class in a device's alias: 06 04 is a bridge between PCI buses.
func (n *netNames) isBridge(device string) bool {
	alias := n.attrs.get(device, "modalias")
	i := strings.LastIndex(alias, "sc")
	return strings.HasPrefix(alias, "pci:") && i > 0 && strings.HasPrefix(alias[i:], "sc04")
}

// onboard is the name after the number that the firmware gives to what is on the board.
func (n *netNames) onboard() string {
	const most = 1<<16 - 1 // firmware that does not know says more
	if !n.direct {
		return ""
	}
	text := n.attrs.get(n.pci, "acpi_index")
	if text == "" {
		text = n.attrs.get(n.pci, "index")
	}
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil || number > most {
		return ""
	}
	return fmt.Sprintf("o%d", number) + n.port + n.vf
}

// label is what the firmware calls it.
func (n *netNames) label() string {
	if !n.direct {
		return ""
	}
	return value(n.attrs.get(n.pci, "label"))
}

// mac is the name after the hardware's own address.
func (n *netNames) mac() string {
	const permanent = "0" // NET_ADDR_PERM of Linux
	digits := strings.ReplaceAll(n.attrs.get(n.device, "address"), ":", "")
	if n.attrs.get(n.device, "addr_assign_type") != permanent || len(digits) != 12 {
		return ""
	}
	return "x" + digits
}
