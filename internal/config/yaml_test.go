package config

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// whole is a file with every kind of value.
const whole = `# a host in a rack
hostname: rack7
timezone: Europe/Berlin
keyboard: de
password-hash: $6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1
autostart: yes
ntp: {enabled: on, servers: [ntp.example.org, 192.0.2.123]}
dns:
  servers: [192.0.2.53, "2001:db8::53"]
  search: [example.org]
network:
  default-bridge: xenbr0
  fallback: no
  bonds:
    bond0: {nics: [eth0, "52:54:00:00:00:01"], mode: 802.3ad, options: {miimon: 100, lacp_rate: fast}}
  bridges:
    xenbr0:
      nic: bond0
      ipv4: {method: static, addresses: [192.0.2.5/24], gateway: 192.0.2.1}
      ipv6: {method: auto}
      routes:
      - to: 198.51.100.0/24
        via: 192.0.2.254
    dmz: {nic: bond0, vlan: 20, mtu: 9000}
    lan:
      private: {address: 10.11.0.1/24, range: 10.11.0.100-10.11.0.200, nat: yes, dns: yes, domain: lan.internal}
ssh:
  port: 2222
  keys:
  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0iSnJVnJzXGXPb4xL2m4mQ7ctr7Yd5cuwDqxDkSm me@example.org
  host-keys:
  - |
    -----BEGIN OPENSSH PRIVATE KEY-----
    aGVsbG8=
    -----END OPENSSH PRIVATE KEY-----
services: {board: no}
stores:
  disks: all
  urls:
  - {url: "https://store.example.org/guests", sha256: 0000000000000000000000000000000000000000000000000000000000000001}
  - url: nfs://nas.example.org/export
  write: [/dev/disk/by-id/ata-DISK]
  budget: 512M
  state: no
  toram: auto
  iscsi: {targets: ["joe:secret@192.0.2.9::::iqn.2026-01.org.example:disk"], initiator: iqn.2026-01.org.example:rack7}
guests:
  web:
    order: -5
    delay: 5s
    memory: 1G
    vcpus: 2
    restart: on-failure
    budget: 64M
    network:
      bridge: lan
      mac: 52:54:00:12:34:56
      address: 10.11.0.10
      rate: 100Mbit/s
      isolated: yes
      host: no
      trust: [dhcp, ra]
      inbound:
      - {protocol: tcp, ports: "80,443", from: [192.0.2.0/24]}
      - {protocol: icmp}
logs:
  targets: ["tls://logs.example.org:6514"]
  authorities:
  - |
    -----BEGIN CERTIFICATE-----
    MIIBNDCB56ADAgECAhQRrRedhVdVdSDkPbBOmh3LhzDLXjAFBgMrZXAwDzENMAsG
    A1UEAwwETG9nczAgFw0yNjExMjcyMzEzMzZaGA8yMTI2MTEwMzIzMTMzNlowDzEN
    MAsGA1UEAwwETG9nczAqMAUGAytlcAMhAAtz8fO2FoMc8WHj/I7vTXBKwcBJ+bD9
    oKKmczyt0iSDo1MwUTAdBgNVHQ4EFgQUcyAG+XIMRgWyXceKZrJH7xYJNqcwHwYD
    VR0jBBgwFoAUcyAG+XIMRgWyXceKZrJH7xYJNqcwDwYDVR0TAQH/BAUwAwEB/zAF
    BgMrZXADQQCXhhZ9mzl4IrGE1FZB7zBMUWh0JHCLDwaN/DiuYdeYrGUELm8t3O4M
    S+biWVwvot6N3dkbnZbV2bgA5bqXjFsE
    -----END CERTIFICATE-----
memory: {guests: 8G, free: 256M}
watchdog: {enabled: yes, timeout: 30s}
`

func TestParse(t *testing.T) {
	f := Parse("zerodisc.yaml", []byte(whole))
	for _, p := range f.Problems {
		t.Error(p)
	}
	for _, p := range Validate(&f.Config) {
		t.Error(p)
	}
	web := f.Config.Guests["web"]
	for _, test := range []struct{ got, want any }{
		{f.Config.Hostname, "rack7"}, {Is(f.Config.Autostart, false), true}, {f.Config.DNS.Servers[1], "2001:db8::53"},
		{f.Config.Network.Bonds["bond0"].Mode, "802.3ad"},
		{f.Config.Network.Bonds["bond0"].Options["miimon"], "100"},
		{f.Config.Network.Bridges["xenbr0"].IPv4.Addresses[0].String(), "192.0.2.5/24"},
		{f.Config.Network.Bridges["dmz"].VLAN, 20}, {f.Config.SSH.Port, 2222},
		{strings.Count(f.Config.SSH.HostKeys[0], "\n"), 3}, {f.Config.Stores.State, "no"},
		{f.Config.Stores.Budget.String(), "512M"}, {*web.Order, -5}, {time.Duration(web.Delay), 5 * time.Second},
		{web.Network.Rate.String(), "100Mbit/s"}, {web.Network.Inbound[0].Ports, "80,443"},
		{string(web.Network.MAC), "52:54:00:12:34:56"}, {*f.Config.Services.Board, false},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%v, want %v", test.got, test.want)
		}
	}
}

