package vm

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table in docs/hardware.md")

// part is a piece of a PC's hardware that QEMU has: a row of the table in docs/hardware.md.
type part struct {
	device string   // as QEMU's -device takes it
	on     []string // what it is plugged into, in the same form
	what   string   // for people
}

// disk and cd are what every SCSI controller is tried with.
const (
	disk = "scsi-hd"
	cd   = "scsi-cd"
)

// onBoard is the controller that the board "pc" has already.
const onBoard = "piix3-ide"

// sas is a disk's address. A disk without one has the address 0, which Linux' mptsas passes over.
const sas = ",wwn=0x5000c500a1b2c3d4"

// nics are all network cards that QEMU has for a PC. Left out are ne2k_isa (no PC with a 64-bit processor has an ISA
// slot), rocker (a switch), virtio-net-device (not on PCI) and xen-net-device (for guests of QEMU's own Xen).
var nics = []part{
	{"e1000", nil, "Intel 82540EM"},
	{"e1000-82544gc", nil, "Intel 82544GC"},
	{"e1000-82545em", nil, "Intel 82545EM"},
	{"e1000e", nil, "Intel 82574L"},
	{"igb", nil, "Intel 82576"},
	{"i82550", nil, "Intel PRO/100"},
	{"i82551", nil, "Intel PRO/100"},
	{"i82557a", nil, "Intel PRO/100"},
	{"i82557b", nil, "Intel PRO/100"},
	{"i82557c", nil, "Intel PRO/100"},
	{"i82558a", nil, "Intel PRO/100"},
	{"i82558b", nil, "Intel PRO/100"},
	{"i82559a", nil, "Intel PRO/100"},
	{"i82559b", nil, "Intel PRO/100"},
	{"i82559c", nil, "Intel PRO/100"},
	{"i82559er", nil, "Intel PRO/100"},
	{"i82562", nil, "Intel PRO/100"},
	{"i82801", nil, "Intel PRO/100 in a chipset"},
	{"ne2k_pci", nil, "Realtek 8029, NE2000"},
	{"pcnet", nil, "AMD PCnet"},
	{"rtl8139", nil, "Realtek 8139"},
	{"tulip", nil, "DEC 21143"},
	{"vmxnet3", nil, "VMware"},
	{"virtio-net-pci", nil, "virtio"},
	{"virtio-net-pci-transitional", nil, "virtio before 1.0"},
	{"virtio-net-pci-non-transitional", nil, "virtio 1.0"},
	{"usb-net", []string{"pci-ohci"}, "USB, RNDIS and CDC Ethernet"},
}

// needed is firmware that is not free, and so not on the disc, and without which the NIC's driver does nothing.
var needed = map[string]string{"i82551": "e100/d102e_ucode.bin"}

// drives are all controllers and drives that QEMU has for a PC and that a boot medium can be in or on. Left out are
// the floppy (the disc is too large), isa-ide (no ISA slot), memory (nvdimm, virtio-pmem), and what leads to a disk
// through another program (vhost-*, usb-redir) or that the machine lets through to a real one (scsi-block, usb-host).
var drives = []part{
	{"ide-cd", []string{onBoard}, "CD by IDE"},
	{"ide-hd", []string{onBoard}, "disk by IDE"},
	{"ide-cf", []string{onBoard}, "CompactFlash card by IDE"},
	{"ide-cd,bus=sata.0", []string{"ahci,id=sata"}, "CD by SATA"},
	{"ide-hd,bus=sata.0", []string{"ahci,id=sata"}, "disk by SATA"},
	{"nvme,serial=zerodisc", nil, "NVMe"},
	{"ufs-lu", []string{"ufs,serial=zerodisc"}, "UFS"},
	{"sd-card", []string{"sdhci-pci"}, "SD card"},
	{"virtio-blk-pci", nil, "disk by virtio"},
	{"virtio-blk-pci-transitional", nil, "disk by virtio before 1.0"},
	{"virtio-blk-pci-non-transitional", nil, "disk by virtio 1.0"},
	{disk, []string{"virtio-scsi-pci"}, "disk by virtio"},
	{cd, []string{"virtio-scsi-pci"}, "CD by virtio"},
	{disk, []string{"virtio-scsi-pci-transitional"}, "disk by virtio before 1.0"},
	{disk, []string{"virtio-scsi-pci-non-transitional"}, "disk by virtio 1.0"},
	{disk, []string{"lsi53c810"}, "disk by SCSI, Symbios 53C810"},
	{cd, []string{"lsi53c810"}, "CD by SCSI, Symbios 53C810"},
	{disk, []string{"lsi53c895a"}, "disk by SCSI, Symbios 53C895A"},
	{cd, []string{"lsi53c895a"}, "CD by SCSI, Symbios 53C895A"},
	{disk, []string{"am53c974"}, "disk by SCSI, AMD 53C974"},
	{cd, []string{"am53c974"}, "CD by SCSI, AMD 53C974"},
	{disk, []string{"dc390"}, "disk by SCSI, Tekram DC-390"},
	{cd, []string{"dc390"}, "CD by SCSI, Tekram DC-390"},
	{disk + sas, []string{"mptsas1068"}, "disk by SAS, LSI 1068"},
	{cd + sas, []string{"mptsas1068"}, "CD by SAS, LSI 1068"},
	{disk, []string{"megasas"}, "disk by SAS, LSI MegaRAID 1078"},
	{cd, []string{"megasas"}, "CD by SAS, LSI MegaRAID 1078"},
	{disk, []string{"megasas-gen2"}, "disk by SAS, LSI MegaRAID 2108"},
	{cd, []string{"megasas-gen2"}, "CD by SAS, LSI MegaRAID 2108"},
	{disk, []string{"pvscsi"}, "disk, VMware"},
	{cd, []string{"pvscsi"}, "CD, VMware"},
	{"usb-storage", []string{"piix3-usb-uhci"}, "stick by USB 1"},
	{"usb-storage", []string{"pci-ohci"}, "stick by USB 1"},
	{"usb-storage", []string{"usb-ehci"}, "stick by USB 2"},
	{"usb-storage", []string{"nec-usb-xhci"}, "stick by USB 3"},
	{"usb-storage", []string{"qemu-xhci"}, "stick by USB 3"},
	{disk, []string{"qemu-xhci", "usb-bot"}, "disk by USB 3"},
	{cd, []string{"ich9-usb-ehci1", "usb-bot"}, "CD by USB 2"},
	{disk, []string{"qemu-xhci", "usb-uas"}, "disk by USB 3, UAS"},
	{cd, []string{"qemu-xhci", "usb-uas"}, "CD by USB 3, UAS"},
	{disk, []string{"usb-ehci", "usb-uas"}, "disk by USB 2, UAS"},
}

