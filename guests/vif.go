package guests

import (
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/lazyregexp"
)

// vif is one element of vif (xl-network-configuration(5)).
type vif struct {
	words []string          // as written, without mac and empty ones
	given map[string]string // their values; of a parameter given twice the last one counts
	mac   string            // canonical, "" for none
}

// vifForm is the remedy that fits most mistakes.
const vifForm = "write mac=, bridge= and the like with commas between them, or '' for none of them"

// minMTU and maxMTU are IPv4's least and the most that netback takes.
const minMTU, maxMTU = 68, 65535 - 18

// maxIfname is the longest name of a network interface, IFNAMSIZ without its NUL.
const maxIfname = 15

// vifValues check the values of those parameters where xl stops at a wrong one, or takes it and leaves the
// guest without network.
var vifValues = map[string]func(value string) error{
	"rate":    checkRate,
	"devid":   func(value string) error { return checkNumber(value, 0, 1<<16) },
	"mtu":     func(value string) error { return checkNumber(value, minMTU, maxMTU) },
	"vifname": checkIfname,
	"vlan": func(string) error {
		return faultf("remove it, and give the guest a vlan in the host's configuration (zerodisc.yaml)",
			"VLANs are not supported by this disc's vif-bridge")
	},
}

// parseVif reads one element of vif. What xl does not know it skips, and so does this. An error is a *fault.
func parseVif(spec string) (*vif, error) {
	if strings.ContainsFunc(spec, isControl) {
		return nil, faultf("remove it", "there is a line break or another control character in it")
	}
	v := &vif{given: map[string]string{}}
	for _, word := range strings.Split(spec, ",") {
		if word = strings.TrimLeft(word, " "); word == "" {
			continue
		}
		key, value, _ := strings.Cut(word, "=")
		if key == "mac" {
			mac, err := parseMAC(value)
			if err != nil {
				return nil, err
			}
			v.mac = mac
			continue
		}
		if check := vifValues[key]; check != nil {
			if err := check(value); err != nil {
				return nil, err
			}
		}
		v.words, v.given[key] = append(v.words, word), value
	}
	return v, nil
}

// devid is the number of the interface in the guest, by default its place in the list.
func (v *vif) devid(index int) int {
	if n, err := strconv.Atoi(v.given["devid"]); err == nil {
		return n
	}
	return index
}

// set gives the interface a parameter that it does not have yet.
func (v *vif) set(key, value string) {
	v.words, v.given[key] = append(v.words, key+"="+value), value
}

// replace gives the interface a parameter in place of the one that it has.
func (v *vif) replace(key, value string) {
	v.words = slices.DeleteFunc(v.words, func(word string) bool {
		name, _, _ := strings.Cut(word, "=")
		return name == key
	})
	v.set(key, value)
}

// String writes the interface as it is handed to xl.
func (v *vif) String() string { return strings.Join(append(slices.Clone(v.words), "mac="+v.mac), ",") }

// parseMAC reads a MAC address as xl does, which also takes octets of one digit, and returns it in the form
// that Xen and Linux write: 00:16:3e:01:02:03. Half an address is an error; xl would go on with it. For the
// address of zeros, which libxl replaces by a random one, it returns "".
func parseMAC(text string) (string, error) {
	const form = "write it like 00:16:3e:01:02:03, or remove it for one that stays the same at every boot"
	octets := strings.ReplaceAll(strings.TrimRight(text, " \t"), "-", ":")
	var mac net.HardwareAddr
	for octet := range strings.SplitSeq(octets, ":") {
		n, err := strconv.ParseUint(octet, 16, 8)
		if err != nil {
			return "", faultf(form,
				"mac=%s is not a MAC address: %q is not a hexadecimal number from 00 to ff", text, octet)
		}
		mac = append(mac, byte(n))
	}
	switch {
	case len(mac) != 6:
		return "", faultf(form, "mac=%s is not a MAC address: it has %d octets in place of 6", text, len(mac))
	case mac[0]&1 != 0:
		return "", faultf(form, "mac=%s is a multicast address, which no network interface can have", text)
	case mac.String() == "00:00:00:00:00:00":
		return "", nil
	}
	return mac.String(), nil
}

// rateForm is that of xl: bytes or bits a second, and how often they are replenished.
var rateForm = lazyregexp.New(`^([0-9]+)[GMK]?[Bb]/s(?:@([0-9]+)([mu]?s?))?$`)

