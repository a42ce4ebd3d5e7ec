package main

import (
	"reflect"
	"testing"

	"github.com/zerodisc/zerodisc/internal/sshd"
)

func TestSSHOptions(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDwtWDDXVvBOGfnhbDDy1EkqNsUMP1Ylc40sGHIpLKzi me"
	const hash = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
	for line, want := range map[string]sshd.Options{
		"quiet":           {},
		"zerodisc.ssh=no": {Off: true},
		"zerodisc.ssh=hm": {},
		`"zerodisc.ssh-key=` + key + `" zerodisc.ssh-key=AAAA`: {Keys: []string{key}},
		"zerodisc.password=" + hash:                            {Password: hash},
		"zerodisc.password=secret":                             {NoOneTime: true},
	} {
		if got := sshOptions(newConfiguration(line).merged.Load()); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}
