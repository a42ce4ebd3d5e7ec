package udev

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// fixture is a device of the machine that the tests look at.
type fixture struct {
	path      string // below /devices
	subsystem string // "" for a directory that is no device of a class or bus
	uevent    string
	attrs     map[string]string
	links     map[string]string // to devices, by their paths
}

const (
	ahci  = "pci0000:00/0000:00:1f.2"
	xhci  = "pci0000:00/0000:00:14.0"
	stick = xhci + "/usb1/1-2"
	hub   = xhci + "/usb1/1-3"
	sata  = ahci + "/ata3/host2/target2:0:0/2:0:0:0"
	cd    = ahci + "/ata4/host3/target3:0:1/3:0:1:0"
)

// page makes a page of vital product data.
func page(code byte, content string) string {
	return string([]byte{0, code, 0, byte(len(content))}) + content
}

// fixtures are a machine with one of everything.
var fixtures = []fixture{
	{ahci, "pci", "PCI_ID=8086:2922\n", map[string]string{"vendor": "0x8086\n", "device": "0x2922\n"}, nil},
	{ahci + "/ata3", "", "", nil, nil},
	{ahci + "/ata3/ata_port/ata3", "ata_port", "", map[string]string{"port_no": "3\n"}, nil},
	{ahci + "/ata3/host2", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{ahci + "/ata3/host2/target2:0:0", "scsi", "DEVTYPE=scsi_target\n", nil, nil},
	{sata, "scsi", "DEVTYPE=scsi_device\n", map[string]string{
		"vendor": "ATA     \n", "model": "QEMU HARDDISK   \n", "rev": "2.5+\n", "type": "0\n", "scsi_level": "6\n",
	}, nil},
	{sata + "/block/sda", "block", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\nDISKSEQ=9\n",
		map[string]string{"removable": "0\n"}, nil},
	{sata + "/block/sda/sda1", "block", "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\nDISKSEQ=9\nPARTN=1\n",
		map[string]string{"partition": "1\n"}, nil},
	{sata + "/block/sda/sda2", "block", "MAJOR=8\nMINOR=2\nDEVNAME=sda2\nDEVTYPE=partition\nDISKSEQ=9\nPARTN=2\n",
		map[string]string{"partition": "2\n"}, nil},
	{ahci + "/ata4", "", "", nil, nil},
	{ahci + "/ata4/ata_port/ata4", "ata_port", "", map[string]string{"port_no": "4\n"}, nil},
	{ahci + "/ata4/host3", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{ahci + "/ata4/host3/target3:0:1", "scsi", "DEVTYPE=scsi_target\n", nil, nil},
	{cd, "scsi", "DEVTYPE=scsi_device\n", map[string]string{
		"vendor": "QEMU    \n", "model": "QEMU DVD-ROM    \n", "rev": "2.5+\n", "type": "5\n", "scsi_level": "6\n",
	}, nil},
	{cd + "/block/sr0", "block", "MAJOR=11\nMINOR=0\nDEVNAME=sr0\nDEVTYPE=disk\nDISKSEQ=10\n", nil, nil},

	{xhci, "pci", "PCI_ID=1B36:000D\n", map[string]string{"vendor": "0x1b36\n", "device": "0x000d\n"}, nil},
	{xhci + "/usb1", "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=0\nDEVNAME=bus/usb/001/001\n", map[string]string{
		"idVendor": "1d6b\n", "idProduct": "0002\n", "manufacturer": "Linux 6.12 xhci-hcd\n",
		"product": "xHCI Host Controller\n", "serial": "0000:00:14.0\n", "bcdDevice": "0612\n",
		"descriptors": "\x12\x01\x00\x02\x09\x00\x01\x40\x6b\x1d\x02\x00\x12\x06\x03\x02\x01\x01" +
			"\x09\x02\x19\x00\x01\x01\x00\xe0\x00\x09\x04\x00\x00\x01\x09\x00\x00\x00\x07\x05\x81\x03\x04\x00\x0c",
	}, nil},
	{stick, "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=1\nDEVNAME=bus/usb/001/002\n", map[string]string{
		"idVendor": "0951\n", "idProduct": "1666\n", "manufacturer": "Kingston\n", "product": "DataTraveler 3.0\n",
		"serial": "E0D55E625C0AF450F8120ABC\n", "bcdDevice": "0001\n",
		"descriptors": "\x12\x01\x10\x02\x00\x00\x00\x40\x51\x09\x66\x16\x01\x00\x01\x02\x03\x01" +
			"\x09\x02\x20\x00\x01\x01\x00\x80\x96\x09\x04\x00\x00\x02\x08\x06\x50\x00\x07\x05\x81\x02\x00\x02\xff",
	}, nil},
	{stick + "/1-2:1.0", "usb", "DEVTYPE=usb_interface\n", map[string]string{
		"bInterfaceNumber": "00\n", "bInterfaceClass": "08\n", "bInterfaceSubClass": "06\n",
	}, map[string]string{"driver": "/bus/usb/drivers/usb-storage"}},
	{stick + "/1-2:1.0/host6", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{stick + "/1-2:1.0/host6/target6:0:0", "scsi", "DEVTYPE=scsi_target\n", nil, nil},
	{stick + "/1-2:1.0/host6/target6:0:0/6:0:0:1", "scsi", "DEVTYPE=scsi_device\n", map[string]string{
		"vendor": "Kingston\n", "model": "DataTraveler 3.0\n", "rev": "    \n", "type": "0\n", "scsi_level": "7\n",
	}, nil},
	{stick + "/1-2:1.0/host6/target6:0:0/6:0:0:1/block/sdb", "block",
		"MAJOR=8\nMINOR=16\nDEVNAME=sdb\nDEVTYPE=disk\nDISKSEQ=11\n", map[string]string{"removable": "1\n"}, nil},
	{stick + "/1-2:1.0/host6/target6:0:0/6:0:0:1/block/sdb/sdb1", "block",
		"MAJOR=8\nMINOR=17\nDEVNAME=sdb1\nDEVTYPE=partition\nDISKSEQ=11\nPARTN=1\n",
		map[string]string{"partition": "1\n"}, nil},

	{"pci0000:00/0000:00:05.0", "pci", "", nil, nil},
	{"pci0000:00/0000:00:05.0/virtio3", "virtio", "", nil, nil},
	{"pci0000:00/0000:00:05.0/virtio3/host7", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{"pci0000:00/0000:00:05.0/virtio3/host7/target7:0:4", "scsi", "DEVTYPE=scsi_target\n", nil, nil},
	{"pci0000:00/0000:00:05.0/virtio3/host7/target7:0:4/7:0:4:300", "scsi",
		"DEVTYPE=scsi_device\n", map[string]string{
			"vendor": "QEMU    \n", "model": "QEMU HARDDISK   \n", "rev": "2.5+\n", "type": "0\n", "scsi_level": "6\n",
			"vpd_pg80": page(0x80, "serial one"),
			"vpd_pg83": page(0x83, "\x02\x00\x00\x0cdrive-scsi-4"+"\x01\x03\x00\x10\x60\x01\x40\x5a\x12\x34\x56\x78"+
				"\x9a\xbc\xde\xf0\x11\x22\x33\x44"),
		}, nil},
	{"pci0000:00/0000:00:05.0/virtio3/host7/target7:0:4/7:0:4:300/block/sdc", "block",
		"MAJOR=8\nMINOR=32\nDEVNAME=sdc\nDEVTYPE=disk\nDISKSEQ=12\n", map[string]string{"removable": "0\n"}, nil},

	{"pci0000:00/0000:00:1c.4", "pci", "", map[string]string{"modalias": "pci:v00008086d0000A294sv0sd0bc06sc04i00\n"},
		nil},
	{"pci0000:00/0000:00:1c.4/0000:02:00.0", "pci", "", nil, nil},
	{"pci0000:00/0000:00:1c.4/0000:02:00.0/nvme/nvme0", "nvme",
		"MAJOR=240\nMINOR=0\nDEVNAME=nvme0\n", map[string]string{
			"serial": "S64DNX0T123456      \n", "model": "Samsung SSD 980 PRO 1TB                 \n",
			"firmware_rev": "5B2QGXA7\n",
		}, nil},
	{"pci0000:00/0000:00:1c.4/0000:02:00.0/nvme/nvme0/nvme0n1", "block",
		"MAJOR=259\nMINOR=0\nDEVNAME=nvme0n1\nDEVTYPE=disk\nDISKSEQ=13\n",
		map[string]string{"wwid": "eui.002538b511b2e6d8\n", "nsid": "1\n"}, nil},
	{"pci0000:00/0000:00:1c.4/0000:02:00.0/nvme/nvme0/nvme0n1/nvme0n1p3", "block",
		"MAJOR=259\nMINOR=3\nDEVNAME=nvme0n1p3\nDEVTYPE=partition\nDISKSEQ=13\nPARTN=3\n",
		map[string]string{"partition": "3\n"}, nil},

	{"pci0000:00/0000:00:06.0", "pci", "", nil, nil},
	{"pci0000:00/0000:00:06.0/virtio4", "virtio", "", nil, nil},
	{"pci0000:00/0000:00:06.0/virtio4/block/vda", "block",
		"MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\nDISKSEQ=14\n",
		map[string]string{"serial": "disk-7"}, nil},

	{"pci0000:00/0000:00:07.0", "pci", "", nil, nil},
	{"pci0000:00/0000:00:07.0/mmc_host/mmc0", "mmc_host", "", nil, nil},
	{"pci0000:00/0000:00:07.0/mmc_host/mmc0/mmc0:aaaa", "mmc", "MMC_TYPE=SD\n",
		map[string]string{"serial": "0x1234abcd\n", "name": "SC16G\n"}, nil},
	{"pci0000:00/0000:00:07.0/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0", "block",
		"MAJOR=179\nMINOR=0\nDEVNAME=mmcblk0\nDEVTYPE=disk\nDISKSEQ=15\n", nil, nil},

	{"pci0000:00/0000:00:08.0", "pci", "", nil, nil},
	{"pci0000:00/0000:00:08.0/host8", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0", "", "", nil, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0/sas_port/port-8:0", "sas_port", "",
		map[string]string{"num_phys": "1\n"}, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0/end_device-8:0", "", "", nil, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0/end_device-8:0/sas_device/end_device-8:0", "sas_device", "",
		map[string]string{"phy_identifier": "5\n", "sas_address": "0x5000c500a1b2c3d4\n"}, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0/end_device-8:0/target8:0:0", "scsi", "DEVTYPE=scsi_target\n", nil, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0/end_device-8:0/target8:0:0/8:0:0:0", "scsi", "DEVTYPE=scsi_device\n",
		map[string]string{"vendor": "SEAGATE \n", "model": "ST2000NM0045    \n", "rev": "N003\n", "type": "0\n"}, nil},
	{"pci0000:00/0000:00:08.0/host8/port-8:0/end_device-8:0/target8:0:0/8:0:0:0/block/sdd", "block",
		"MAJOR=8\nMINOR=48\nDEVNAME=sdd\nDEVTYPE=disk\nDISKSEQ=16\n", map[string]string{"removable": "0\n"}, nil},

	{"pci0000:00/0000:00:09.0", "pci", "", nil, nil},
	{"pci0000:00/0000:00:09.0/host10", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{"pci0000:00/0000:00:09.0/host9", "scsi", "DEVTYPE=scsi_host\n", nil, nil},
	{"pci0000:00/0000:00:09.0/host10/target10:0:2", "scsi", "DEVTYPE=scsi_target\n", nil, nil},
	{"pci0000:00/0000:00:09.0/host10/target10:0:2/10:0:2:0", "scsi", "DEVTYPE=scsi_device\n",
		map[string]string{"vendor": "VENDOR  \n", "model": "MODEL           \n", "rev": "1.0 \n", "type": "0\n"}, nil},
	{"pci0000:00/0000:00:09.0/host10/target10:0:2/10:0:2:0/block/sde", "block",
		"MAJOR=8\nMINOR=64\nDEVNAME=sde\nDEVTYPE=disk\nDISKSEQ=17\n", map[string]string{"removable": "0\n"}, nil},

	{"pci0000:00/0000:00:03.0", "pci", "", map[string]string{
		"vendor": "0x8086\n", "device": "0x100e\n", "config": strings.Repeat("\x00", 64), "acpi_index": "1\n",
		"label": "Onboard LAN\n",
	}, nil},
	{"pci0000:00/0000:00:03.0/net/eth0", "net", "INTERFACE=eth0\nIFINDEX=2\n", map[string]string{
		"type": "1\n", "iflink": "2\n", "ifindex": "2\n", "addr_assign_type": "0\n", "address": "52:54:00:12:34:56\n",
		"dev_port": "0\n",
	}, nil},
	{"pci0000:00/0000:00:1c.5", "pci", "", map[string]string{"modalias": "pci:v00008086d0000A295sv0sd0bc06sc04i00\n"},
		nil},
	{"pci0000:00/0000:00:1c.5/0000:03:00.1", "pci", "", map[string]string{
		"config": strings.Repeat("\x00", 14) + "\x80" + strings.Repeat("\x00", 49),
	}, nil},
	{"pci0000:00/0000:00:1c.5/0000:03:00.1/net/eth1", "net", "INTERFACE=eth1\nIFINDEX=3\n", map[string]string{
		"type": "1\n", "iflink": "3\n", "ifindex": "3\n", "addr_assign_type": "0\n", "address": "52:54:00:12:34:57\n",
		"dev_port": "2\n",
	}, nil},
	{"pci0000:00/0000:00:0a.0", "pci", "", map[string]string{"config": strings.Repeat("\x00", 64)}, nil},
	{"pci0000:00/0000:00:0a.0/virtio5", "virtio", "", nil, nil},
	{"pci0000:00/0000:00:0a.0/virtio5/net/eth2", "net", "INTERFACE=eth2\nIFINDEX=4\n", map[string]string{
		"type": "1\n", "iflink": "4\n", "ifindex": "4\n", "addr_assign_type": "3\n", "address": "52:54:00:12:34:58\n",
		"phys_port_name": "p0\n",
	}, nil},
	{hub, "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=2\nDEVNAME=bus/usb/001/003\n",
		map[string]string{"idVendor": "05e3\n", "idProduct": "0608\n"}, nil},
	{hub + "/1-3.4", "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=3\nDEVNAME=bus/usb/001/004\n", map[string]string{
		"idVendor": "0b95\n", "idProduct": "1790\n", "manufacturer": "ASIX Elec. Corp.\n", "product": "AX88179\n",
		"serial": "bad,serial\n", "bcdDevice": "0100\n",
	}, nil},
	{hub + "/1-3.4/1-3.4:2.1", "usb", "DEVTYPE=usb_interface\n", map[string]string{
		"bInterfaceNumber": "01\n", "bInterfaceClass": "ff\n", "bInterfaceSubClass": "ff\n",
	}, map[string]string{"driver": "/bus/usb/drivers/ax88179_178a"}},
	{hub + "/1-3.4/1-3.4:2.1/net/eth3", "net", "INTERFACE=eth3\nIFINDEX=5\n", map[string]string{
		"type": "1\n", "iflink": "5\n", "ifindex": "5\n", "addr_assign_type": "0\n", "address": "00:0e:c6:12:34:59\n",
	}, nil},
	{"vif-1-0", "xen-backend", "", nil, nil},
	{"vif-1-0/net/vif1.0", "net", "INTERFACE=vif1.0\nIFINDEX=7\n", map[string]string{
		"type": "1\n", "iflink": "7\n", "ifindex": "7\n", "addr_assign_type": "0\n", "address": "fe:ff:ff:ff:ff:ff\n",
	}, nil},
	{"virtual/net/lo", "net", "INTERFACE=lo\nIFINDEX=1\n", map[string]string{
		"type": "772\n", "iflink": "1\n", "ifindex": "1\n", "addr_assign_type": "0\n", "address": "00:00:00:00:00:00\n",
	}, nil},
	{"virtual/net/vlan7", "net", "INTERFACE=vlan7\nIFINDEX=9\nDEVTYPE=vlan\n", map[string]string{
		"type": "1\n", "iflink": "2\n", "ifindex": "9\n", "addr_assign_type": "2\n", "address": "52:54:00:12:34:56\n",
	}, nil},

	{hub + "/1-3.1", "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=4\nDEVNAME=bus/usb/001/005\n", map[string]string{
		"idVendor": "0403\n", "idProduct": "6001\n", "manufacturer": "FTDI\n", "product": "FT232R USB UART\n",
		"serial": "A50285BI\n", "bcdDevice": "0600\n",
	}, nil},
	{hub + "/1-3.1/1-3.1:1.0", "usb", "DEVTYPE=usb_interface\n", map[string]string{
		"bInterfaceNumber": "00\n", "bInterfaceClass": "ff\n", "bInterfaceSubClass": "ff\n",
	}, map[string]string{"driver": "/bus/usb/drivers/ftdi_sio"}},
	{hub + "/1-3.1/1-3.1:1.0/ttyUSB0", "usb-serial", "DRIVER=ftdi_sio\n", map[string]string{"port_number": "0\n"}, nil},
	{hub + "/1-3.1/1-3.1:1.0/ttyUSB0/tty/ttyUSB0", "tty", "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0\n", nil, nil},
	{"pci0000:00/0000:00:16.3", "pci", "", map[string]string{"vendor": "0x8086\n", "device": "0x9d3d\n"}, nil},
	{"pci0000:00/0000:00:16.3/tty/ttyS4", "tty", "MAJOR=4\nMINOR=68\nDEVNAME=ttyS4\n", nil, nil},

	{"virtual/block/dm-0", "block", "MAJOR=253\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\nDISKSEQ=18\n", map[string]string{
		"dm/name": "vg--1-home\n", "dm/suspended": "0\n",
		"dm/uuid": "LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ012345\n",
	}, nil},
	{"virtual/block/dm-1", "block", "MAJOR=253\nMINOR=1\nDEVNAME=dm-1\nDEVTYPE=disk\nDISKSEQ=19\n", map[string]string{
		"dm/name": "vg--1-home-cow\n", "dm/suspended": "0\n",
		"dm/uuid": "LVM-abcdefghijklmnopqrstuvwxyz012345ABCDEFGHIJKLMNOPQRSTUVWXYZ012345-cow\n",
	}, nil},
	{"virtual/block/dm-2", "block", "MAJOR=253\nMINOR=2\nDEVNAME=dm-2\nDEVTYPE=disk\nDISKSEQ=20\n", map[string]string{
		"dm/name": "guest\n", "dm/suspended": "0\n", "dm/uuid": "\n",
	}, nil},
	{"virtual/block/md127", "block", "MAJOR=9\nMINOR=127\nDEVNAME=md127\nDEVTYPE=disk\nDISKSEQ=21\n", map[string]string{
		"md/array_state": "clean\n", "md/level": "raid1\n", "md/metadata_version": "1.2\n", "slaves/sda2": "",
	}, nil},
	{"virtual/block/md127/md127p1", "block",
		"MAJOR=259\nMINOR=9\nDEVNAME=md127p1\nDEVTYPE=partition\nDISKSEQ=21\nPARTN=1\n",
		map[string]string{"partition": "1\n"}, nil},
	{"virtual/block/loop0", "block", "MAJOR=7\nMINOR=0\nDEVNAME=loop0\nDEVTYPE=disk\nDISKSEQ=22\n", nil, nil},
	{"virtual/block/zram0", "block", "MAJOR=252\nMINOR=0\nDEVNAME=zram0\nDEVTYPE=disk\nDISKSEQ=23\n", nil, nil},
}

// more is what sysfs has besides devices.
var more = map[string]string{
	"bus/pci/slots/7/address":          "0000:03:00\n",
	"bus/pci/slots/12/address":         "0000:00:0a\n",
	"bus/usb/drivers/usb-storage/bind": "", "bus/usb/drivers/ftdi_sio/bind": "",
	"bus/usb/drivers/ax88179_178a/bind": "",
}

// buses are the subsystems that are buses; the others are classes.
var buses = []string{"xen-backend", "pci", "usb", "scsi", "virtio", "mmc", "usb-serial"}

// machine is the tree of sysfs, as files and links by path.
func machine() fstest.MapFS {
	sys := fstest.MapFS{}
	file := func(name, text string) { sys[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	link := func(name, target string) {
		up := strings.Repeat("../", strings.Count(name, "/"))
		sys[name] = &fstest.MapFile{Data: []byte(up + target), Mode: fs.ModeSymlink}
	}
	for name, text := range more {
		file(name, text)
	}
	for _, f := range fixtures {
		dir := "devices/" + f.path
		file(dir+"/uevent", f.uevent)
		for name, text := range f.attrs {
			file(dir+"/"+name, text)
		}
		if f.subsystem == "net" && !strings.HasPrefix(f.path, "virtual/") {
			link(dir+"/device", "devices/"+path.Dir(path.Dir(f.path)))
		}
		for name, target := range f.links {
			link(dir+"/"+name, strings.TrimPrefix(target, "/"))
		}
		switch {
		case f.subsystem == "":
		case slices.Contains(buses, f.subsystem):
			link(dir+"/subsystem", "bus/"+f.subsystem)
			link("bus/"+f.subsystem+"/devices/"+path.Base(f.path), dir)
		default:
			link(dir+"/subsystem", "class/"+f.subsystem)
			link("class/"+f.subsystem+"/"+path.Base(f.path), dir)
		}
		if major, minor := between(f.uevent, "MAJOR="), between(f.uevent, "MINOR="); major != "" {
			kind := "char"
			if f.subsystem == "block" {
				kind = "block"
			}
			link("dev/"+kind+"/"+major+":"+minor, dir)
		}
	}
	return sys
}

func between(text, key string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), key); ok {
			return value
		}
	}
	return ""
}

// writeTree writes a tree of files and links into a directory.
func writeTree(t *testing.T, tree fstest.MapFS, dir string) {
	t.Helper()
	for name, file := range tree {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch {
		case err != nil:
		case file.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(string(file.Data), at)
		default:
			err = os.WriteFile(at, file.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// event is the "add" event of a fixture.
func (f fixture) event(t *testing.T) uevent.Event {
	t.Helper()
	text := fmt.Sprintf("add@/devices/%s\x00ACTION=add\x00DEVPATH=/devices/%s\x00SUBSYSTEM=%s\x00SEQNUM=77\x00%s",
		f.path, f.path, f.subsystem, strings.ReplaceAll(f.uevent, "\n", "\x00"))
	e, err := uevent.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// find returns the fixture of a device by its name.
func find(t *testing.T, name, subsystem string) fixture {
	t.Helper()
	for _, f := range fixtures {
		if path.Base(f.path) == name && f.subsystem == subsystem {
			return f
		}
	}
	t.Fatalf("no fixture %s of %s", name, subsystem)
	return fixture{}
}
