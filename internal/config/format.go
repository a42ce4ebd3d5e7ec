package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/keymap"
	"github.com/zerodisc/zerodisc/internal/lazyregexp"
	"github.com/zerodisc/zerodisc/internal/passwd"
	"github.com/zerodisc/zerodisc/internal/timezone"
)

// format is what a text has to look like.
type format struct {
	check   func(string) error
	pattern string // for the JSON Schema: what JSON Schema can say of it, "" for nothing
}

// Patterns of the JSON Schema (ECMA-262), which are the checks themselves where they suffice.
const (
	hostnamePattern  = `^[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?$`
	domainPattern    = `^[0-9A-Za-z_]([0-9A-Za-z_-]{0,62})(\.[0-9A-Za-z_][0-9A-Za-z_-]{0,62})*\.?$`
	interfacePattern = `^[0-9A-Za-z_][0-9A-Za-z_.-]{0,14}$`
	guestPattern     = `^[0-9A-Za-z_][0-9A-Za-z_.+-]{0,62}$`
	sha256Pattern    = `^[0-9A-Fa-f]{64}$`
	devicePattern    = `^/dev/[^\s,]+$`
	iscsiPattern     = `^(iqn\.[0-9]{4}-[0-9]{2}\.|eui\.|naa\.)[0-9A-Za-z.:_-]+$`
)

// formats are the values of the tags format and key.
var formats = map[string]format{
	"hostname":    {matches(hostnamePattern, "want letters, digits and hyphens, at most 63"), hostnamePattern},
	"domain":      {checkDomain, domainPattern},
	"interface":   {checkInterface, interfacePattern},
	"nic":         {checkNIC, ""},
	"guest":       {matches(guestPattern, "want a guest's name"), guestPattern},
	"timezone":    {checkTimezone, ""},
	"keyboard":    {checkKeyboard, ""},
	"hash":        {checkHash, `^\$(y|6|5|2[aby])\$`},
	"time-server": {checkTimeServer, ""},
	"address":     {checkAddress, ""},
	"ssh-key":     {checkSSHKey, ""},
	"private-key": {checkPrivateKey, pemPattern},
	"authority":   {checkAuthority, pemPattern},
	"device":      {matches(devicePattern, "want the path of a device: /dev/disk/by-id/..."), devicePattern},
	"state":       {checkState, ""},
	"toram":       {checkToRAM, ""},
	"store-url":   {checkScheme("http", "https", "nfs"), "^(https?|nfs)://"},
	"config-url":  {checkScheme("http", "https"), "^https?://"},
	"log-url":     {checkLogURL, "^(udp|tcp|tls)://"},
	"sha256":      {matches(sha256Pattern, "want the 64 hexadecimal digits of a SHA-256 sum"), sha256Pattern},
	"iscsi-target": {matches(`^[^\s,]+:[^\s,]*$`,
		"want [USER:PASSWORD@]SERVER:[PROTOCOL]:[PORT]:[LUN]:NAME"), ""},
	"iscsi-name":  {matches(iscsiPattern, "want a name such as iqn.2026-01.org.example:host"), iscsiPattern},
	"prefix4":     {nil, `^[0-9.]+/[0-9]+$`},
	"prefix6":     {nil, `^[0-9A-Fa-f:.]+/[0-9]+$`},
	"network":     {nil, `^[0-9A-Fa-f:.]+/[0-9]+$`},
	"address4":    {nil, `^[0-9.]+$`},
	"address6":    {nil, `^[0-9A-Fa-f:.]+$`},
	"range":       {checkRange, `^[0-9.]+-[0-9.]+$`},
	"ports":       {checkPorts, `^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`},
	"bond-option": {checkBondOption, `^[a-z0-9_]{1,32}$`},
	"bond-value":  {matches(`^[0-9A-Za-z_.:+,-]{1,64}$`, "want a value of the bonding driver's"), ""},
}

// bondOptions are those of the bonding driver that a bond can have besides its mode and its network cards.
var bondOptions = []string{
	"ad_actor_sys_prio", "ad_select", "ad_user_port_key", "all_slaves_active", "arp_all_targets", "arp_interval",
	"arp_ip_target", "arp_validate", "downdelay", "fail_over_mac", "lacp_rate", "lp_interval", "miimon", "min_links",
	"num_grat_arp", "num_unsol_na", "packets_per_slave", "primary", "primary_reselect", "resend_igmp",
	"tlb_dynamic_lb", "updelay", "use_carrier", "xmit_hash_policy",
}

func checkBondOption(text string) error {
	if !slices.Contains(bondOptions, text) {
		return fmt.Errorf("there is no such option of the bonding driver%s", suggest(text, bondOptions))
	}
	return nil
}

func checkKeyboard(text string) error {
	if keymap.Layout(text) == "" {
		return fmt.Errorf("there is no such keyboard layout%s", suggest(text, keymap.Names()))
	}
	return nil
}

func checkHash(text string) error {
	_, err := passwd.Parse(text)
	return err
}

func matches(pattern, want string) func(string) error {
	compiled := lazyregexp.New(pattern)
	return func(text string) error {
		if !compiled.MatchString(text) {
			return errors.New(want)
		}
		return nil
	}
}

var isDomain = matches(domainPattern, "want a domain such as lan.example.org")

func checkDomain(text string) error {
	if len(text) > 253 {
		return errors.New("it is longer than a domain can be, 253 letters")
	}
	return isDomain(text)
}

var isInterface = matches(interfacePattern, "want the name of an interface: 1 to 15 letters, digits, _, - and dots")

