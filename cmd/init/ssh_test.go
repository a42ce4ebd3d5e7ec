package main

import (
	"io"
	"log/slog"
	"reflect"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/sshd"
)

func TestSSHOptions(t *testing.T) {
	const a, b = "AAAAC3NzaC1lZDI1NTE5AAAAIA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me at home"
	for line, want := range map[string]sshd.Options{
		"quiet":           {},
		"zerodisc.ssh=no": {Off: true},
		"zerodisc.ssh=hm": {},
		`"zerodisc.ssh-key=` + b + "," + a + `,"`: {Keys: []string{b, a}},
		`zerodisc.ssh-key="` + b + `"`:            {Keys: []string{b}},
		"zerodisc.password=$6$salt$hash":          {Password: "$6$salt$hash"},
	} {
		s := &system{cmdline: boot.ParseCmdline(line), log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		if got := s.sshOptions(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}
