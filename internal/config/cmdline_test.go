package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestCommandLine checks what parameters set, as it is shown to people.
func TestCommandLine(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"quiet ip=dhcp", "network.bridges.xenbr0.ipv4.method=dhcp"},
		{"ip=on", "xenbr0.ipv4.method=dhcp xenbr0.ipv6.method=auto"},
		{"ip=auto6", "xenbr0.ipv4.method=none xenbr0.ipv6.method=auto"},
		{"ip=dhcp ip=dhcp6", "xenbr0.ipv4.method=dhcp xenbr0.ipv6.method=auto"},
		{"ip=eth1:dhcp", "xenbr0.nic=eth1 xenbr0.ipv4.method=dhcp"},
		{"ip=eth1:either6", "xenbr0.nic=eth1 xenbr0.ipv4.method=none xenbr0.ipv6.method=auto"},
		{
			"ip=eth1:dhcp:9000:52:54:00:00:00:01",
			"xenbr0.nic=eth1 xenbr0.mac=52:54:00:00:00:01 xenbr0.mtu=9000 xenbr0.ipv4.method=dhcp",
		},
		{
			"ip=192.0.2.5::192.0.2.1:255.255.255.0:rack7:eth0:none",
			"hostname=rack7 xenbr0.nic=eth0 xenbr0.ipv4.method=static xenbr0.ipv4.addresses=[192.0.2.5/24] " +
				"xenbr0.ipv4.gateway=192.0.2.1",
		},
		{
			"ip=192.0.2.5::192.0.2.1:24",
			"xenbr0.ipv4.method=static xenbr0.ipv4.addresses=[192.0.2.5/24] xenbr0.ipv4.gateway=192.0.2.1",
		},
		{
			"ip=192.0.2.5/24::192.0.2.1:::eth0",
			"xenbr0.nic=eth0 xenbr0.ipv4.method=static xenbr0.ipv4.addresses=[192.0.2.5/24] " +
				"xenbr0.ipv4.gateway=192.0.2.1",
		},
		{
			"ip=[2001:db8::5]::[2001:db8::1]:64::eth0:none:[2001:db8::53]:192.0.2.53",
			"dns.servers=[2001:db8::53, 192.0.2.53] xenbr0.nic=eth0 xenbr0.ipv6.method=static " +
				"xenbr0.ipv6.addresses=[2001:db8::5/64] xenbr0.ipv6.gateway=2001:db8::1",
		},
		{
			"ip=192.0.2.5:::24::eth0:off:1400:52:54:00:00:00:01",
			"xenbr0.nic=eth0 xenbr0.mac=52:54:00:00:00:01 xenbr0.mtu=1400 xenbr0.ipv4.method=static " +
				"xenbr0.ipv4.addresses=[192.0.2.5/24]",
		},
		{
			"ip=192.0.2.5:::24::eth0:none ip=192.0.2.6:::24::eth0:none",
			"xenbr0.nic=eth0 xenbr0.ipv4.method=static xenbr0.ipv4.addresses=[192.0.2.5/24, 192.0.2.6/24]",
		},
		{
			"ip=eth0:dhcp ip=eth1:off",
			"xenbr0.nic=eth0 xenbr0.ipv4.method=dhcp xenbr1.nic=eth1 xenbr1.ipv4.method=none xenbr1.ipv6.method=none",
		},
		{"ip=::::rack7:eth0:dhcp", "hostname=rack7 xenbr0.nic=eth0 xenbr0.ipv4.method=dhcp"},
		{"vlan=eth0.0020:eth0 ip=eth0.0020:dhcp", "xenbr0.nic=eth0 xenbr0.vlan=20 xenbr0.ipv4.method=dhcp"},
		{"vlan=vlan7:eth0", "xenbr0.nic=eth0 xenbr0.vlan=7"},
		{"bridge=br0:eth1 ip=br0:dhcp", "network.default-bridge=br0 br0.nic=eth1 br0.ipv4.method=dhcp"},
		{"bridge=br0:eth1 ip=eth1:dhcp", "network.default-bridge=br0 br0.nic=eth1 br0.ipv4.method=dhcp"},
		{"bridge=br0:v5 vlan=v5:eth1 bridge=b:e", "b.nic=e br0.nic=eth1 br0.vlan=5"},
		{
			"bond=bond0:eth0,eth1:mode=4,miimon=100,arp_ip_target=1.2.3.4;1.2.3.5:1500 ip=bond0:dhcp",
			"network.bonds.bond0.nics=[eth0, eth1] network.bonds.bond0.mode=802.3ad " +
				"network.bonds.bond0.options.arp_ip_target=1.2.3.4,1.2.3.5 network.bonds.bond0.options.miimon=100 " +
				"network.bonds.bond0.mtu=1500 xenbr0.nic=bond0 xenbr0.ipv4.method=dhcp",
		},
		{"bond", "network.bonds.bond0.nics=[eth0, eth1] network.bonds.bond0.mode=balance-rr xenbr0.nic=bond0"},
		{
			"bond=b:eth0,eth1 vlan=b.9:b",
			"network.bonds.b.nics=[eth0, eth1] network.bonds.b.mode=balance-rr xenbr0.nic=b xenbr0.vlan=9",
		},
		{
			"ip=192.0.2.5:::24 rd.route=198.51.100.0/24:192.0.2.1",
			"xenbr0.ipv4.method=static xenbr0.ipv4.addresses=[192.0.2.5/24] " +
				"xenbr0.routes=[{to: 198.51.100.0/24, via: " +
				"192.0.2.1}]",
		},
		{"nameserver=192.0.2.53 nameserver=2001:db8::53", "dns.servers=[192.0.2.53, 2001:db8::53]"},
		{"hostname=a zerodisc.hostname=b ip=::::c::dhcp", "hostname=b xenbr0.ipv4.method=dhcp"},
		{"zerodisc.ssh=no zerodisc.autostart", "autostart=yes ssh.enabled=no"},
		{"zerodisc.stores=all zerodisc.state=no toram", "stores.disks=all stores.state=no stores.toram=yes"},
		{"toram=no zerodisc.toram=auto", "stores.toram=auto"},
		{"zerodisc.write=/dev/sda,/dev/sdb", "stores.write=[/dev/sda, /dev/sdb]"},
		{"zerodisc.budget=64M,web:1G", "stores.budget=64M guests.web.budget=1G"},
		{"zerodisc.bridge=br7 ip=dhcp", "network.default-bridge=br7 br7.ipv4.method=dhcp"},
		{"zerodisc.stores= hostname=", ""},
		{"zerodisc.guests=http://a/b,nfs://c/d", "stores.urls=[{url: http://a/b}, {url: nfs://c/d}]"},
		{"zerodisc.iscsi=a:b@192.0.2.9::::iqn.2026-01.x:y", "stores.iscsi.targets=(secret)"},
		{"ds=nocloud;s=http://a/;h=rack9", "hostname=rack9"},
		{"zerodisc.ntp=a,b:123,[2001:db8::1]:1123", "ntp.servers=[a, b:123, [2001:db8::1]:1123]"},
		{"zerodisc.ntp=no", "ntp.enabled=no"},
		{"zerodisc.ntp", ""},
		{"zerodisc.ntp=,", ""},
		{"zerodisc.syslog=udp://a,tls://b:99", "logs.targets=[udp://a, tls://b:99]"},
		{"zerodisc.watchdog", "watchdog.enabled=yes"},
		{"zerodisc.watchdog=no", "watchdog.enabled=no"},
		{"zerodisc.watchdog=0", "watchdog.enabled=no"},
		{"zerodisc.watchdog=1", "watchdog.enabled=yes"},
		{"zerodisc.watchdog=60", "watchdog.timeout=1m0s"},
	} {
		text, want := test.text, test.want
		c := ParseCommandLine(text)
		for _, p := range c.Problems {
			t.Errorf("%s: %v", text, p)
		}
		var list []string
		for _, s := range Merge(Layer{Config: c.Config}).Settings {
			list = append(list, s.Key+"="+s.Value)
		}
		got := strings.Join(list, " ")
		if short := strings.ReplaceAll(got, "network.bridges.", ""); got != want && short != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, short, want)
		}
		for _, p := range Validate(&c.Config) {
			t.Errorf("%s: %v", text, p)
		}
	}
}

