package main

import (
	"slices"
	"testing"
)

func TestCommandLines(t *testing.T) {
	const password, shown = "825z-m3df-8fax", "password for one login: 825z-m3df-8fax"
	for _, test := range []struct {
		command, password string
		want              []string
	}{
		{"ssh root@10.0.2.15", "", []string{"ssh root@10.0.2.15"}},
		{"ssh root@10.0.2.15", password, []string{"ssh root@10.0.2.15   " + shown}},
		{"ssh root@192.168.100.200", password, []string{"ssh root@192.168.100.200   " + shown}},
		{"ssh root@fec0::5054:ff:fe12:3456", password, []string{"ssh root@fec0::5054:ff:fe12:3456", shown}},
	} {
		got := commandLines(test.command, test.password)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s, %q: %q, want %q", test.command, test.password, got, test.want)
		}
		for _, line := range got {
			if len(line) > logInColumns {
				t.Errorf("%q does not fit", line)
			}
		}
	}
}
