// Package qemu describes the PCs that zerodisc is booted on and runs them in QEMU. There is one
// way to build a QEMU command line; the system tests, the benchmark and `make demo` share it.
package qemu

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Firmware starts the machine.
type Firmware string

// Medium is where the image is put.
type Medium string

// CPU is what the processor can do for guests.
type CPU string

// Net is what a NIC is plugged into.
type Net string

// The kinds of machine.
const (
	BIOS Firmware = "bios" // SeaBIOS
	UEFI Firmware = "uefi" // OVMF

	CD   Medium = "cd"  // on AHCI, as PCs have it since 2006
	IDE  Medium = "ide" // a CD on IDE: the firmware takes four times as long to read it
	USB  Medium = "usb"
	SATA Medium = "sata" // a disk
	NVMe Medium = "nvme" // a disk
	PXE  Medium = "pxe"  // no medium: the first NIC's boot ROM loads BootFile by TFTP
	HTTP Medium = "http" // no medium: UEFI loads what the first NIC's network names, by HTTP

	PVH    CPU = "pvh" // hardware virtualisation: PVH guests work
	PVOnly CPU = "pv"  // none: PV guests only

	UserNet  Net = "user"      // QEMU's user network: DHCP server, gateway, forwarded ports
	NoServer Net = "no server" // a link with nobody on it
)

// Tap is a link to this machine's network interface name, which exists (ip-tuntap(8)).
func Tap(name string) Net { return Net(tapPrefix + name) }

const tapPrefix = "tap "

// Wire is a link to whoever reads the Unix datagram socket path, which exists: each datagram is a frame. Frames for the
// machine go to path with [WireSuffix].
func Wire(path string) Net { return Net(wirePrefix + path) }

const wirePrefix = "wire "

// WireSuffix is what the name of a machine's end of a wire has behind that of the other end.
const WireSuffix = ".machine"

// NIC is a network card. The zero value is an e1000 on the user network.
type NIC struct {
	Model string
	On    []string // devices that it is plugged into, as QEMU's -device takes them: "qemu-xhci"
	Net   Net
}

// Forward makes Port of Address, inside the user network, reachable as HostPort of 127.0.0.1.
type Forward struct {
	HostPort int
	Address  string
	Port     int
}

// Disk is a disk besides the medium.
type Disk struct {
	File     string
	Device   string   // as QEMU's -device takes it: "scsi-hd"; the default is "virtio-blk-pci"
	On       []string // devices that it is plugged into, in the same form: "qemu-xhci", "usb-bot"
	WriteLog string   // file, there and empty, that gets a log of all writes (package writelog); "" for none
}

// Multiboot is a kernel with its modules, which QEMU loads itself: the firmware reads no medium then (Multiboot
// Specification, version 0.6.96). Each is a file, after a space its command line, and not compressed.
type Multiboot struct {
	Kernel, Cmdline string
	Modules         []string
}

// Machine is a PC. The zero value of a field is what its comment calls the default.
type Machine struct {
	ISO       string    // image to boot from, required; for PXE the directory that is served
	BootFile  string    // for PXE on the user network: what its DHCP server names
	Firmware  Firmware  // BIOS
	Medium    Medium    // CD
	Multiboot Multiboot // in place of Medium, if it has a kernel
	Board     string    // "pc"; "q35" is the other one
	MemoryMiB int       // 1024
	CPUs      int       // 2
	CPU       CPU       // what works well with Accel: PVOnly under TCG, PVH under KVM
	Accel     Accel     // TCG
	Emulator  Emulator  // Debian's
	Disks     []Disk
	NICs      []NIC // nil: one, its zero value; empty: none
	Forwards  []Forward
	Identity  string   // what its firmware says of it, as QEMU's -smbios type=1 takes it: "serial=42,uuid=..."
	Clock     string   // what its clock shows when it is switched on, UTC: "2001-01-01T00:00:00"; "" for the time
	Devices   []string // more devices, as QEMU's -device takes them
	Terminal  bool     // QEMU's monitor shares the terminal with the serial console (Ctrl-A c)
	Window    bool     // show the screen in a window
}

