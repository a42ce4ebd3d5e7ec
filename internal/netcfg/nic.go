package netcfg

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
)

// NIC is a wired network interface of the machine.
type NIC struct {
	Name    string
	Index   int // 0 is no NIC's
	MAC     net.HardwareAddr
	Carrier bool   // a cable with something alive at its other end
	Losses  uint32 // how often it has lost its carrier

	Answered bool // a DHCP server or router has been heard behind it
}

// Situation is what the choice of the bridge's NIC depends on.
type Situation struct {
	NICs        []NIC            // in natural order of their names
	Boot        net.HardwareAddr // MAC that BOOTIF named; nil: none
	Current     int              // index of the NIC in use; 0: none
	Leased      bool             // a lease is held through the current NIC
	Settled     bool             // NICs have had time to appear and to get a carrier
	CarrierGone bool             // the current NIC has been without one for too long
	Impatient   bool             // the current NIC has been without a lease for too long
	Asking      bool             // all NICs with a carrier are asked at the same time
	Overdue     bool             // the current NIC's servers have had time to answer
}

// Choose returns the NIC that belongs in the bridge; none yet when it returns false.
//
// The NIC that the firmware booted from wins, and stays, whatever its carrier. Else the NIC in
// use is kept for as long as it is good for something, else it is the first behind which somebody answers, else the
// first with a carrier, or the next one after the current that had its chance. One with a carrier that comes after one
// without is taken only once the earlier has had its time: which NIC it is shall not depend on
// which driver is faster. Nor on which server is: the current one has had time before another NIC's is preferred.
func (s Situation) Choose() (NIC, bool) {
	current := slices.IndexFunc(s.NICs, func(n NIC) bool { return n.Index == s.Current })
	boot := slices.IndexFunc(s.NICs, func(n NIC) bool { return s.Boot != nil && slices.Equal(n.MAC, s.Boot) })
	switch {
	case current >= 0 && s.Leased && !s.CarrierGone:
		return s.NICs[current], true
	case boot >= 0:
		return s.NICs[boot], true
	}
	if next := s.nextAnswered(current); next >= 0 && s.mayTake(next) && (current < 0 || s.Overdue) {
		return s.NICs[next], true
	}
	if current >= 0 && (!s.Impatient || s.Asking) && !s.CarrierGone {
		return s.NICs[current], true
	}
	if next := s.nextWithCarrier(current); next >= 0 && s.mayTake(next) {
		return s.NICs[next], true
	}
	if current >= 0 {
		return s.NICs[current], true
	}
	return NIC{}, false
}

// nextAnswered returns the position of the first NIC after position, going round, behind which somebody answers; -1
// if there is none, or the one at position may still get a lease of such a one.
func (s Situation) nextAnswered(position int) int {
	if position >= 0 && s.NICs[position].Answered && !s.Impatient && !s.CarrierGone {
		return -1
	}
	return s.after(position, func(n NIC) bool { return n.Answered && n.Carrier })
}

// nextWithCarrier returns the position of the first NIC with a carrier after position, going
// round; -1 if none has one.
func (s Situation) nextWithCarrier(position int) int {
	return s.after(position, func(n NIC) bool { return n.Carrier })
}

// after returns the position of the first NIC after position, going round, that fits; -1 if none does.
func (s Situation) after(position int, fits func(NIC) bool) int {
	for i := range s.NICs {
		if next := (position + 1 + i) % len(s.NICs); fits(s.NICs[next]) {
			return next
		}
	}
	return -1
}

// mayTake says whether there is nothing better to wait for than the NIC at position: all before it have a carrier,
// or have had time to get one.
func (s Situation) mayTake(position int) bool {
	silent := func(n NIC) bool { return !n.Carrier }
	return s.Settled || s.Boot == nil && !slices.ContainsFunc(s.NICs[:position], silent)
}

// ParseBootIF reads the MAC of BOOTIF=, in PXELINUX's form with the hardware type in front
// (01-aa-bb-cc-dd-ee-ff) or as a plain MAC. An empty value is no MAC and no error.
func ParseBootIF(value string) (net.HardwareAddr, error) {
	if value == "" {
		return nil, nil
	}
	text := strings.ReplaceAll(value, "-", ":")
	if len(text) == len("01:aa:bb:cc:dd:ee:ff") {
		text = strings.TrimPrefix(text, "01:") // ARPHRD_ETHER; any other type stays and fails below
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("kernel parameter BOOTIF=%s: want 01-aa-bb-cc-dd-ee-ff or aa:bb:cc:dd:ee:ff", value)
	}
	return mac, nil
}

// notWired are the files of an interface's directory in sysfs whose presence tells that it is
// something else than a wired NIC, although it looks like Ethernet.
var notWired = []string{"wireless", "phy80211", "bridge", "tun_flags", "bonding"}

// isWired says whether sysfs shows the interface to be a wired Ethernet NIC: Ethernet's type,
// hardware behind it, no kind of its own (a NIC's uevent has no DEVTYPE; wlan and wwan have), and
// not the backend of a guest's vif, which has a device as well.
func isWired(sys fs.FS, name string) bool {
	dir := path.Join("class/net", name)
	if readLine(sys, path.Join(dir, "type")) != "1" || !exists(sys, path.Join(dir, "device")) {
		return false
	}
	for _, file := range notWired {
		if exists(sys, path.Join(dir, file)) {
			return false
		}
	}
	uevent, _ := fs.ReadFile(sys, path.Join(dir, "uevent"))
	modalias := readLine(sys, path.Join(dir, "device/modalias"))
	return !strings.Contains(string(uevent), "DEVTYPE=") && !strings.HasPrefix(modalias, "xen-backend:")
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// readLine returns a file's text without the white space around it; empty if it cannot be read.
func readLine(fsys fs.FS, name string) string {
	text, _ := fs.ReadFile(fsys, name)
	return strings.TrimSpace(string(text))
}

// sortNICs sorts by name, with numbers in names by their value: eth2 before eth10.
func sortNICs(nics []NIC) {
	slices.SortFunc(nics, func(a, b NIC) int { return compareNatural(a.Name, b.Name) })
}

func compareNatural(a, b string) int {
	for a != "" && b != "" {
		restA, restB := strings.TrimLeft(a, digits), strings.TrimLeft(b, digits)
		numberA, numberB := a[:len(a)-len(restA)], b[:len(b)-len(restB)]
		if numberA == "" || numberB == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		if order := compareNumbers(numberA, numberB); order != 0 {
			return order
		}
		a, b = restA, restB
	}
	return cmp.Compare(len(a), len(b))
}

const digits = "0123456789"

// compareNumbers compares decimal numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
