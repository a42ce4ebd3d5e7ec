package guests

import (
	"net"
	"strings"
	"testing"
)

// vifOf returns what Resolve makes of a network interface, its MAC address, or the error's text.
func vifOf(t *testing.T, specs ...string) (vif, mac, refusal string) {
	t.Helper()
	guest := guestWith(t, "kernel='vmlinuz'\nvif=['"+strings.Join(specs, "','")+"']")
	domain, err := guest.Resolve(machine(guest))
	if err != nil {
		return "", "", err.Error()
	}
	list, err := domain.Complete.List("vif")
	if err != nil {
		t.Fatal(err)
	}
	last := len(list) - 1
	return list[last].Text, domain.MACs[last], ""
}

// made is the address of the first interface of guestWith's guest on machine.
var made = MAC("seed", "g", 0)

// vifCases are network interfaces, each with the form in which xl gets it and its address.
var vifCases = []struct{ spec, want, mac string }{
	{"", "bridge=br7,mac=" + made, made},
	{"bridge=lan", "bridge=lan,mac=" + made, made},
	{"bridge=", "bridge=,bridge=br7,mac=" + made, made},
	{"mac=00:16:3e:aa:bb:cc", "bridge=br7,mac=00:16:3e:aa:bb:cc", "00:16:3e:aa:bb:cc"},
	{"mac=00:16:3E:AA:B:C ", "bridge=br7,mac=00:16:3e:aa:0b:0c", "00:16:3e:aa:0b:0c"},
	{"mac=00-16-3e-aa-bb-cc", "bridge=br7,mac=00:16:3e:aa:bb:cc", "00:16:3e:aa:bb:cc"},
	{"mac=2:0:0:0:0:1,mac=2:0:0:0:0:2", "bridge=br7,mac=02:00:00:00:00:02", "02:00:00:00:00:02"},
	{"mac=00:00:00:00:00:00", "bridge=br7,mac=" + made, made}, // which libxl replaces
	{"ip=10.0.0.1, bridge=lan ,", "ip=10.0.0.1,bridge=lan ,mac=" + made, made},
	{"model=e1000,", "model=e1000,bridge=br7,mac=" + made, made},
	{"trusted", "trusted,bridge=br7,mac=" + made, made},
	{"script=vif-bridge,rate=10Mb/s@20ms,mtu=9000,devid=3,vifname=web0",
		"script=vif-bridge,rate=10Mb/s@20ms,mtu=9000,devid=3,vifname=web0,bridge=br7,mac=" + made, made},
	{"type=netfront,handle=3", "type=netfront,handle=3,bridge=br7,mac=" + made, made}, // which xl skips
}

func TestVif(t *testing.T) {
	for _, test := range vifCases {
		got, used, refusal := vifOf(t, test.spec)
		if got != test.want || used != test.mac || refusal != "" {
			t.Errorf("%q: got %q %s %s\nwant %q %s", test.spec, got, used, refusal, test.want, test.mac)
		}
	}
}

// vifErrors are network interfaces that are refused, each with a part of the message.
var vifErrors = map[string]string{
	"mac=00:16:3e:aa:bb:gg": `g.cfg:2:6: vif "mac=00:16:3e:aa:bb:gg": mac=00:16:3e:aa:bb:gg is not a MAC address: ` +
		`"gg" is not a hexadecimal number from 00 to ff; write it like 00:16:3e:01:02:03`,
	"mac=00:16:3e:aa:bb":       "it has 5 octets in place of 6",
	"mac=00:16:3e:aa:bb:cc:dd": "it has 7 octets in place of 6",
	"mac=00::3e:aa:bb:cc":      `"" is not a hexadecimal number`,
	"mac=":                     "is not a MAC address",
	"mac=001:16:3e:aa:bb:100":  `"100" is not a hexadecimal number`,
	"mac=01:00:5e:00:00:01":    "is a multicast address",
	"rate=fast":                "rate=fast is not a rate",
	"rate=10":                  "rate=10 is not a rate",
	"rate=0Mb/s":               "rate=0Mb/s is out of bounds",
	"rate=5000000000B/s":       "out of bounds",
	"rate=1MB/s@1h":            "is not a rate",
	"rate=1MB/s@5000s":         "out of bounds",
	"devid=x":                  `"x" is not a number in bounds; write a number from 0 to 65536`,
	"devid=-1":                 `"-1" is not a number in bounds`,
	"mtu=20":                   "write a number from 68 to 65517",
	"vlan=7":                   "VLANs are not supported",
	"vifname=a-name-too-long-": "choose one of at most 15 characters",
	"type=ioemu":               "PVH guests have no emulated network interfaces",
	"script=vif-openvswitch": "vif needs the script vif-openvswitch, which is not on this disc; " +
		"remove it; the only script here is vif-bridge",
	"script=/gone/vif": "the script of vif is missing: there is no file /gone/vif",
	"bridge=a\\nb":     "a line break or another control character",
}

func TestVifErrors(t *testing.T) {
	for spec, want := range vifErrors {
		if _, _, refusal := vifOf(t, spec); !strings.Contains(refusal, want) {
			t.Errorf("%q: got %q\nwant %q", spec, refusal, want)
		}
	}
	_, _, refusal := vifOf(t, "devid=1", "")
	if !strings.Contains(refusal, "its devid, 1, is that of another interface") {
		t.Errorf("got %q", refusal)
	}
}

// FuzzVif holds parseVif to: no panic, and one MAC address in the form that Linux prints.
func FuzzVif(f *testing.F) {
	for _, spec := range []string{
		"", "mac=0:1:2:3:4:5", "bridge=x, mac=00-16-3E-00-00-01 ", "rate=1MB/s@3m", "mac=0:0:0:0:0:0,devid=0x1",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		v, err := parseVif(spec)
		if err != nil || v.mac == "" {
			return
		}
		if mac, err := net.ParseMAC(v.mac); err != nil || mac.String() != v.mac {
			t.Fatalf("%q became %q", spec, v)
		}
		again, err := parseVif(v.String())
		if err != nil || again.String() != v.String() {
			t.Fatalf("%q became %q and that %q, %v", spec, v, again, err)
		}
	})
}