func checkInterface(text string) error {
	if slices.Contains([]string{"all", "default", "lo", AutoNIC, NoNIC}, text) {
		return fmt.Errorf("%s has a meaning of its own; take another name", text)
	}
	return isInterface(text)
}

// checkNIC takes a name, a MAC address, AutoNIC or NoNIC.
func checkNIC(text string) error {
	if text == AutoNIC || text == NoNIC {
		return nil
	}
	if strings.Contains(text, ":") {
		return new(MAC).UnmarshalText([]byte(text))
	}
	return checkInterface(text)
}

func checkTimezone(text string) error {
	if !timezone.Known(text) {
		return fmt.Errorf("there is no such time zone%s", suggest(text, timezone.Names()))
	}
	return nil
}

func checkHost(text string) error {
	if _, err := netip.ParseAddr(text); err == nil {
		return nil
	}
	if checkDomain(text) != nil {
		return errors.New("want the name or the address of a host")
	}
	return nil
}

// checkTimeServer takes a host, with or without a port.
func checkTimeServer(text string) error {
	if host, port, err := net.SplitHostPort(text); err == nil && isPort(port) {
		text = host
	}
	return checkHost(text)
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func checkAddress(text string) error {
	if _, err := netip.ParseAddr(text); err != nil {
		return errors.New("want an IP address such as 192.0.2.1 or 2001:db8::1")
	}
	return nil
}

// sshKeys are the types of public keys that OpenSSH writes.
var sshKeys = []string{
	"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// checkSSHKey wants a type and a key of that type. Options before them are not taken.
func checkSSHKey(text string) error {
	words := strings.Fields(text)
	for _, kind := range sshKeys {
		if len(words) < 2 || words[0] != kind {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(words[1])
		if err != nil || len(key) < 4+len(kind) || string(key[4:4+len(kind)]) != kind {
			return fmt.Errorf("it is no whole key of type %s; take the line as it is in id_*.pub", kind)
		}
		return nil
	}
	if strings.Contains(text, "PRIVATE KEY") {
		return errors.New("it is a private key; take the public one, from the file with .pub at its end")
	}
	return fmt.Errorf("want a line of authorized_keys, without options: %s AAAA... [COMMENT]", sshKeys[0])
}

func checkState(text string) error {
	if text == "auto" || text == "no" {
		return nil
	}
	digits := strings.ReplaceAll(text, "-", "")
	if _, err := hex.DecodeString(digits + strings.Repeat("0", len(digits)%2)); err != nil || len(digits) < 8 {
		return errors.New("want auto, no, or the UUID of a file system")
	}
	return nil
}

func checkToRAM(text string) error {
	if _, ok := parseBool(text); !ok && text != "auto" {
		return errors.New("want auto, yes or no")
	}
	return nil
}

func checkScheme(schemes ...string) func(string) error {
	return func(text string) error {
		u, err := url.Parse(text)
		switch {
		case strings.ContainsAny(text, " \t\r\n,"):
			return errors.New("a URL has no spaces, and commas as %2C")
		case err != nil || u.Host == "":
			return fmt.Errorf("want a URL such as %s://server.example.org/path", schemes[0])
		case !slices.Contains(schemes, u.Scheme):
			return fmt.Errorf("want a URL that begins with %s://", strings.Join(schemes, ":// or "))
		}
		return nil
	}
}

// checkLogURL takes a protocol, a host and a port.
func checkLogURL(text string) error {
	if err := checkScheme("udp", "tcp", "tls")(text); err != nil {
		return err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("want no more than a host and a port: udp://192.0.2.9:514")
	case u.Hostname() == "":
		return errors.New("want a host: udp://192.0.2.9:514")
	case u.Port() != "" && !isPort(u.Port()):
		return errors.New("want a port from 1 to 65535")
	}
	return nil
}

// Range is the first and the last of a range of addresses: FIRST-LAST.
func Range(text string) (first, last netip.Addr, err error) {
	a, b, ok := strings.Cut(text, "-")
	first, errA := netip.ParseAddr(strings.TrimSpace(a))
	last, errB := netip.ParseAddr(strings.TrimSpace(b))
	if !ok || errors.Join(errA, errB) != nil || !first.Is4() || !last.Is4() || last.Less(first) {
		return first, last, errors.New("want the first and the last address: 10.11.0.100-10.11.0.200")
	}
	return first, last, nil
}

func checkRange(text string) error {
	_, _, err := Range(text)
	return err
}

// PortRange is ports of TCP or UDP, from First to Last.
type PortRange struct{ First, Last uint16 }

// maxPortRanges is how many ranges one rule may have.
const maxPortRanges = 64

// Ports reads a list of ports and ranges of ports: 22,8000-8080. An empty text is an empty list: all.
func Ports(text string) ([]PortRange, error) {
	var list []PortRange
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		a, b, isRange := strings.Cut(strings.TrimSpace(word), "-")
		if !isRange {
			b = a
		}
		first, errA := strconv.ParseUint(a, 10, 16)
		last, errB := strconv.ParseUint(b, 10, 16)
		if errors.Join(errA, errB) != nil || first == 0 || last < first {
			return nil, fmt.Errorf("%q: want ports from 1 to 65535 and ranges: 22,8000-8080", word)
		}
		list = append(list, PortRange{uint16(first), uint16(last)})
	}
	if len(list) > maxPortRanges {
		return nil, fmt.Errorf("there are more than %d ports and ranges", maxPortRanges)
	}
	return list, nil
}

func checkPorts(text string) error {
	_, err := Ports(text)
	return err
}