// TestEveryKeyIsInTheExample holds the example above to the types.
func TestEveryKeyIsInTheExample(t *testing.T) {
	given := strings.Join(sorted(Parse("", []byte(whole)).places), "\n")
	for _, key := range Keys() {
		if !strings.Contains(given, key.Name) {
			t.Errorf("the example has no %s", key.Path)
		}
	}
}

// TestProblems checks what people are told, and where.
func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"hostnam: x": "f:1:1: hostnam: there is no such key; did you mean hostname?",
		"a:\n  b: c": "f:1:1: a: there is no such key",
		"network:\n  bridges:\n    lan: {vlna: 5}": "f:3:11: network.bridges.lan.vlna: there is no such key; " +
			"did you mean vlan?",
		"hostname: [a]":                  "f:1:11: hostname: want one value",
		"hostname: a b":                  `f:1:11: hostname: "a b": want letters, digits and hyphens, at most 63`,
		"hostname: a\nhostname: b":       "f:2:1: hostname: it is given in line 1 already; keep one",
		"keyboard: de-latin":             `there is no such keyboard layout; did you mean de-latin1?`,
		"timezone: Europe/Berln":         `there is no such time zone; did you mean Europe/Berlin?`,
		"password-hash: geheim":          "f:1:16: password-hash: this is no hash of a password",
		"password-hash: $y$j9T$a$b":      "its last part has 1 characters, want 43; is it cut off?",
		"autostart: maybe":               `"maybe": want yes or no`,
		"ssh: {port: 70000}":             `"70000": want a number from 1 to 65535`,
		"ssh:\n\tport: 1":                "f:2:1: YAML is indented by spaces, this is a tab",
		"ssh: &a {port: 1}":              "f:1:6: anchors (&name) are not supported",
		"ssh: *a":                        "aliases (*name) are not supported",
		"ssh: !!map {}":                  "tags (!name) are not supported",
		"<!DOCTYPE html><html>":          "it is a web page (HTML or XML), not a configuration",
		"\n <html>":                      "it is a web page (HTML or XML), not a configuration",
		"a\x00":                          "it has zero bytes",
		"\xff\xfeh":                      "it is in UTF-16; save it as UTF-8",
		"h: \xff":                        "it is not in UTF-8",
		"[[[[[[[[[[":                     "it is nested too deeply",
		"- - - - - - a":                  "it is nested too deeply",
		strings.Repeat(" ", 70) + "a: b": "begins with more than 64 spaces",
		strings.Repeat("#", MaxSize+1):   "it has more than 131072 bytes",
		"hostname: a\n---\nhostname: b":  "f:3:9: a second document (---) begins before this",
		"just words":                     "f:1:1: want keys below it, as KEY: VALUE",
		"dns: 192.0.2.1":                 "f:1:6: dns: want keys below it",
		"dns: {servers: 192.0.2.1}":      "dns.servers: want a list, each entry as - VALUE",
		"dns: {servers: [192.0.2.256]}":  `f:1:17: dns.servers[0]: "192.0.2.256": want an IP address`,
		"network: {bridges: {a/b: {}}}":  `network.bridges: "a/b": want the name of an interface`,
		"network: {bridges: {b: {ipv4: {addresses: [192.0.2.0/24]}}}}": "it is the address of the network; want " +
			"that of a host in it, such as 192.0.2.1/24",
		"network: {bridges: {b: {ipv4: {addresses: [\"2001:db8::1/64\"]}}}}": "want an IPv4 address here",
		"network: {bridges: {b: {vlan: 4095}}}":                              "want a number from 1 to 4094",
		"network: {bridges: {b: {routes: [{to: 192.0.2.1/24, via: 192.0.2.1}]}}}": "the address of a host; the " +
			"network is 192.0.2.0/24",
		"network: {bonds: {b: {mode: fast}}}":              "want one of balance-rr, active-backup",
		"guests: {w: {network: {mac: 53:54:00:0:0:1}}}":    "want a MAC address",
		"guests: {w: {network: {mac: 53:54:00:00:00:01}}}": "it is the address of a group",
		"guests: {w: {memory: lots}}":                      `"lots": want a size such as 256M or 1G`,
		"guests: {w: {memory: 1M}}":                        "want at least 4M",
		"guests: {w: {delay: 2h}}":                         "want at most 1h",
		"guests: {w: {restart: allways}}": "want one of never, on-failure, always; did you " +
			"mean always?",
		"guests: {w: {network: {rate: 5}}}":               "want a rate such as 100Mbit/s",
		"guests: {w: {network: {inbound: [{ports: 5}]}}}": "guests.w.network.inbound[0]: protocol is missing",
		"stores: {urls: [{sha256: ab}]}":                  "want the 64 hexadecimal digits",
		"stores: {iscsi: {targets: [\"a b\"]}}":           "targets[0]: want [USER:PASSWORD@]SERVER",
		"logs: {targets: [\"http://a\"]}":                 "want a URL that begins with udp:// or tcp:// or tls://",
		"logs: {targets: [\"udp://a:0\"]}":                "want a port from 1 to 65535",
		"logs: {authorities: [\"/etc/ca.pem\"]}":          "want a certificate: -----BEGIN CERTIFICATE-----",
		"logs: {targets: [\"udp://a/b\"]}":                "want no more than a host and a port",
		"ntp: {servers: [\"a:b\"]}":                       "want the name or the address of a host",
		"ssh: {keys: [\"ssh-ed25519 AAAA\"]}":             "it is no whole key of type ssh-ed25519",
	} {
		f := Parse("f", []byte(text))
		var all []string
		for _, p := range f.Problems {
			all = append(all, p.Error())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) {
			t.Errorf("%.60q:\n%s\nwant\n%s", text, got, want)
		}
	}
}

