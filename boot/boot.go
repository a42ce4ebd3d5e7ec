// Package boot is the contract between the side that builds the disc (cmd/mkiso) and the side
// that runs from it (cmd/init): kernel command-line keys, paths on the medium and in dom0,
// and the names of the console lines. It imports only the standard library.
package boot

// Version of zerodisc.
const Version = "0.1"

// VolumeID is the ISO 9660 volume label of every zerodisc medium.
const VolumeID = "ZERODISC"

// Paths on the boot medium, relative to its root.
const (
	MediumXen    = "boot/xen.gz"
	MediumKernel = "boot/vmlinuz"
	MediumInitrd = "boot/initrd.img"
	MediumGRUB   = "boot/grub/grub.cfg"
	MediumGuests = "guests"
	MediumReadme = "README"
	// MediumIDDir holds an empty file named after the medium id, so that GRUB and dom0 find the medium they were
	// started from and not another zerodisc that is plugged in. The medium id is the build id; mkiso add gives its
	// disc one with a suffix, and a file of its own.
	MediumIDDir = "boot/id"
	// MediumSums has the SHA-256 sums of all other files, as sha256sum(1) writes them; MediumStructure
	// that of everything which is no file's (package internal/iso9660).
	MediumSums      = "SHA256SUMS"
	MediumStructure = "boot/structure.sha256"
	// MediumStartSums has the sums of what GRUB loads to check the rest.
	MediumStartSums    = "boot/grub/start.sha256"
	MediumLoopback     = "boot/grub/loopback.cfg"
	MediumSettings     = "boot/grub/settings.cfg" // read by the menu, made of MediumSettingsText
	MediumSettingsText = "settings.txt"           // for people
	MediumMemtestBIOS  = "boot/memtest86+.bin.gz"
	MediumMemtestEFI   = "boot/memtest86+.efi.gz"
	MediumIPXEBIOS     = "boot/ipxe.lkrn"
	MediumIPXEEFI      = "boot/ipxe.efi.gz"
	MediumInstaller    = "boot/debian-installer" // directory: linux, initrd.gz
)

// Paths in dom0 and in a demo guest.
const (
	UserlandImage = "/images/userland.squashfs" // mounted at /usr by stage1
	EarlyModules  = "/images/modules"           // modules that are needed before /usr/lib/modules is there
	InitProgram   = "/usr/bin/init"
)

// Stage1Modules are the modules that stage1 mounts images with, in the order in which it loads them.
// They lie in EarlyModules as NAME.ko.
var Stage1Modules = []string{"loop", "squashfs"}

// GuestModules are the drivers of a demo guest's network and disks. They lie in EarlyModules, too.
var GuestModules = []string{"xen_netfront", "xen_blkfront"}

// Paths in dom0.
const (
	Dom0Image     = "/images/dom0.squashfs" // Xen's tools, libraries and modules, mounted at Dom0Mount
	Dom0Mount     = "/usr/lib"
	ModulesDir    = Dom0Mount + "/modules"
	DebianConsole = "debian/xenconsole"     // below xl's directory; xenconsole next to xl is init
	FirmwareDir   = Dom0Mount + "/firmware" // of drivers; the kernel looks for /lib/firmware
	MediaDir      = "/media"                // file systems of disks, each in a directory of its own
	MediaMount    = "/media/boot"           // the boot medium, read-only
	NextMediumDir = RunDir + "/medium"      // a copy of the medium, or the medium once more, on its way to MediaMount
	GuestsInRAM   = "/guests"               // a store inside the initrd (netboot)
	KernelInRAM   = "/boot/vmlinuz"         // the kernel that guests share, inside the initrd (netboot)
	RunDir        = "/run/zerodisc"
	LogsDir       = RunDir + "/logs"          // the log, package logs
	ServiceSocket = RunDir + "/services.sock" // takes orders about services, package supervise
	GuestRunDir   = "/run/zerodisc/guests"    // rendered configurations, NAME.cfg
	GuestDisksDir = "/run/zerodisc/disks"     // memory file systems for changes to guests' disks, each at its UUID
	WebStoresDir  = "/run/zerodisc/stores"    // a tmpfs; 1, 2, ... are the stores of KeyGuests in their order
	StateMount    = "/state"                  // the state volume, writable
	StateGuests   = "/state/guests"           // a store on it
	SSHDir        = "/run/zerodisc/ssh"       // files of the SSH server, which only root may read
	StateSSH      = "zerodisc/ssh"            // below StateMount: the host key
	Home          = "/root"                   // of root; a file system in memory
	APISocket     = RunDir + "/api.sock"      // of the local API
	ConsolesDir   = RunDir + "/consoles"      // files by which consoles are taken, package console
	Keymaps       = Dom0Mount + "/keymaps"    // keyboard layouts, package keymap
	DefaultBridge = "xenbr0"
)

// MediumPadding is how many bytes at the end of the disc's image have no files. Once the partition table's copy is
// moved from there to the end of a stick, another partition may begin there.
const MediumPadding = 150 * 2048

// StateLabel is the label of the file system that zerodisc may write to.
const StateLabel = "ZERODISC-STATE"

// ConfigName is the name of the configuration at the root of the boot medium, of the state volume and of a volume for
// it, which has the label ConfigLabel. FAT has room for 11 letters of it.
const (
	ConfigName     = "zerodisc.yaml"
	ConfigLabel    = "ZERODISC-CONFIG"
	ConfigFATLabel = "ZERODISC-CO"
)

// CopyOnWriteUUID begins the device mapper's UUID of a guest's disk that reads from one device and writes to another.
const CopyOnWriteUUID = "ZERODISC-COW-"

// ArrayInVolume begins the name of a RAID array that only a logical volume is made of.
const ArrayInVolume = "md_lvm:"

// Xenstore keys by which dom0 and a zerodisc guest tell each other things, relative to the guest's
// directory in the store.
const (
	XenstoreAddress = "data/zerodisc/address" // from the guest: its IPv4 address, dotted quad
	XenstoreSeed    = "data/zerodisc/seed"    // from dom0: 32 random bytes, hexadecimal; the guest removes it
)