// withDefaults fills in the zero values.
func (m Machine) withDefaults() Machine {
	m.Firmware = orDefault(m.Firmware, BIOS)
	m.Medium = orDefault(m.Medium, CD)
	m.Board = orDefault(m.Board, "pc")
	m.MemoryMiB = orDefault(m.MemoryMiB, 1024)
	m.CPUs = orDefault(m.CPUs, 2)
	m.Accel = orDefault(m.Accel, TCG)
	m.CPU = orDefault(m.CPU, usual[m.Accel])
	if m.NICs == nil {
		m.NICs = []NIC{{}}
	}
	return m
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// files are the files that QEMU opens: the firmware's two halves (UEFI only) and the medium.
type files struct {
	code, vars string
	medium     string
}

// args returns QEMU's arguments.
func (m Machine) args(f files) ([]string, error) {
	m = m.withDefaults()
	args := []string{
		"-nodefaults", "-no-user-config",
		"-machine", m.board(),
		"-m", strconv.Itoa(m.MemoryMiB),
		"-smp", strconv.Itoa(m.CPUs),
		"-vga", "std",
	}
	for _, part := range []func(files) ([]string, error){
		m.cpu, m.firmware, m.medium, m.disks, m.network, m.consoles, m.more,
	} {
		more, err := part(f)
		if err != nil {
			return nil, err
		}
		args = append(args, more...)
	}
	return args, nil
}

// lowMemoryMiB is how much of a machine's memory is below 4 GiB.
const lowMemoryMiB = 512

// board returns the board with its memory split in two, as PCs with more than 4 GiB have it. That also makes emulation
// faster: GRUB's code, translated and run, stays marked in the memory it was in, and each write to such a page is slow.
// Below 4 GiB that is where Xen has its heap: unpacking dom0's kernel took 15 s in place of 3.
func (m Machine) board() string {
	if m.MemoryMiB <= lowMemoryMiB {
		return m.Board
	}
	return fmt.Sprintf("%s,max-ram-below-4g=%dM", m.Board, lowMemoryMiB)
}

// usual is the processor a machine has that names none. TCG does have hardware virtualisation, but
// PVH guests in it take minutes, and some end in a triple fault.
var usual = map[Accel]CPU{TCG: PVOnly, KVM: PVH}

// processors maps accelerator and ability to QEMU's model. Under TCG "max" and the named models
// crash Xen or the dom0 kernel; qemu64 does not, and TCG emulates SVM with nested paging. Without a source of random
// numbers OVMF has had no network since 2024 (EDK II's NetworkPkg).
var processors = map[Accel]map[CPU]string{
	TCG: {PVH: "qemu64,+rdrand,+svm,+npt", PVOnly: "qemu64,+rdrand"},
	KVM: {PVH: "host", PVOnly: "host,-svm,-vmx"},
}

func (m Machine) cpu(files) ([]string, error) {
	model, ok := processors[m.Accel][m.CPU]
	if !ok {
		return nil, fmt.Errorf("no processor for accelerator %q and CPU %q", m.Accel, m.CPU)
	}
	return append(m.Accel.args(m.MemoryMiB), "-cpu", model), nil
}

func (m Machine) firmware(f files) ([]string, error) {
	switch m.Firmware {
	case BIOS:
		return nil, nil
	case UEFI:
		return []string{
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + escape(f.code),
			"-drive", "if=pflash,unit=1,format=raw,file=" + escape(f.vars),
		}, nil
	}
	return nil, fmt.Errorf("firmware %q: want %s or %s", m.Firmware, BIOS, UEFI)
}

// fromNetwork says that the firmware's network boot starts the machine.
func (m Machine) fromNetwork() bool { return m.Medium == PXE || m.Medium == HTTP }

func (m Machine) medium(f files) ([]string, error) {
	switch {
	case m.Multiboot.Kernel != "":
		return m.Multiboot.args(), nil
	case m.Medium == PXE:
		return nil, nil
	case m.Medium == HTTP: // OVMF would ask by PXE first
		return []string{
			"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n",
			"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",
		}, nil
	}
	devices, ok := media[m.Medium]
	if !ok {
		return nil, fmt.Errorf("medium %q: want one of %s", m.Medium, slices.Sorted(maps.Keys(media)))
	}
	drive := "if=none,id=medium,format=raw,file=" + escape(f.medium)
	if m.Medium == CD || m.Medium == IDE {
		drive += ",media=cdrom,readonly=on"
	}
	return append([]string{"-drive", drive}, devices...), nil
}

func (b Multiboot) args() []string {
	var modules []string
	for _, module := range b.Modules {
		modules = append(modules, escape(module))
	}
	return []string{"-kernel", b.Kernel, "-append", b.Cmdline, "-initrd", strings.Join(modules, ",")}
}

// media are the devices that carry the drive "medium", which the firmware starts from first.
var media = map[Medium][]string{
	CD:   {"-device", "ahci,id=ahci", "-device", "ide-cd,bus=ahci.0,drive=medium,bootindex=1"},
	IDE:  {"-device", "ide-cd,drive=medium,bootindex=1"},
	USB:  {"-device", "qemu-xhci", "-device", "usb-storage,id=stick,drive=medium,bootindex=1"},
	SATA: {"-device", "ahci,id=ahci", "-device", "ide-hd,bus=ahci.0,drive=medium,bootindex=1"},
	NVMe: {"-device", "nvme,serial=zerodisc,drive=medium,bootindex=1"},
}

// disks returns the disks besides the medium: the drives disk0, disk1 and so on.
func (m Machine) disks(files) (args []string, err error) {
	for i, d := range m.Disks {
		device := orDefault(d.Device, "virtio-blk-pci")
		drive := fmt.Sprintf("if=none,id=disk%d,format=raw,file=%s", i, escape(d.File))
		if d.WriteLog != "" {
			drive = fmt.Sprintf("if=none,id=disk%d,driver=blklogwrites,file.driver=file,file.filename=%s,"+
				"log.driver=file,log.filename=%s", i, escape(d.File), escape(d.WriteLog))
		}
		if model, _, _ := strings.Cut(device, ","); strings.HasSuffix(model, "-cd") {
			drive += ",media=cdrom,readonly=on"
		}
		args = append(args, "-drive", drive)
		args = append(args, plugged(d.On, fmt.Sprintf("%s,drive=disk%d", device, i))...)
	}
	return args, nil
}

// plugged returns the arguments that make a device, after those that it is plugged into.
func plugged(on []string, device string) (args []string) {
	for _, name := range append(on[:len(on):len(on)], device) {
		args = append(args, "-device", name)
	}
	return args
}

func (m Machine) network(f files) ([]string, error) {
	if len(m.NICs) == 0 {
		return []string{"-nic", "none"}, nil
	}
	var args []string
	for i, nic := range m.NICs {
		backend, err := m.backend(i, nic)
		if err != nil {
			return nil, err
		}
		// romfile= : without the network boot ROM the firmware is done seconds earlier. UEFI has its own.
		boot := ",romfile="
		if i == 0 && m.fromNetwork() {
			if m.BootFile != "" {
				backend += ",tftp=" + escape(f.medium) + ",bootfile=" + escape(m.BootFile)
			}
			boot = ",bootindex=1"
			if m.Firmware == UEFI {
				boot += ",romfile="
			}
		}
		if strings.HasPrefix(nic.Model, "usb-") {
			boot = ""
		}
		args = append(args, "-netdev", backend)
		args = append(args, plugged(nic.On, fmt.Sprintf("%s,netdev=net%d,mac=52:54:00:12:34:%02x%s",
			orDefault(nic.Model, "e1000"), i, 0x56+i, boot))...)
	}
	return args, nil
}

// backend returns the -netdev of NIC number i.
func (m Machine) backend(i int, nic NIC) (string, error) {
	switch orDefault(nic.Net, UserNet) {
	case UserNet:
		backend := fmt.Sprintf("user,id=net%d", i)
		for _, f := range m.Forwards {
			backend += ",hostfwd=" + f.rule()
		}
		return backend, nil
	case NoServer:
		return fmt.Sprintf("hubport,id=net%d,hubid=%d", i, i), nil
	}
	if tap, ok := strings.CutPrefix(string(nic.Net), tapPrefix); ok {
		return fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no", i, escape(tap)), nil
	}
	if path, ok := strings.CutPrefix(string(nic.Net), wirePrefix); ok {
		return fmt.Sprintf("dgram,id=net%d,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s",
			i, escape(path+WireSuffix), escape(path)), nil
	}
	return "", fmt.Errorf("NIC %d: net %q: want %q, %q, a tap or a wire", i, nic.Net, UserNet, NoServer)
}

// rule returns f in the form of QEMU's hostfwd option.
func (f Forward) rule() string {
	return fmt.Sprintf("tcp:127.0.0.1:%d-%s:%d", f.HostPort, f.Address, f.Port)
}

func (m Machine) consoles(files) ([]string, error) {
	args := []string{"-serial", "stdio"}
	if m.Terminal {
		args = []string{"-serial", "mon:stdio"}
	}
	if !m.Window {
		args = append(args, "-display", "none")
	}
	return args, nil
}

// escape protects the commas of a file name in an option's value.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// Quote joins argv to a line that can be pasted into a shell.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		if word == "" || strings.ContainsAny(word, " \t\n\"'\\$`*?[](){}<>|&;#~!") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words[i] = word
	}
	return strings.Join(words, " ")
}

// more is an identity and a clock of its own, and further devices.
func (m Machine) more(files) (args []string, err error) {
	if m.Identity != "" {
		args = append(args, "-smbios", "type=1,"+m.Identity)
	}
	if m.Clock != "" {
		args = append(args, "-rtc", "base="+m.Clock)
	}
	for _, device := range m.Devices {
		args = append(args, "-device", device)
	}
	return args, nil
}