// TestTheRestApplies checks that what is right counts next to what is wrong, and that half a rule is none.
func TestTheRestApplies(t *testing.T) {
	f := Parse("f", []byte(`hostname: rack7
colour: red
ssh: {port: many, enabled: no}
dns: {servers: [192.0.2.1, nonsense, 192.0.2.2]}
guests:
  web:
    vcpus: 0
    memory: 1G
    network: {inbound: [{protocol: tcp, from: [nonsense]}, {protocol: icmp}]}
  db: {network: {inbound: all}}
`))
	web, db := f.Config.Guests["web"], f.Config.Guests["db"]
	if f.Config.Hostname != "rack7" || Is(f.Config.SSH.Enabled, true) || len(f.Config.DNS.Servers) != 2 ||
		web.Memory != 1<<30 || len(web.Network.Inbound) != 1 || db.Network.Inbound == nil || len(f.Problems) != 6 {
		t.Errorf("%+v\n%v", f.Config, f.Problems)
	}
}

func TestEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n# nothing\n...\n", "hostname:\n", "\uFEFF"} {
		if f := Parse("f", []byte(text)); len(f.Problems) > 0 || !reflect.ValueOf(f.Config).IsZero() {
			t.Errorf("%q: %v %+v", text, f.Problems, f.Config)
		}
	}
}

// TestHostileFiles bounds time and memory: a volume that somebody plugs in has such files.
func TestHostileFiles(t *testing.T) {
	for name, unit := range map[string]string{
		"pairs": "a: b\n", "dashes": "- a\n", "flow": "[a, b], ", "braces": "{a: b},", "quotes": `"a" `, "open": "\"",
		"colons": ": ", "hashes": "# a\n", "bars": "a: |\n b\n", "folded": ">\n", "indent": "a:\n  b:\n",
		"question": "? a\n",
		"brackets": "[]", "spaces": " \n", "documents": "---\n", "percent": "%a\n", "escapes": `"\x41" `, "word": "a",
	} {
		for _, prefix := range []string{"", "hostname: ", "guests: {", "dns: ["} {
			start, before := time.Now(), allocated()
			Parse(name, []byte(prefix+strings.Repeat(unit, (MaxSize-len(prefix))/len(unit))))
			took, grown := time.Since(start), allocated()-before
			if took > 20*time.Second || grown > 1<<30 {
				t.Errorf("%s after %q: %v, %d MB", name, prefix, took, grown>>20)
			}
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	for _, name := range must(filepath.Glob("testdata/*.yaml")) {
		f.Add(must(os.ReadFile(name)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := Parse("f", text)
		MergeValid(file.Layer())
		for _, p := range file.Problems {
			if p.Error() == "" || strings.ContainsAny(p.Error(), "\n\x1b") {
				t.Errorf("%q", p.Error())
			}
		}
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
