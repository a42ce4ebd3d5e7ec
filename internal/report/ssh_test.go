package report

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/console"
	"github.com/zerodisc/zerodisc/internal/host"
)

func TestSSHLines(t *testing.T) {
	for _, test := range []struct {
		event host.Event
		want  string
	}{
		{host.SSH{Off: true}, "level=INFO msg=ssh state=off\n"},
		{
			host.SSH{
				Port: 22, Address: netip.MustParseAddr("10.0.0.5"),
				Methods: []string{"key"}, Fingerprints: []string{"SHA256:x"},
			},
			"level=INFO msg=ssh state=listening address=10.0.0.5 port=22 methods=key fingerprint=SHA256:x\n",
		},
		{host.SSH{Port: 22}, "level=INFO msg=ssh state=listening port=22 methods=\"\" fingerprint=\"\" " +
			"remedy=\"ssh-password on a local console makes a one-time password\"\n"},
		{host.SSH{Problem: "port 22 is in use"}, "level=ERROR msg=ssh state=failed err=\"port 22 is in use\" " +
			"remedy=\"log in at the console; it is tried again\"\n"},
		{host.SSHLogin{From: "10.0.0.9", Method: "password", Others: 7},
			"level=INFO msg=\"ssh login\" from=10.0.0.9 method=password others=7\n"},
		{host.SSHRefused{From: "10.0.0.9", Passwords: 30},
			"level=WARN msg=\"ssh refused\" from=10.0.0.9 passwords=30 " +
				"remedy=\"allow keys only, and there is no password to guess; each wrong one makes it wait longer\"\n"},
		{host.SSHRefused{From: "10.0.0.9", Connections: 3},
			"level=WARN msg=\"ssh refused\" from=10.0.0.9 connections=3 " +
				"remedy=\"others can log in; if you do not know who it is, find it by its address\"\n"},
	} {
		var out strings.Builder
		update := host.Update{Snapshot: new(host.Snapshot), Events: []host.Event{test.event}}
		NewLines(console.Logger(&out, nil)).write(update)
		if out.String() != test.want {
			t.Errorf("%+v:\n%swant:\n%s", test.event, out.String(), test.want)
		}
	}
}

func TestSSHText(t *testing.T) {
	leased := host.Network{Kind: host.Lease, Address: netip.MustParsePrefix("10.0.0.5/24")}
	for want, h := range map[string]host.Host{
		"":    {},
		"off": {SSH: host.SSH{Off: true}},
		"ssh root@10.0.0.5, by key or password; host key SHA256:x": {Network: leased, SSH: host.SSH{
			Port: 22, Methods: []string{"key", "password"}, Fingerprints: []string{"SHA256:x"}}},
		"ssh root@ADDRESS -p 2222, once there is a password (ssh-password makes one) or a key": {
			SSH: host.SSH{Port: 2222}},
		"failed: no memory": {SSH: host.SSH{Problem: "no memory"}},
	} {
		if got := ssh(h); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