// parts are the rows of the table.
func parts() []part { return slices.Concat(nics, drives) }

// name names the devices without their options: "`scsi-cd` on `usb-bot` on `qemu-xhci`".
func (p part) name() string {
	names := []string{p.device}
	for _, on := range slices.Backward(p.on) {
		names = append(names, on)
	}
	for i, name := range names {
		model, _, _ := strings.Cut(name, ",")
		names[i] = "`" + model + "`"
	}
	return strings.Join(names, " on ")
}

// row is the part's line of the table: what a boot has shown.
func (p part) row(driver, found string) string {
	return fmt.Sprintf("| %s | %s | %s | %s |", p.name(), p.what, driver, found)
}

// The page with the table, and what stands around the rows.
const (
	hardwarePage = "../../docs/hardware.md"
	rowsBegin    = "| QEMU's device | what it is | dom0's drivers | dom0 finds |\n|---|---|---|---|\n"
	rowsEnd      = "\n\n<!-- end of the table that TestHardware writes -->"
)

// readRows reads the page and the rows of its table.
func readRows(t *testing.T) (before string, rows []string, after string) {
	t.Helper()
	text, err := os.ReadFile(hardwarePage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), rowsBegin)
	table, after, ended := strings.Cut(rest, rowsEnd)
	if !begun || !ended {
		t.Fatalf("%s has no table between %q and %q", hardwarePage, rowsBegin, rowsEnd)
	}
	return before, strings.Split(table, "\n"), after
}

func writeRows(t *testing.T, before string, rows []string, after string) {
	t.Helper()
	page := before + rowsBegin + strings.Join(rows, "\n") + rowsEnd + after
	if err := os.WriteFile(hardwarePage, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unseen is in place of what no boot has shown yet.
const unseen = "?"

// TestHardwareTable holds the table in docs/hardware.md to the parts. What dom0 makes of them is for TestHardware to
// say, which boots them.
func TestHardwareTable(t *testing.T) {
	before, rows, after := readRows(t)
	byStart, want := map[string]string{}, []string{}
	for _, row := range rows {
		byStart[rowStart(row)] = row
	}
	for _, p := range parts() {
		row := p.row(unseen, unseen)
		if there := byStart[rowStart(row)]; there != "" {
			row = there
		}
		want = append(want, row)
	}
	if *update {
		writeRows(t, before, want, after)
		return
	}
	if !slices.Equal(rows, want) {
		t.Errorf("the parts and the table in %s differ; go test ./test/vm -update corrects it", hardwarePage)
	}
	for _, row := range want {
		if strings.Contains(row, "| "+unseen+" |") {
			t.Errorf("not booted yet, make vm-full VM=TestHardware FLAGS=-update does it: %s", row)
		}
	}
}

// rowStart is what the parts say of a row: its first two cells.
func rowStart(row string) string { return firstCells.FindString(row) }

var firstCells = regexp.MustCompile(`^\|[^|]*\|[^|]*\|`)
