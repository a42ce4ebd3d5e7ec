package boot

import (
	"slices"
	"strings"
)

// Keys of the kernel command line that dom0's init understands. docs/kernel-parameters.md says
// what each does; a test holds that page to this list.
const (
	KeyMediumID   = "zerodisc.id"            // medium id: see MediumIDDir
	KeyAutostart  = "zerodisc.autostart"     // "no": start no guest
	KeyDebug      = "zerodisc.debug"         // log at debug level on the console
	KeyBridge     = "zerodisc.bridge"        // name of the bridge, xenbr0 unless given
	KeyBootIf     = "BOOTIF"                 // MAC of the NIC the firmware booted from, PXELINUX form 01-aa-bb-...
	KeyGuest      = "zerodisc.guest"         // this is a demo guest, not dom0
	KeyRescue     = "zerodisc.rescue"        // a rescue shell without Xen and network services
	KeyCheck      = "zerodisc.check"         // check every file of the medium, without Xen
	KeyISOFile    = "zerodisc.iso"           // path, in its file system, of the ISO file the machine was started from
	KeyGuests     = "zerodisc.guests"        // URLs of guest stores on web and NFS servers, separated by commas
	KeyGuestsSum  = "zerodisc.guests-sha256" // SHA-256 of each one's SHA256SUMS
	KeyStores     = "zerodisc.stores"        // "all": start the guests of every disk; "none": look at no disk
	KeyBudget     = "zerodisc.budget"        // memory for changes to guests' disks: SIZE, NAME:SIZE
	KeyWrite      = "zerodisc.write"         // block devices that guests may write to, separated by commas
	KeyState      = "zerodisc.state"         // "no": use no state volume; a UUID: use that one
	KeyToRAM      = "zerodisc.toram"         // whether the medium is copied to memory: auto, yes, no
	KeyToRAMShort = "toram"                  // the same
	KeyISCSI      = "zerodisc.iscsi"         // iSCSI targets to log in to, separated by commas
	KeyInitiator  = "zerodisc.initiator"     // this machine's iSCSI name
	KeyNTP        = "zerodisc.ntp"           // time servers, separated by commas; "no": the clock is left alone
	KeySyslog     = "zerodisc.syslog"        // servers that get the log: udp://HOST,tls://HOST
	KeyWatchdog   = "zerodisc.watchdog"      // seconds to the reset of a machine that hangs; "no"
	KeyHostname   = "zerodisc.hostname"      // dom0's host name; else the DHCP server's, else "zerodisc"
	KeyKeyboard   = "zerodisc.keyboard"      // layout of the keyboard: de
	KeyConfig     = "zerodisc.config"        // URL of a zerodisc.yaml; may have ${mac} and the like
	KeyPassword   = "zerodisc.password"      // root's password, as crypt(3) writes it
	KeySSH        = "zerodisc.ssh"           // "no": no SSH server
	KeySSHKey     = "zerodisc.ssh-key"       // a public key that may log in; may be given several times
)

// Keys that other systems have, too, and that mean the same here: those of dracut.cmdline(7), and cloud-init's ds.
const (
	KeyHostnameShort = "hostname"        // the same as KeyHostname
	KeyKeymap        = "vconsole.keymap" // the same as KeyKeyboard
	KeyIP            = "ip"              // addresses; may be given several times, as all of these
	KeyVLAN          = "vlan"            // NAME:NIC
	KeyBond          = "bond"            // NAME:NICS:OPTIONS:MTU
	KeyPorts         = "bridge"          // NAME:NIC
	KeyNameserver    = "nameserver"      // address
	KeyRoute         = "rd.route"        // NETWORK:GATEWAY:INTERFACE
	KeyDataSource    = "ds"              // nocloud;s=URL
)

// Keys lists every key above.
var Keys = []string{
	KeyMediumID, KeyAutostart, KeyDebug, KeyBridge, KeyBootIf, KeyHostname,
	KeyGuest, KeyRescue, KeyCheck, KeyISOFile, KeyGuests, KeyGuestsSum,
	KeyStores, KeyBudget, KeyWrite, KeyToRAM, KeyToRAMShort, KeyState, KeyISCSI, KeyInitiator,
	KeyNTP, KeySyslog, KeyWatchdog, KeyKeyboard, KeyKeymap,
	KeyConfig, KeyPassword, KeySSH, KeySSHKey,
	KeyHostnameShort, KeyIP, KeyVLAN, KeyBond, KeyPorts, KeyNameserver, KeyRoute, KeyDataSource,
}

// Known says whether key is one of Keys.
func Known(key string) bool { return slices.Contains(Keys, key) }

// Prefix marks the keys that belong to zerodisc alone; an unknown key with it is reported.
const Prefix = "zerodisc."

// Cmdline is a parsed kernel command line. The last value of a key given twice wins, as in the
// kernel (Documentation/admin-guide/kernel-parameters.rst).
type Cmdline map[string]string

// ParseCmdline parses the text of /proc/cmdline. A double quote keeps spaces together; a key
// without "=" has the empty value.
func ParseCmdline(text string) Cmdline {
	line := Cmdline{}
	for _, word := range SplitWords(text) {
		key, value, _ := strings.Cut(word, "=")
		line[key] = value
	}
	return line
}

// SplitWords cuts text at white space outside double quotes and drops the quotes.
func SplitWords(text string) []string {
	quoted := false
	words := strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
	for i, word := range words {
		words[i] = strings.ReplaceAll(word, `"`, "")
	}
	return words
}

// Has says whether key was given, with or without a value.
func (c Cmdline) Has(key string) bool {
	_, ok := c[key]
	return ok
}
