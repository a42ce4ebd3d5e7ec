package udev

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/zerodisc/zerodisc/internal/blkid"
)

// scsiIdentity is what a SCSI device says of itself (SPC-4, 6.4.2), as sysfs has it.
func scsiIdentity(attrs *attributes, device string) identity {
	return identity{
		vendor: attrs.line(device, "vendor"), model: attrs.line(device, "model"), revision: attrs.line(device, "rev"),
		kind: orGeneric(scsiTypes[attrs.get(device, "type")]),
	}
}

// setSCSI sets the properties that udev's scsi_id finds. The pages of vital product data that it asks the device for
// are in sysfs, where the kernel has read them.
func setSCSI(b *builder, device string) {
	id := scsiIdentity(b.attrs, device)
	b.set("ID_SCSI", "1")
	b.set("ID_VENDOR", name(id.vendor))
	b.set("ID_VENDOR_ENC", blkid.Encode(id.vendor))
	b.set("ID_MODEL", name(id.model))
	b.set("ID_MODEL_ENC", blkid.Encode(id.model))
	b.set("ID_REVISION", name(id.revision))
	b.set("ID_TYPE", id.kind)
	b.set("ID_BUS", "scsi")
	page80, page83 := []byte(b.attrs.raw(device, "vpd_pg80")), []byte(b.attrs.raw(device, "vpd_pg83"))
	unit := scsiUnitSerial(page80)
	serial := scsiSerial(page83, id)
	if serial.long == "" && unit != "" {
		serial = scsiNumber{long: "S" + pad(id.vendor, 8) + pad(id.model, 16) + unit, short: unit}
	}
	b.set("ID_SERIAL", name(serial.long))
	b.set("ID_SERIAL_SHORT", name(serial.short))
	b.set("ID_SCSI_SERIAL", value(unit))
	if serial.wwn != "" {
		b.set("ID_WWN", "0x"+serial.wwn)
		b.set("ID_WWN_WITH_EXTENSION", "0x"+serial.wwn+serial.extension)
		if serial.extension != "" {
			b.set("ID_WWN_VENDOR_EXTENSION", "0x"+serial.extension)
		}
	}
}

// pad makes a text n bytes long.
func pad(s string, n int) string { return fmt.Sprintf("%-*.*s", n, n, s) }

// scsiPage returns the contents of a page of vital product data, nil if it is no such page.
func scsiPage(page []byte, code byte) []byte {
	if len(page) < 4 || page[1] != code {
		return nil
	}
	return page[4:min(len(page), 4+int(binary.BigEndian.Uint16(page[2:])))]
}

// scsiUnitSerial reads the page of the unit's serial number (SPC-4, 7.8.15).
func scsiUnitSerial(page []byte) string {
	text, _, _ := strings.Cut(string(scsiPage(page, 0x80)), "\x00")
	return text
}

// scsiNumber is what a SCSI device is known by.
type scsiNumber struct {
	long, short    string
	wwn, extension string // hexadecimal digits
}

// Designators of the page of device identification (SPC-4, 7.8.5).
const (
	scsiVendorSpecific = 0
	scsiT10Vendor      = 1
	scsiEUI64          = 2
	scsiNAA            = 3
	scsiASCII          = 2 // code set; 1 is binary
	anyNAA             = 0xff
)

// scsiPreferred are the designators by which a device is known, the best first: which one shall not depend on their
// order in the page.
var scsiPreferred = []struct{ kind, naa byte }{
	{scsiNAA, 6}, {scsiNAA, 5}, {scsiNAA, anyNAA}, {scsiEUI64, anyNAA}, {scsiT10Vendor, anyNAA},
	{scsiVendorSpecific, anyNAA},
}

// scsiSerial reads the page of device identification as udev's scsi_id does.
func scsiSerial(page []byte, id identity) scsiNumber {
	all := scsiPage(page, 0x83)
	if len(all) > 2 && all[2] != 0 { // as SCSI-2 had it: one number
		return scsiNumber{long: "3" + hex.EncodeToString(all), short: "3" + hex.EncodeToString(all)}
	}
	for _, preferred := range scsiPreferred {
		for _, set := range []byte{1, scsiASCII} {
			for d := all; len(d) >= 4 && len(d) >= 4+int(d[3]); d = d[4+int(d[3]):] {
				kind, value := d[1]&0xf, d[4:4+int(d[3])]
				if kind != preferred.kind || d[0]&0xf != set || d[1]&0x30 != 0 || len(value) == 0 {
					continue
				}
				if preferred.naa == anyNAA || value[0]>>4 == preferred.naa {
					return scsiDesignator(kind, set, value, id)
				}
			}
		}
	}
	return scsiNumber{}
}

func scsiDesignator(kind, set byte, value []byte, id identity) scsiNumber {
	short := hex.EncodeToString(value)
	if set == scsiASCII {
		short, _, _ = strings.Cut(string(value), "\x00")
	}
	n := scsiNumber{long: fmt.Sprintf("%x", kind) + short, short: short}
	switch kind {
	case scsiVendorSpecific: // others may have the same
		n.long = "0" + pad(id.vendor, 8) + pad(id.model, 16) + short
	case scsiNAA:
		if set != scsiASCII {
			n.wwn, n.extension = short[:min(16, len(short))], short[min(16, len(short)):]
		}
	}
	return n
}

// ataIdentity is the size of what HDIO_GET_IDENTITY gives: 256 words (ACS-4, 7.13.6), of which the kernel has put the
// texts in order.
const ataIdentity = 512

// setATA sets the properties that udev's ata_id finds.
func setATA(b *builder, id []byte) {
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(id[2*n:]) }
	text := func(n, size int) string {
		s, _, _ := strings.Cut(string(id[2*n:2*n+size]), "\x00")
		return s
	}
	model, serial := name(text(27, 40)), name(text(10, 20))
	b.set("ID_ATA", "1")
	b.set("ID_TYPE", "disk")
	if word(0)&0x8000 != 0 { // ATAPI
		b.set("ID_TYPE", orGeneric(scsiTypes[fmt.Sprint(word(0)>>8&0x1f)]))
	}
	b.set("ID_BUS", "ata")
	b.set("ID_MODEL", model)
	b.set("ID_MODEL_ENC", blkid.Encode(text(27, 40)))
	b.set("ID_REVISION", name(text(23, 8)))
	b.set("ID_SERIAL", strings.Trim(model+"_"+serial, "_"))
	b.set("ID_SERIAL_SHORT", serial)
	if rate := word(217); rate == 1 {
		b.set("ID_ATA_ROTATION_RATE_RPM", "0")
	} else if rate >= 0x401 && rate != 0xffff {
		b.set("ID_ATA_ROTATION_RATE_RPM", fmt.Sprint(rate))
	}
	if word(108)>>12 == 5 { // a name that IEEE has given
		wwn := fmt.Sprintf("0x%04x%04x%04x%04x", word(108), word(109), word(110), word(111))
		b.set("ID_WWN", wwn)
		b.set("ID_WWN_WITH_EXTENSION", wwn)
	}
}