func TestCommandLineURLs(t *testing.T) {
	c := ParseCommandLine("zerodisc.config=http://a.example/{mac}.yaml ds=nocloud-net;seedfrom=http://b.example/x " +
		`"zerodisc.ssh-key=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0iSnJVnJzXGXPb4xL2m4mQ7ctr7Yd5cuwDqxDkSm me" ` +
		"zerodisc.ssh-key=ssh-ed25519,AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0iSnJVnJzXGXPb4xL2m4mQ7ctr7Yd5cuwDqxDkSm")
	if c.URL != "http://a.example/{mac}.yaml" || c.NoCloud.URL != "http://b.example/x/" ||
		len(c.Config.SSH.Keys) != 2 || len(c.Problems) > 0 {
		t.Errorf("%+v", c)
	}
}

func TestCommandLineProblems(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"ip=", `ip: "": "" is no method`},
		{"ip=dchp", `ip: "dchp": "dchp" is no method; did you mean dhcp?`},
		{"ip=eth0:", "want METHOD, INTERFACE:METHOD"},
		{"ip=ibft", "addresses from iBFT are not supported"},
		{"ip=eth0:link6", "addresses of the link alone are not supported"},
		{"ip=192.0.2.5::192.0.2.1:", "part 4, the netmask"},
		{"ip=192.0.2.5:::255.0.255.0", "a netmask has all its ones first"},
		{"ip=192.0.2.0:::24", "part 1, the address: it is the address of the network"},
		{"ip=192.0.2.5:192.0.2.9::24", "part 2, the other end"},
		{"ip=192.0.2.5::2001:24::e", "part 3, the gateway"},
		{"ip=192.0.2.5::192.0.2.5:24", ": part 1, the address, and part 3, the gateway, are both 192.0.2.5"},
		{"ip=[2001:db8::1]::[2001:db8::1]:64", "part 3, the gateway, are both 2001:db8::1"},
		{"ip=192.0.2.5:::24:a_b", "part 5, the host name"},
		{"ip=192.0.2.5:::24::a/b:none", `the interface "a/b": want the name`},
		{"ip=192.0.2.5:::24::e:sometimes", "part 7, the method"},
		{"ip=192.0.2.5:::24::e:none:1:2", "MTU"},
		{"ip=192.0.2.5:::24::e:none:1.1.1.1:x", "part 9, a name server"},
		{"ip=[2001:db8::5", "a bracket is not closed"},
		{"ip=]", "a bracket is not closed"},
		{"ip=2001:db8::5::1:64", `part 7, the method: "64"`},
		{"ip=eth0:dhcp:99", "want a number from 576 to 9216"},
		{"ip=eth0:dhcp::01:00:00:00:00:00", "the address of a group"},
		{"vlan=eth0", "want NAME:NIC"},
		{"vlan=eth0.9999:eth0", "a VLAN from 1 to 4094"},
		{"vlan=5:eth0", "a VLAN from 1 to 4094"},
		{"bridge=br0:eth0,eth1", "make a bond of several"},
		{"bond=b:eth0:mode=9", "want one of balance-rr"},
		{"bond=b:", "part 2, the network cards"},
		{"bond=b:eth0::1", "part 4: MTU"},
		{"rd.route=1", "want NETWORK/LENGTH:GATEWAY"},
		{"rd.route=10.0.0.1/8:10.0.0.2", "the network is 10.0.0.0/8"},
		{"nameserver=dns", `nameserver: "dns": want an IP address`},
		{"zerodisc.ssh=never", `zerodisc.ssh: "never": want yes or no`},
		{"zerodisc.password=", "zerodisc.password: there is no hash; GRUB makes nothing of a $"},
		{"zerodisc.password=abc", "zerodisc.password: this is no hash of a password"},
		{"zerodisc.stores=al", "did you mean all?"},
		{"zerodisc.guests=http://a zerodisc.guests-sha256=a,b", "there are 2 sums, and zerodisc.guests has 1 URLs"},
		{"zerodisc.guests-sha256=a", "there is no zerodisc.guests"},
		{"zerodisc.guests=ftp://a", "want a URL that begins with"},
		{"zerodisc.budget=web:lots", `"web:lots": want a size`},
		{"zerodisc.config=http://a/${mca}", "there is no ${mca}; did you mean mac?"},
		{"zerodisc.config=a", "want a URL"},
		{"zerodisc.config=http://a/$1", "a $ stands for nothing"},
		{"ds=ec2", `"ec2" is not supported; want nocloud;s=URL`},
		{"ds=nocloud", "s=URL is missing"},
		{"zerodisc.watchdog=soon", `zerodisc.watchdog: "soon": want yes or no`},
		{"zerodisc.watchdog=2", "want at least 20s"},
		{"zerodisc.ntp=a:b", `zerodisc.ntp: "a:b": want the name or the address`},
		{"zerodisc.syslog=udp://a,ftp://b", `zerodisc.syslog: "ftp://b": want a URL that begins with udp://`},
	} {
		text, want := test.text, test.want
		c := ParseCommandLine(text)
		if got := fmt.Sprint(c.Problems); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestExpand(t *testing.T) {
	m := Machine{MAC: "52:54:00:12:34:56", UUID: "a-b", Serial: "S/N 7"}
	for _, test := range []struct{ text, want string }{
		{"http://a/${mac}/{uuid}.yaml", "http://a/52:54:00:12:34:56/a-b.yaml"},
		{"http://a/${serial}", "http://a/S%2FN%207"},
		{"http://a/", "http://a/"},
	} {
		text, want := test.text, test.want
		if got, err := Expand(text, m); got != want || err != nil {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if _, err := Expand("${hostname}", m); err == nil || err.Error() != "this machine has no hostname" {
		t.Error(err)
	}
}

func TestNoCloud(t *testing.T) {
	meta := ParseMetaData("meta-data", []byte("instance-id: i-1\nlocal-hostname: web.example.org\nkeys: {a: b}\n"))
	if meta.Config.Hostname != "web" || len(meta.Problems) > 0 {
		t.Errorf("%+v", meta)
	}
	user := ParseUserData("user-data", []byte("#cloud-config\nhostname: h\ntimezone: Asia/Tokyo\n"+
		"packages: [vim]\nruncmd: []\nssh_authorized_keys:\n- "+
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0iSnJVnJzXGXPb4xL2m4mQ7ctr7Yd5cuwDqxDkSm\n"))
	if user.Config.Hostname != "h" || user.Config.Timezone != "Asia/Tokyo" || len(user.Config.SSH.Keys) != 1 ||
		len(user.Problems) != 1 || !strings.Contains(user.Problems[0].Error(), "not packages, runcmd") {
		t.Errorf("%+v", user)
	}
	if own := ParseUserData("user-data", []byte("hostname: x\nssh: {port: 22}\n")); own.Config.SSH.Port != 22 {
		t.Errorf("%+v", own)
	}
	if script := ParseUserData("user-data", []byte("#!/bin/sh\nreboot\n")); len(script.Problems) != 1 {
		t.Errorf("%+v", script)
	}
}

func FuzzCommandLine(f *testing.F) {
	f.Add("ip=192.0.2.5::192.0.2.1:255.255.255.0:rack7:eth0:none:[2001:db8::53] " +
		"vlan=a.5:eth0 bond=b:c:d=e:1 bridge=f:g")
	f.Add("ds=nocloud;s=http://a/;h=b zerodisc.config=http://a/${mac} " +
		"zerodisc.budget=1M,a:2M rd.route=1.0.0.0/8:1.2.3.4")
	f.Fuzz(func(t *testing.T, text string) {
		c := ParseCommandLine(text)
		Validate(&c.Config)
		for _, p := range c.Problems {
			if strings.ContainsAny(p.Error(), "\n\x1b") {
				t.Errorf("%q", p.Error())
			}
		}
	})
}