func checkRate(value string) error {
	const form = "write it like 10Mb/s, 250KB/s or 1MB/s@20ms"
	match := rateForm.FindStringSubmatch(value)
	if match == nil {
		return faultf(form, "rate=%s is not a rate", value)
	}
	micros := map[string]int64{"": 1e6, "s": 1e6, "m": 1e3, "ms": 1e3, "u": 1, "us": 1}[match[3]]
	if !fitsUint32(match[1], 1) || match[2] != "" && !fitsUint32(match[2], micros) {
		return faultf(form, "rate=%s is out of bounds", value)
	}
	return nil
}

// fitsUint32 says whether the number in text is at least 1 and, times scale, at most what 32 bits hold.
func fitsUint32(text string, scale int64) bool {
	n, err := parseInt(text)
	return err == nil && n > 0 && n <= (1<<32-1)/scale
}

// checkNumber takes a decimal number from least to most.
func checkNumber(value string, least, most int) error {
	if n, err := strconv.Atoi(value); err != nil || n < least || n > most {
		return faultf(fmt.Sprintf("write a number from %d to %d", least, most), "%q is not a number in bounds", value)
	}
	return nil
}

func checkIfname(value string) error {
	if value == "" || len(value) > maxIfname || strings.ContainsAny(value, "/ \t") {
		return faultf(fmt.Sprintf("choose one of at most %d characters", maxIfname),
			"vifname=%s cannot be a network interface's name", value)
	}
	return nil
}

// vifs gives each network interface without them a MAC address and a bridge.
func (r *resolver) vifs() error {
	list, err := r.config().List("vif")
	if err != nil {
		return err
	}
	if o := r.guest.Override; len(list) == 0 && (o.Bridge != "" || o.MAC != "") {
		return r.config().errorf(Pos{}, "write vif = [''] here, or take its network out of the host's configuration",
			"it has no network interface, and the host's configuration wants one on a bridge or with a MAC address")
	}
	taken := map[int]bool{}
	for i := range list {
		value := &list[i]
		v, err := parseVif(value.Text)
		if err != nil {
			return r.config().faultAt(value.Pos, fmt.Sprintf("vif %q: ", value.Text), err)
		}
		if err := r.vif(v, i, value.Pos); err != nil {
			return err
		}
		devid := v.devid(i)
		if taken[devid] {
			return r.config().errorf(value.Pos, "give each interface a devid of its own, or none",
				"vif %q: its devid, %d, is that of another interface", value.Text, devid)
		}
		taken[devid] = true
		*value = Value{Kind: String, Text: v.String(), Pos: value.Pos}
		r.domain.MACs = append(r.domain.MACs, v.mac)
	}
	return nil
}

// vif completes the guest's network interface with the number index.
func (r *resolver) vif(v *vif, index int, pos Pos) error {
	if r.domain.Type != HVM && v.given["type"] == "ioemu" {
		return r.config().errorf(pos, "remove type=ioemu", "%s guests have no emulated network interfaces",
			strings.ToUpper(string(r.domain.Type)))
	}
	if err := r.trustVif(v, pos); err != nil {
		return err
	}
	if _, err := r.script("vif", "vif-bridge", v.given["script"], pos); err != nil {
		return err
	}
	if index == 0 {
		if err := r.guest.Override.overrideVif(v); err != nil {
			return r.config().faultAt(pos, "", err)
		}
	}
	if v.mac == "" {
		v.mac = MAC(r.machine.Seed, r.guest.Name, index)
	}
	if v.given["bridge"] == "" {
		v.set("bridge", r.bridge())
	}
	return nil
}

// bridge is the host's.
func (r *resolver) bridge() string {
	if r.machine.Bridge == "" {
		return boot.DefaultBridge
	}
	return r.machine.Bridge
}

// MAC makes the address of a guest's network interface: Xen's prefix 00:16:3e and the first 24
// bits of SHA-256 over seed, guest name and index, NUL between them. The same guest keeps its
// address, and so its DHCP lease, over restarts; two machines on one LAN that run the same disc
// differ by their seed. 24 bits are few, but two of ten hosts with ten guests each collide once
// in 3,000 such networks.
func MAC(seed, guest string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", seed, guest, index))
	return fmt.Sprintf("00:16:3e:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}
